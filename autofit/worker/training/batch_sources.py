"""Where a training gets its batches from: images that are decoded as they are needed, or features that are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from autofit.config.batch_schedule import batch_bounds
from autofit.input.batch_loader import BatchLoader, Group, LoadedBatch
from autofit.input.epoch_order import epoch_order
from autofit.input.sample_reader import SampleReader
from autofit.input.views import ViewIndex
from autofit.protocol.messages import Phase
from autofit.worker.execution.microbatch import MicroBatcher
from autofit.worker.execution.session import Session
from autofit.worker.features.feature_cache import FeatureRows, Features

Values = list[Any]


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """Samples that are gone through in one order, batch by batch: an epoch from a position on, or the validation.

    Attributes:
        first: the first of the samples.
        count: how many there are.
        batch_size: samples a batch; the last may have fewer.
        order: (seed, epoch) of the order, or None: as they come.
        position: in the order, where it begins.
    """

    first: int
    count: int
    batch_size: int
    order: tuple[int, int] | None = None
    position: int = 0

    def bounds(self) -> list[tuple[int, int]]:
        """The `(start, stop)` of each batch in the order."""
        return list(batch_bounds(self.count, self.batch_size, self.position))

    @property
    def epoch(self) -> int | None:
        """Of the training; None for the validation."""
        return self.order[1] if self.order else None

    def groups(self) -> Iterator[Group]:
        """The samples of each batch."""
        order = np.arange(self.count) if self.order is None else epoch_order(self.count, *self.order)
        return (self.first + order[start:stop] for start, stop in self.bounds())


class Samples(Protocol):
    """A batch without those of its samples that cannot be read."""

    @property
    def samples(self) -> NDArray[np.int64]:
        """The data set's indices of those that can, int64 (n,), in the order asked for."""

    @property
    def skipped(self) -> tuple[tuple[int, str], ...]:
        """(index, reason) of each that cannot."""


B = TypeVar("B", bound=Samples)


class Source(Protocol[B]):
    """Batches, and what a network does with one."""

    def batches(self, stretch: EpochPlan, then: EpochPlan | None) -> Iterator[B]:
        """The batches of a stretch, in order; `then` is what will be wanted after it, as far as that is known."""

    def train(self, batch: B, labels: NDArray[np.int64], weights: NDArray[np.float32]) -> dict[str, float]:
        """One update; returns the epoch's metrics so far."""

    def evaluate(self, batch: B, labels: NDArray[np.int64], values: Values) -> Values:
        """The metric values after one batch more."""

    def close(self) -> None:
        """Let go of what it holds."""


class DecodedImages:
    """Images decoded ahead of the training, also over an epoch's end, through the whole network in micro-batches.

    See `Source`.
    """

    def __init__(
        self,
        session: Session,
        loader: BatchLoader,
        pictures: SampleReader,
        micro: MicroBatcher,
        validation_micro: MicroBatcher,
        on_phase: Callable[[Phase], None],
    ) -> None:
        self._session, self._stream, self._pictures = session, loader.stream(), pictures
        self._coming: EpochPlan | None = None
        self._micro, self._validation_micro = micro, validation_micro
        self._on_phase = on_phase

    def batches(self, stretch: EpochPlan, then: EpochPlan | None) -> Iterator[LoadedBatch]:
        """Decoded batches. Where a stretch was left early, or another comes than was said, it begins anew."""
        if stretch != self._coming:
            self._stream.close()
            self._announce(stretch)
        self._coming = None
        if then is not None:
            self._announce(then)
        for _ in stretch.bounds():
            batch = self._stream.take()
            assert batch is not None  # noqa: S101 - it was announced
            yield batch
        self._coming = then

    def _announce(self, stretch: EpochPlan) -> None:
        self._stream.announce(stretch.groups(), self._pictures.of_epoch(stretch.epoch))

    def train(self, batch: LoadedBatch, labels: NDArray[np.int64], weights: NDArray[np.float32]) -> dict[str, float]:
        """Forward and backward, or extraction and head."""
        return self._session.train_batch(batch.images, labels, weights, self._micro, self._on_phase)

    def evaluate(self, batch: LoadedBatch, labels: NDArray[np.int64], values: Values) -> Values:
        """Forward only."""
        return self._session.evaluate_batch(batch.images, labels, values, self._validation_micro)

    def close(self) -> None:
        """Cancel what is decoded ahead; the loader is not ours."""
        self._stream.close()


@dataclass(frozen=True, slots=True, eq=False)
class KeptBatch:
    """A batch of features. See `Samples`."""

    features: Features
    samples: NDArray[np.int64]
    skipped: tuple[tuple[int, str], ...]


class CachedFeatures:
    """Features that were extracted before: an epoch is the head's alone. See `Source`.

    Args:
        session: the network.
        rows: of all slots.
        slots: which row stands for a sample in an epoch.
        reasons: why a sample has none.
        on_phase: hears of the phase.
    """

    def __init__(
        self,
        session: Session,
        rows: FeatureRows,
        slots: ViewIndex,
        reasons: Mapping[int, str],
        on_phase: Callable[[Phase], None],
    ) -> None:
        self._session, self._rows, self._slots, self._reasons = session, rows, slots, reasons
        self._on_phase = on_phase
        self._known = rows.known()

    def batches(self, stretch: EpochPlan, then: EpochPlan | None) -> Iterator[KeptBatch]:
        """Rows out of the cache."""
        del then  # there is nothing to begin early
        for group in stretch.groups():
            asked = np.asarray(group, np.int64)
            slots = self._slots.of(asked, stretch.epoch or 0)
            known = self._known[slots]
            skipped = tuple((sample, self._reasons[sample]) for sample in asked[~known].tolist())
            yield KeptBatch(self._rows.gather(slots[known]), asked[known], skipped)

    def train(self, batch: KeptBatch, labels: NDArray[np.int64], weights: NDArray[np.float32]) -> dict[str, float]:
        """The head's update from the whole batch."""
        self._on_phase(Phase.TRAIN)
        return self._session.train_on_features(batch.features, labels, weights)

    def evaluate(self, batch: KeptBatch, labels: NDArray[np.int64], values: Values) -> Values:
        """The head alone."""
        return self._session.evaluate_step(batch.features, labels, values)

    def close(self) -> None:
        """Let go of the entries."""
        self._rows.close()
