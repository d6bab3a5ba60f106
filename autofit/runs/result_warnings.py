"""Words of warning about a run: what its figures do not show, or show and a reader may miss. Pure.

A warning is raised only beyond what chance explains: differences are compared with their standard error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autofit.config.standard_error import standard_error
from autofit.printable import first_of, printable
from autofit.protocol.messages import StageRecord
from autofit.runs.history import History, accuracy_name, best_epoch, stage_of

CERTAIN_ERRORS = 2.0
"""Standard errors from which on a difference counts: chance exceeds them once in twenty times."""

FAR_AHEAD = 0.15
"""Training accuracy over validation accuracy, from which on a network knows its training images by heart."""

LEAST_TO_JUDGE = 5
"""With fewer validation images of a class, one of them more or less is over twenty points of its accuracy."""

COARSE_ERROR = 0.02
"""Standard error of the accuracy from which on a validation is called small."""

SHOWN_CLASSES = 5


@dataclass(frozen=True, slots=True)
class ValidatedRun:
    """The figures of a run that warnings are about; counts are by class number.

    Attributes:
        history: each metric's value at the end of each epoch.
        class_names: the name of each class.
        validation_counts: validation images of each class; empty if unknown.
        predicted_counts: how often the best epoch's model predicted each class in its validation; empty if unknown.
        best_epoch: as the run recorded it; None if unknown.
        stages: the finished stages.
    """

    history: History
    class_names: Sequence[str]
    validation_counts: Sequence[int]
    predicted_counts: Sequence[int]
    best_epoch: int | None = None
    stages: Sequence[StageRecord] = ()

    @property
    def solved(self) -> StageRecord | None:
        """The stage whose head was solved; None if there was none."""
        return next((stage for stage in self.stages if stage.method == "solved"), None)

    @property
    def images(self) -> int:
        """The validation images that could be read, as far as it is known."""
        return sum(self.predicted_counts) or sum(self.validation_counts)


def result_warnings(run: ValidatedRun) -> list[str]:
    """The warnings about a run, a sentence or two each; none without a validation."""
    epoch = best_epoch(run.history, run.best_epoch)
    if epoch is None or not run.images or "val_loss" not in run.history:
        return []
    training, validation = _accuracies(run.history, epoch)
    found = [*_unhelpful_stage(run, epoch), *_unpredicted(run), *_too_small_classes(run)]
    if validation is None:
        return found
    return [
        *_at_chance(run, validation),
        *_far_ahead(run, training, validation),
        *found,
        *_coarse(run, validation),
    ]


def _accuracies(history: History, epoch: int) -> tuple[float | None, float | None]:
    """The accuracies of training and validation at an epoch; None where they were not measured."""
    name = accuracy_name(history) or ""
    values = [history.get(column, []) for column in (name, f"val_{name}")]
    training, validation = (column[epoch] if epoch < len(column) else None for column in values)
    return training, validation


def _at_chance(run: ValidatedRun, accuracy: float) -> list[str]:
    """Warn if always answering the most frequent class would be about as good."""
    if len(run.validation_counts) < 2:  # noqa: PLR2004 - with one class every answer is right
        return []
    most = max(run.validation_counts)
    chance = most / sum(run.validation_counts)
    if accuracy > chance + CERTAIN_ERRORS * standard_error(chance, run.images):
        return []
    name = printable(run.class_names[list(run.validation_counts).index(most)])
    found = f"accuracy {accuracy:.3f}, and always answering {name!r} gives {chance:.3f}"
    then = "" if run.solved else ", then at the learning rate"
    return [f"Validation is at chance: {found}. Look at the images and their classes{then}."]


def _far_ahead(run: ValidatedRun, training: float | None, validation: float) -> list[str]:
    """Warn if the training accuracy is far over the validation's.

    A head that is solved on few images knows nearly all of them, and so does what is fine-tuned from it, however good
    they are on others: there the accuracy on training images that were left out in cross-validation is compared.
    """
    if run.solved is not None:
        return _behind_cross_validation(run, run.solved, validation)
    if training is None or not _is_far(training, validation, run.images):
        return []
    help_words = "more images, augment='light' or fewer layers that train would help"
    return [f"Training is far ahead of validation: accuracy {training:.3f} against {validation:.3f}; {help_words}."]


def _behind_cross_validation(run: ValidatedRun, solved: StageRecord, validation: float) -> list[str]:
    """Warn if a solved head was far better on training images that it had not seen than on the validation images."""
    expected = solved.cross_validated_accuracy
    if expected is None or not _is_far(expected, validation, run.images):
        return []
    figures = f"accuracy {validation:.3f} against {expected:.3f}"
    why = "the validation images are of another kind than those for training, or these are many of the same things"
    return [f"Validation is far behind cross-validation: {figures}; {why}."]


def _is_far(accuracy: float, validation: float, images: int) -> bool:
    ahead = accuracy - validation
    return ahead >= FAR_AHEAD and ahead >= CERTAIN_ERRORS * standard_error(validation, images)


def _unhelpful_stage(run: ValidatedRun, epoch: int) -> list[str]:
    """Warn if fine-tuning is finished and the best epoch is one of the head's."""
    names = [stage.name for stage in run.stages]
    if names[-1:] != ["fine-tune"] or not run.stages[-1].epochs or stage_of(run.stages, epoch) == "fine-tune":
        return []
    return ["Fine-tuning gave no better model by validation: the one with the head alone was kept."]


def _unpredicted(run: ValidatedRun) -> list[str]:
    """Warn of classes with validation images that were never predicted."""
    pairs = zip(run.class_names, run.validation_counts, run.predicted_counts, strict=False)
    names = [name for name, there, predicted in pairs if there and not predicted]
    return [f"Never predicted in validation: {_listed(names)}."] if names else []


def _too_small_classes(run: ValidatedRun) -> list[str]:
    """Warn of classes with too few validation images to say how well they are told apart."""
    pairs = zip(run.class_names, run.validation_counts, strict=False)
    names = [f"{printable(name)} ({count})" for name, count in pairs if count < LEAST_TO_JUDGE]
    if not names:
        return []
    return [f"Too few validation images to judge a class by, under {LEAST_TO_JUDGE}: {_listed(names)}."]


def _coarse(run: ValidatedRun, accuracy: float) -> list[str]:
    """Warn if accuracies have to be points apart to mean anything."""
    error = standard_error(accuracy, run.images)
    if error < COARSE_ERROR:
        return []
    points = math.ceil(100 * CERTAIN_ERRORS * error)
    images = "image" if run.images == 1 else "images"
    return [
        f"Validation has {run.images:,} {images}: a difference in accuracy of less than {points} points means nothing."
    ]


def _listed(names: Sequence[str]) -> str:
    return first_of(list(map(printable, names)), SHOWN_CLASSES)
