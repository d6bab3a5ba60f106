"""Runs a frozen backbone over images, in micro-batches whose size it tunes, and appends the features to the cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from autofit.cache.entry import EntryWriter
from autofit.cache.identity import Identities
from autofit.input.aligned_array import aligned
from autofit.input.batch_loader import LoadedBatch
from autofit.worker.execution.microbatch import MicroBatcher
from autofit.worker.features.batch_autotune import BatchSizeAutotuner
from autofit.worker.features.feature_cache import ExtractionChunk, Features, Numbers

SYNC_EVERY_SECONDS = 5.0


class Extractor:
    """Extracts features in micro-batches that grow, and shrink where memory runs out.

    Args:
        forward: uint8 images `(n, height, width, 3)` to features `(n, d)`.
        micro: its size; `growth` moves it between blocks.
        growth: how it grows.
        peak_bytes: the allocator's peak since the last call.
        clock: in seconds.
    """

    def __init__(
        self,
        forward: Callable[[NDArray[np.uint8]], object],
        micro: MicroBatcher,
        growth: BatchSizeAutotuner,
        peak_bytes: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._forward, self._micro, self._growth = forward, micro, growth
        self._peak_bytes, self._clock = peak_bytes, clock

    def features_of(self, images: NDArray[np.uint8], at_once: int | None) -> tuple[Features, Numbers]:
        """Features `(n, d)` of n images, and for each the first of those that it was computed with, int64 (n,).

        Raises:
            OutOfDeviceMemoryError: not even a single image fits.
        """
        self._micro.size = at_once or self._growth.size
        starts: list[int] = []
        seconds: list[float] = []

        def one_slice(start: int, stop: int) -> Features:
            began = self._clock()
            features = np.asarray(self._forward(aligned(images[start:stop])), np.float32)
            if stop - start == self._growth.size:
                seconds.append(self._clock() - began)
            starts.extend([start] * (stop - start))
            return features

        parts = self._micro.slices(len(images), one_slice)
        if at_once is None:
            if self._micro.size < self._growth.size:
                self._growth.shrunk(self._micro.size)
            self._growth.note(seconds, self._peak_bytes())
        return np.concatenate(parts), np.asarray(starts, np.int64)


def extract_missing(
    batches: Generator[LoadedBatch, None, None],
    pieces: Sequence[ExtractionChunk],
    writer: EntryWriter,
    images: Identities,
    extractor: Extractor,
    on_block: Callable[[LoadedBatch, int], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Extract what is missing into an entry.

    Args:
        batches: what is missing, decoded, a batch for each of the pieces; closed at the end.
        pieces: how it belongs together.
        writer: where to.
        images: the identities of all slots.
        extractor: how.
        on_block: hears of each block, with what could not be read, and of how many rows were kept before it; it may
            raise to leave.
        clock: in seconds.

    Raises:
        OSError: there is no room for it.
        OutOfDeviceMemoryError: not even a single image fits.
    """
    kept, synced = 0, clock()
    try:
        for piece, batch in zip(pieces, batches, strict=True):
            on_block(batch, kept)
            if len(batch.samples):
                features, slices = extractor.features_of(batch.images, piece.at_once)
                writer.append(images[batch.samples], features, slices)
                kept += len(batch.samples)
            if clock() - synced >= SYNC_EVERY_SECONDS:
                writer.sync()
                synced = clock()
    finally:
        batches.close()
    writer.sync()
