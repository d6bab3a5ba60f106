"""The training loader: decodes batches ahead of the training, in threads of its own, in an order that is given.

Keras's own adapter makes a new pool every epoch and keeps its threads when an epoch is left early; this one does
neither. Threads, because Pillow releases the interpreter's lock while it decodes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from autofit.worker.decode import UnreadableImageError, decode_into

# What TensorFlow asks of an array that it takes without a copy: EIGEN_MAX_ALIGN_BYTES.
ALIGNMENT_BYTES = 64

Group = Sequence[int] | NDArray[np.int64]  # the samples of one batch


@dataclass(frozen=True, slots=True, eq=False)
class LoadedBatch:
    """A batch of decoded images, without those that cannot be read.

    Attributes:
        images: uint8 (n, height, width, 3), RGB, C-contiguous, its start aligned to 64 bytes.
        samples: int64 (n,), the data set's indices of the images, in the order asked for.
        skipped: (index, reason) of each image that cannot be read, in the order asked for.
    """

    images: NDArray[np.uint8]
    samples: NDArray[np.int64]
    skipped: tuple[tuple[int, str], ...]


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Give the order of an epoch: a permutation of `range(count)`, int64 (count,), that depends on nothing else.

    It sorts the raw stream of a bit generator, which NumPy guarantees not to change; that of
    `Generator.permutation` may (NEP 19). `seed` and `epoch` are at least 0 and below 2**64.
    """
    generator = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64))
    return np.argsort(generator.random_raw(count), kind="stable").astype(np.int64, copy=False)


def aligned_empty(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Give an uninitialised uint8 array that starts at a multiple of 64 bytes.

    A compiled TensorFlow function takes such an array without a copy; past the allocator's limit that copy is a
    segmentation fault instead of an error.
    """
    size_bytes = math.prod(shape)
    memory = np.empty(size_bytes + ALIGNMENT_BYTES - 1, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT_BYTES
    return memory[start : start + size_bytes].reshape(shape)


class BatchLoader:
    """Decodes groups of images into batches, ahead of the one who takes them.

    Args:
        paths: The path of each sample, or a function from a sample's index to its path; called in the threads.
        image_size: (height, width) in pixels.
        threads: How many images are decoded at once.
        buffer_bytes: How much may be decoded ahead of the batch that was handed out last. One batch always is.

    Use it as a context manager, or `close()` it: its threads serve any number of `batches()`.
    """

    def __init__(
        self,
        paths: Sequence[str] | Callable[[int], str],
        image_size: tuple[int, int],
        *,
        threads: int,
        buffer_bytes: int,
    ) -> None:
        self._path_of = paths if callable(paths) else paths.__getitem__
        self._image_shape = (*image_size, 3)
        self._buffer_bytes = buffer_bytes
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="autofit-decode")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop what is queued, wait for the images being decoded, and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def batches(self, groups: Iterable[Group]) -> Generator[LoadedBatch, None, None]:
        """Yield one batch a group of sample indices, in the order of the groups and of the indices.

        Of `groups` it takes what it decodes, and one more to see whether that still fits. Closing or dropping the
        generator cancels what is queued; when it returns, nothing of it is being decoded any more.

        Raises:
            Exception: what decoding or `paths` raised, unless it was an `UnreadableImageError`.
        """
        ahead: deque[_BegunBatch] = deque()
        try:
            for group in groups:
                while not self._has_room(ahead, len(group)):
                    yield _finish_first(ahead)
                ahead.append(self._begin(group))
            while ahead:
                yield _finish_first(ahead)
        finally:
            _abandon(ahead)

    def _has_room(self, ahead: Sequence[_BegunBatch], count: int) -> bool:
        """Tell whether `count` more images may be begun. The first batch is no longer ahead: it is handed out next."""
        begun_bytes = [batch.images.nbytes for batch in islice(ahead, 1, None)]
        return not begun_bytes or sum(begun_bytes) + count * math.prod(self._image_shape) <= self._buffer_bytes

    def _begin(self, group: Group) -> _BegunBatch:
        samples = np.array(group, np.int64)
        images = aligned_empty((len(samples), *self._image_shape))
        rows = zip(samples.tolist(), images, strict=True)
        return _BegunBatch(images, samples, [self._pool.submit(self._decode, sample, row) for sample, row in rows])

    def _decode(self, sample: int, row: NDArray[np.uint8]) -> str | None:
        """Decode a sample into its row of a batch; return why it cannot be read, or None."""
        try:
            decode_into(self._path_of(sample), row)
        except UnreadableImageError as error:
            return str(error)
        return None


@dataclass(frozen=True, slots=True, eq=False)
class _BegunBatch:
    """A batch whose rows are being decoded, each in a future that gives None or why it cannot be read."""

    images: NDArray[np.uint8]
    samples: NDArray[np.int64]
    rows: list[Future[str | None]]

    def finish(self) -> LoadedBatch:
        """Wait for all rows and close the gaps of those that cannot be read."""
        reasons = [row.result() for row in self.rows]
        readable = [row for row, reason in enumerate(reasons) if reason is None]
        for target, row in enumerate(readable):
            if target != row:
                self.images[target] = self.images[row]
        outcomes = zip(self.samples.tolist(), reasons, strict=True)
        skipped = tuple((sample, reason) for sample, reason in outcomes if reason is not None)
        return LoadedBatch(self.images[: len(readable)], self.samples[readable], skipped)


def _finish_first(ahead: deque[_BegunBatch]) -> LoadedBatch:
    """Finish the first batch, which stays in `ahead` until then, so that its rows are cancelled if one fails."""
    loaded = ahead[0].finish()
    ahead.popleft()
    return loaded


def _abandon(batches: Iterable[_BegunBatch]) -> None:
    """Cancel the rows that wait for a thread, then wait for those that have one."""
    wait([row for batch in batches for row in batch.rows if not row.cancel()])
