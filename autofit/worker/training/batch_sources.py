"""The two sources of a training's batches: images that are decoded as they are needed, and cached features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from autofit.cache.feature_rows import FeatureRows, Features
from autofit.input.batch_loader import BatchLoader, LoadedBatch
from autofit.input.sample_reader import SampleReader
from autofit.input.views import ViewIndex
from autofit.protocol.messages import Phase
from autofit.worker.execution.microbatch import MicroBatcher
from autofit.worker.execution.session import Session
from autofit.worker.execution.steps import Tally
from autofit.worker.training.epoch_plan import EpochPlan

Metrics = dict[str, Any]
"""Metrics by name. The values are tensors, which are read from the device only when the numbers are needed."""


class Samples(Protocol):
    """A batch, without the samples that cannot be read."""

    @property
    def samples(self) -> NDArray[np.int64]:
        """The indices of the samples in the data set, int64 (n,), in the order of the pass."""

    @property
    def skipped(self) -> tuple[tuple[int, str], ...]:
        """(index, reason) of each sample that cannot be read."""


B = TypeVar("B", bound=Samples)


class Source(Protocol[B]):
    """A source of batches. It also runs the network on them, since images and features enter it at different layers."""

    def batches(self, epoch_plan: EpochPlan, following: EpochPlan | None) -> Iterator[B]:
        """The batches of a pass, in order; `following` is the pass that will be asked for next, if it is known."""

    def train(self, batch: B, labels: NDArray[Any], weights: NDArray[np.float32]) -> Metrics:
        """Make one update; returns the epoch's metrics so far, which may still be on the device."""

    def evaluate(self, batch: B, labels: NDArray[Any], tally: Tally) -> None:
        """Add one batch to the tally of a validation."""

    def limit_words(self) -> str:
        """A message that the source is slower than the device, and what would help; empty if it is not slower."""

    def close(self) -> None:
        """Release its resources."""


class DecodedImages:
    """Images that are decoded ahead, also those of the next pass; the whole network runs on them. See `Source`."""

    def __init__(
        self,
        session: Session,
        loader: BatchLoader,
        reader: SampleReader,
        micro: MicroBatcher,
        validation_micro: MicroBatcher,
        on_phase: Callable[[Phase], None],
    ) -> None:
        self._session, self._loader, self._reader = session, loader, reader
        self._stream = loader.stream()
        self._announced: EpochPlan | None = None
        self._batch_size: int | None = None
        self._micro, self._validation_micro = micro, validation_micro
        self._on_phase = on_phase

    def batches(self, epoch_plan: EpochPlan, following: EpochPlan | None) -> Iterator[LoadedBatch]:
        """Decoded batches. Images that were decoded ahead for another pass than this one are dropped."""
        if epoch_plan != self._announced:
            self._stream.close()
            self._announce(epoch_plan)
        self._announced, self._batch_size = None, epoch_plan.batch_size
        if following is not None:
            self._announce(following)
        for _ in epoch_plan.bounds():
            batch = self._stream.take()
            assert batch is not None  # noqa: S101 - it was announced
            yield batch
        self._announced = following

    def _announce(self, epoch_plan: EpochPlan) -> None:
        self._stream.announce(epoch_plan.groups(), self._reader.of_epoch(epoch_plan.epoch))

    def train(self, batch: LoadedBatch, labels: NDArray[Any], weights: NDArray[np.float32]) -> Metrics:
        """Run forward and backward, or the frozen backbone and then the head."""
        return self._session.train_batch(batch.images, labels, weights, self._micro, self._on_phase, self._batch_size)

    def evaluate(self, batch: LoadedBatch, labels: NDArray[Any], tally: Tally) -> None:
        """Run forward only."""
        self._session.evaluate_batch(batch.images, labels, tally, self._validation_micro, self._batch_size)

    def limit_words(self) -> str:
        """A message that the device waits for decoding, or an empty string."""
        return self._loader.limit_words()

    def close(self) -> None:
        """Cancel what is being decoded ahead; the loader stays open."""
        self._stream.close()


@dataclass(frozen=True, slots=True, eq=False)
class FeatureBatch:
    """A batch of features. See `Samples`."""

    features: Features
    samples: NDArray[np.int64]
    skipped: tuple[tuple[int, str], ...]


class CachedFeatures:
    """Features that were extracted before, so that an epoch runs the head alone. See `Source`.

    Args:
        session: the network.
        rows: the rows of features, one for each view.
        view_index: which row a sample has in an epoch.
        reasons: why a sample has no row.
        micro: for a head with a part of the backbone in it, in training.
        validation_micro: the same in validation.
        on_phase: called with the phase.

    Attributes:
        rows: as given.
        has_left_out: whether the extraction ended before all images had features; those without have no rows.
        copies: the samples of each group of equal images; empty if there are none.
    """

    def __init__(
        self,
        session: Session,
        rows: FeatureRows,
        view_index: ViewIndex,
        reasons: Mapping[int, str],
        micro: MicroBatcher,
        validation_micro: MicroBatcher,
        on_phase: Callable[[Phase], None],
    ) -> None:
        self._session, self.rows, self._view_index, self._reasons = session, rows, view_index, reasons
        self._micro, self._validation_micro, self._on_phase = micro, validation_micro, on_phase
        self._known = rows.known()
        self._batch_size: int | None = None
        self.has_left_out = False
        self.copies: list[list[int]] = []

    def known_rows(self, samples: NDArray[np.int64], epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows that these samples have in an epoch, and the samples that have one, both int64 (k,)."""
        rows = self._view_index.of(samples, epoch)
        known = self._known[rows]
        return rows[known], samples[known]

    def batches(self, epoch_plan: EpochPlan, following: EpochPlan | None) -> Iterator[FeatureBatch]:
        """Batches of rows from the cache."""
        del following  # nothing is read ahead
        self._batch_size = epoch_plan.batch_size
        for group in epoch_plan.groups():
            asked = np.asarray(group, np.int64)
            rows, samples = self.known_rows(asked, epoch_plan.epoch or 0)
            missing = asked[~np.isin(asked, samples)].tolist()
            skipped = tuple((sample, self._reasons[sample]) for sample in missing if self._has_reason(sample))
            yield FeatureBatch(self.rows.gather(rows), samples, skipped)

    def _has_reason(self, sample: int) -> bool:
        """Whether a sample without a row could not be read; one that was left out for lack of time has no reason."""
        return not self.has_left_out or sample in self._reasons

    def train(self, batch: FeatureBatch, labels: NDArray[Any], weights: NDArray[np.float32]) -> Metrics:
        """Update the head."""
        self._on_phase(Phase.TRAIN)
        return self._session.train_on_features(batch.features, labels, weights, self._micro, self._batch_size)

    def evaluate(self, batch: FeatureBatch, labels: NDArray[Any], tally: Tally) -> None:
        """Run the head alone."""
        self._session.evaluate_features(batch.features, labels, tally, self._validation_micro)

    def limit_words(self) -> str:
        """An empty string: the device never waits for features."""
        return ""

    def close(self) -> None:
        """Close the cache entries."""
        self.rows.close()
