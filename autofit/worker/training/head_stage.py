"""The stage that solves the head: from cached features to the weights of the last Dense layer, in one step."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autofit.cache.feature_rows import CachedRows
from autofit.config.byte_size import format_size
from autofit.config.multi_label_figures import F1, MEAN_AVERAGE_PRECISION, figures_of_groups
from autofit.dataset import ImageIndex
from autofit.dataset.duplicates import families_of
from autofit.dataset.label_doubts import doubts, doubts_of_sets, write_doubts
from autofit.protocol.job import TrainingPlan
from autofit.protocol.messages import MemoryBudget, StageName, StageRecord
from autofit.storage.probabilities import MOST_VALUES
from autofit.worker.execution.session import Session
from autofit.worker.features.head_memory import UNASKED_BYTES, least_solver_bytes
from autofit.worker.features.head_rows import Floats, LabelledRows, LabelTable
from autofit.worker.model.head import scoring_layer
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.training.batch_sources import CachedFeatures, Source
from autofit.worker.training.evaluation import Probabilities, in_place
from autofit.worker.training.stage_clock import StageClock
from autofit.worker.training.targets import Targets
from autofit.worker.training.train_state import Arrays, TrainState

if TYPE_CHECKING:
    from autofit.worker.features.head_fit import HeadFit
    from autofit.worker.features.head_solver import Head

Numbers = NDArray[np.int64]

MOST_SCORES = 2**25
"""At most so many scores (rows times labels) are in memory at once: 256 MiB of scores and as much of true labels. If
there are more, the labels are taken in several passes."""


def labelled(
    source: CachedFeatures,
    samples: Numbers,
    labels: Numbers,
    views: int,
    table: LabelTable | None = None,
    families: Numbers | None = None,
    weights: Floats | None = None,
) -> LabelledRows:
    """The rows of those of some samples that have features; each of a photo's views has an equal share of its weight.

    Args:
        source: the features.
        samples: which samples, int64 (n,).
        labels: of all samples, from 0.
        views: of each sample.
        table: of the sets that the labels are numbers of, if there may be several.
        families: of all samples, the number of those that belong together; None if nothing is known of such.
        weights: of all samples, float64 (n,); None if all count alike.
    """
    chosen = [source.known_rows(samples, view) for view in range(views)]
    rows = np.concatenate([numbers for numbers, _ in chosen])
    of_samples = np.concatenate([known for _, known in chosen])
    return LabelledRows(
        parts=(CachedRows(source.rows),),
        part_of=np.zeros(len(rows), np.int64),
        row_of=rows,
        labels=labels[of_samples],
        weights=(np.ones(len(rows)) if weights is None else weights[of_samples]) / views,
        groups=of_samples,
        table=table,
        families=None if families is None else families[of_samples],
    )


def solvable(
    source: Source[Any], index: ImageIndex, plan: TrainingPlan, memory: MemoryBudget, heartbeat: Heartbeat
) -> CachedFeatures | str:
    """The features on which the head can be solved, or in a few words why it cannot be.

    Args:
        source: where the batches of the stage come from.
        index: the images.
        plan: the threads and views of the stage.
        memory: the limit of the worker.
        heartbeat: tells how much memory is in use and is left.
    """
    if not isinstance(source, CachedFeatures):
        return "the features are not cached"
    if not source.rows.entries:  # no image can be read, which the stage says
        return source
    width, classes = CachedRows(source.rows).shape[1], len(index.class_names)
    needs = least_solver_bytes(index.train_count * plan.feature_views, width, classes, plan.threads)
    left = _left_bytes(memory, heartbeat)
    if needs <= max(UNASKED_BYTES, left):
        return source
    of = f"a head of {width:,} features and {classes:,} classes"
    return f"{of} takes {format_size(needs)} to solve, and {format_size(left)} of memory is left"


def _left_bytes(memory: MemoryBudget, heartbeat: Heartbeat) -> int:
    """The memory that the worker may still take: within its limit, if one was given, and of what the host has left."""
    left = heartbeat.memory_left()
    of_host = sys.maxsize if left is None else left.bytes - heartbeat.stop_below_bytes
    is_limited = memory.device == "cpu" and memory.is_given
    of_limit = memory.limit_bytes - heartbeat.host_bytes if is_limited else sys.maxsize
    return max(0, min(of_host, of_limit))


@dataclass(frozen=True, slots=True, eq=False)
class SolvedHead:
    """The result of the stage.

    Attributes:
        trained: the head solved on the training images alone; the metrics are those of this head.
        final: the head of the saved model: fitted on all images if the plan says so, else `trained`.
        metrics: `loss`, `accuracy` and, with a validation set, `val_loss` and `val_accuracy`; with several labels an
            image, `mean_average_precision` and `f1` instead of the accuracy.
        predicted: how many validation images were predicted as each class.
        probabilities: of the validation images, float32 (images, classes), NaN for one without features; None if
            there are none, or too many values to be kept.
        record: the record of the stage.
    """

    trained: Head
    final: Head
    metrics: dict[str, float]
    predicted: list[int]
    probabilities: Probabilities | None
    record: StageRecord


class HeadStage:
    """Solves the head of a run on the features in the cache.

    Args:
        source: the features.
        index: the images.
        plan: views, threads, and whether to refit.
        targets: the labels, and the weights of their losses.
        on_progress: called repeatedly while the head is solved; it may raise.
        clock: says when the search must end.
        stage: the name of the stage.

    Attributes:
        train: the rows to train on.
        validation: the rows to validate with; none if the run has no validation images.
        used: the training images that have features, int64 (n,).
        unused: the training images that have none.
    """

    def __init__(
        self,
        source: CachedFeatures,
        index: ImageIndex,
        plan: TrainingPlan,
        targets: Targets,
        on_progress: Callable[[], None],
        clock: StageClock,
        stage: StageName = "head",
    ) -> None:
        self._plan, self._validates = plan, index.validation_count > 0
        self._on_progress, self._clock = on_progress, clock
        self._stage: StageName = stage
        self._classes, self._images, self._has_left_out = len(index.class_names), len(index.paths), source.has_left_out
        weights = targets.class_weights
        self._class_weights = None if weights is None else dict(enumerate(weights.tolist()))
        samples, labels, table = np.arange(len(index.paths)), targets.numbers, targets.table
        self._train_count = index.train_count
        families = families_of(len(index.paths), index.groups, source.copies)
        trained = samples[: index.train_count]
        of_samples = table, families, targets.sample_weights
        self.train = labelled(source, trained, labels, plan.feature_views, *of_samples)
        self.validation = labelled(source, samples[index.train_count :], labels, 1, *of_samples)
        self.used = np.unique(self.train.groups)
        self.unused = np.setdiff1d(trained, self.used)

    @property
    def empty_split(self) -> str:
        """The name of a split without a single image that has features; empty if there is no such split."""
        if not len(self.train):
            return "training"
        return "validation" if self._validates and not len(self.validation) else ""

    def _goes_on(self) -> bool:
        """Whether the search has time for more."""
        self._on_progress()
        return self._clock.has_time_to_solve()

    def _cut_short(self, fit: HeadFit) -> str:
        """What the head was fitted on if there was no time for the rest; empty if there was.

        The time may have lacked for the features of all images, for the optimum, or for the second fit.
        """
        if self._has_left_out:
            return self._used_words()
        is_whole = fit.converged and fit.refitted == (self._plan.refit_head and len(self.validation) > 0)
        if is_whole or self._goes_on():
            return ""
        return "the training images alone" if fit.converged else f"{self._images:,} images, not to its optimum"

    def _used_words(self) -> str:
        """How many of all images have features, if there was no time for the others."""
        used = len(self.used) + len(np.unique(self.validation.groups))
        return f"{used:,} of {self._images:,} images"

    def solve(self, doubts_file: Path | None = None) -> SolvedHead:
        """Choose the strength of the penalty, solve the head, and fit it again on all images if the plan says so.

        If the plan looks for wrong labels, the training images are written to `doubts_file`, most doubtful first.
        """
        from autofit.worker.features.head_fit import fit_head  # noqa: PLC0415 - loads SciPy

        self._clock.solving_begins()
        fit = fit_head(
            self.train,
            self.validation,
            self._classes,
            class_weights=self._class_weights,
            refit=self._plan.refit_head,
            threads=self._plan.threads,
            goes_on=self._goes_on,
        )
        if self._plan.doubt_labels and doubts_file is not None:
            self._write_doubts(fit.l2, doubts_file)
        record = StageRecord(
            name=self._stage,
            method="solved",
            epochs=1,
            seconds=fit.seconds,
            l2=fit.l2,
            chosen_by=fit.how_chosen,
            refitted=fit.refitted,
            cross_validated_accuracy=fit.cross_validated_accuracy,
            cut_short=self._cut_short(fit),
        )
        predicted, probabilities = self._predicted(fit.trained)
        metrics = self._metrics(fit.trained, self.train)
        if len(self.validation):
            of_validation = self._metrics(fit.trained, self.validation)
            metrics |= {f"val_{name}": value for name, value in of_validation.items()}
        return SolvedHead(fit.trained, fit.head, metrics, predicted, probabilities, record)

    def _write_doubts(self, l2: float, file: Path) -> None:
        """Rank the training images by the doubt in their labels, and list the images that are copies of each other.

        Each image is judged by a head that was fitted without it and without those of its copies that have its label.
        """
        from autofit.worker.features.alike_rows import alike_rows, together  # noqa: PLC0415 - loads SciPy
        from autofit.worker.features.out_of_fold import unseen_probabilities  # noqa: PLC0415 - loads SciPy

        rows, threads = self.train, self._plan.threads
        alike = alike_rows(rows, threads=threads, goes_on=self._goes_on)
        found = unseen_probabilities(
            together(rows, alike), self._classes, l2=l2, threads=threads, goes_on=self._goes_on
        )
        in_order = (
            doubts(found, rows.labels) if rows.table is None else doubts_of_sets(found, rows.table.targets[rows.labels])
        )
        images, alike = rows.groups[in_order.images], np.unique(np.sort(rows.groups[alike], axis=1), axis=0)
        write_doubts(file, replace(in_order, images=images, alike=alike))

    def _predicted_classes(self, logits: Floats) -> NDArray[np.bool_]:
        """Which classes are predicted for each row: the most probable, or all with a probability of at least 0.5."""
        if self.validation.table is not None:
            return logits >= 0
        return logits.argmax(axis=1)[:, None] == np.arange(self._classes)

    def _predicted(self, head: Head) -> tuple[list[int], Probabilities | None]:
        """How many validation images are predicted as each class, and the probabilities if they are kept."""
        from scipy.special import expit, softmax  # noqa: PLC0415 - takes 0.2 s

        count, told = self._images - self._train_count, np.zeros(self._classes, np.int64)
        is_kept = len(self.validation) > 0 and count * self._classes <= MOST_VALUES
        rows = np.empty((len(self.validation) if is_kept else 0, self._classes), np.float32)
        for block, logits in head.logits_by_block(self.validation):
            told += self._predicted_classes(logits).sum(axis=0)
            if is_kept:
                rows[block] = softmax(logits, axis=1) if self.validation.table is None else expit(logits)
        kept = in_place(rows, self.validation.groups - self._train_count, count) if is_kept else None
        return told.tolist(), kept

    def _metrics(self, head: Head, rows: LabelledRows) -> dict[str, float]:
        """The metrics of a head on rows, without class weights."""
        from autofit.worker.features.photo_scores import photo_scores  # noqa: PLC0415 - loads SciPy

        scores = photo_scores(head, rows.unweighted())
        loss = float(scores.losses.mean())
        if rows.table is None:
            return {"accuracy": float(scores.hits.mean()), "loss": loss}
        figures = figures_of_groups(_scores_and_truth(head, rows, rows.table), 0.0)  # a probability of 0.5
        return {"loss": loss, MEAN_AVERAGE_PRECISION: figures.mean_average_precision, F1: figures.f1}


def _scores_and_truth(head: Head, rows: LabelledRows, table: LabelTable) -> Iterator[tuple[Floats, Floats]]:
    """The logits and the true labels of all rows, for a part of the labels at a time (`MOST_SCORES`)."""
    step = max(1, MOST_SCORES // max(1, len(rows)))
    for labels in (slice(start, start + step) for start in range(0, table.targets.shape[1], step)):
        yield head.of_labels(labels).logits(rows), table.targets[rows.labels, labels]


def final_weights(session: Session, state: TrainState, solved: SolvedHead) -> Arrays:
    """The weights of the saved model; afterwards the session has the head solved on the training images."""
    set_head(session, solved.final)
    final = state.weights()
    set_head(session, solved.trained)
    return final


def set_head(session: Session, head: Head) -> None:
    """Set the weights of the last Dense layer."""
    scoring_layer(session.built.head_layers).set_weights([head.kernel, head.bias])
