"""Runs a frozen backbone over images, in micro-batches whose size it tunes, and appends the features to the cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autofit.cache.entry import EntryWriter
from autofit.cache.feature_rows import Features, Numbers
from autofit.cache.identity import Identities
from autofit.errors import UserError
from autofit.input.aligned_array import aligned, padded
from autofit.input.batch_loader import Decode, LoadedBatch
from autofit.input.decode import lacks_its_end
from autofit.worker.execution.microbatch import MicroBatcher
from autofit.worker.features.batch_autotune import BatchSizeAutotuner
from autofit.worker.features.features_record import ExtractionChunk

SYNC_EVERY_SECONDS = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Photos:
    """The images of an extraction, one for each row.

    Attributes:
        path: gives the path of an image, by its row.
        identities: the identities of all images, uint64 (n, 2).
        decode: makes the pixels of an image.
    """

    path: Callable[[int], str]
    identities: Identities
    decode: Decode


class Extractor:
    """Extracts features in micro-batches that grow, and shrink if memory runs out.

    Args:
        forward: computes the features of uint8 images `(n, height, width, 3)`, one row each.
        micro: runs the micro-batches.
        autotuner: chooses their size between blocks.
        peak_bytes: returns the allocator's peak since the last call.
        clock: gives the time in seconds.
        pads: whether each micro-batch is padded with zeros to its full size.
    """

    def __init__(
        self,
        forward: Callable[[NDArray[np.uint8]], Any],
        micro: MicroBatcher,
        autotuner: BatchSizeAutotuner,
        peak_bytes: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        *,
        pads: bool = False,
    ) -> None:
        self._forward, self._micro, self._autotuner, self._pads = forward, micro, autotuner, pads
        self._peak_bytes, self._clock = peak_bytes, clock

    def features_of(self, images: NDArray[np.uint8], at_once: int | None) -> tuple[Features, Numbers]:
        """The features of n images, and for each the number of the first image of its micro-batch, int64 (n,).

        Raises:
            OutOfDeviceMemoryError: not even a single image fits.
            UserError: features at a cut are too small for float16.
        """
        self._micro.size = at_once or self._autotuner.size
        starts: list[int] = []
        seconds: list[float] = []

        def one_slice(start: int, stop: int) -> Features:
            began = self._clock()
            features = self._forward_padded(images[start:stop], at_once)
            if stop - start == self._autotuner.size:
                seconds.append(self._clock() - began)
            starts.extend([start] * (stop - start))
            return features

        parts = self._micro.slices(len(images), one_slice)
        if at_once is None:
            if self._micro.size < self._autotuner.size:
                self._autotuner.shrunk(self._micro.size)
            self._autotuner.note(seconds, self._peak_bytes())
        return _not_below_float16(np.concatenate(parts)), np.asarray(starts, np.int64)

    def _forward_padded(self, images: NDArray[np.uint8], at_once: int | None) -> Features:
        """The features of one micro-batch. One that is computed again, of `at_once` images, is padded as before."""
        if not self._pads:
            return np.asarray(self._forward(aligned(images)))
        rows = self._micro.size
        if rows == at_once:
            rows = max(rows, self._autotuner.size)
        return np.asarray(self._forward(padded(images, rows)))[: len(images)]


def _not_below_float16(features: Features) -> Features:
    """The features of a block, if they are float32, or some are as large as float16 is exact for: else they are noise.

    Of a single image nothing is concluded: it may be black.

    Raises:
        UserError: none is.
    """
    is_block = features.dtype == np.float16 and len(features) > 1
    if is_block and max(features.max(), -features.min()) < np.finfo(np.float16).smallest_normal:
        raise UserError(
            "the layer that is fine-tuned from gives values too small for float16, or none but 0: give another "
            "fine_tune_from"
        )
    return features


def extract_missing(
    batches: Generator[LoadedBatch, None, None],
    chunks: Sequence[ExtractionChunk],
    writer: EntryWriter,
    photos: Photos,
    extractor: Extractor,
    require_finite: Callable[[Features, Numbers], None],
    on_block: Callable[[LoadedBatch, int], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Extract missing features and append them to an entry.

    Args:
        batches: a decoded batch for each chunk; it is closed at the end.
        chunks: the missing rows.
        writer: the writer of the entry.
        photos: the images of all rows.
        extractor: computes the features.
        require_finite: called with features and the numbers of their rows before they are appended; it raises a
            UserError if they are no numbers.
        on_block: called before the extraction of each block, with its batch and the number of rows appended so far; it
            may raise to stop.
        clock: gives the time in seconds.

    Raises:
        OSError: there is no room for the features.
        OutOfDeviceMemoryError: not even a single image fits.
        UserError: features are no numbers, or too small for float16.
    """
    written, synced = 0, clock()
    try:
        for chunk, batch in zip(chunks, batches, strict=True):
            on_block(batch, written)
            if len(batch.samples):
                features, slices = extractor.features_of(batch.images, chunk.at_once)
                require_finite(features, batch.samples)
                cut_off = np.array([lacks_its_end(photos.path(row)) for row in batch.samples.tolist()])
                writer.append(photos.identities[batch.samples], features, slices, cut_off)
                written += len(batch.samples)
            if clock() - synced >= SYNC_EVERY_SECONDS:
                writer.sync()
                synced = clock()
    finally:
        batches.close()
    writer.sync()
