"""The training loader: decodes batches ahead of the training, in threads of its own, in an order that is given.

Keras's own adapter makes a new pool every epoch and keeps its threads when an epoch is left early; this one does
neither. Threads, because Pillow releases the interpreter's lock while it decodes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
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

Decode = Callable[[int, NDArray[np.uint8]], None]
"""Makes a sample into a row, uint8 (height, width, 3), or raises `UnreadableImageError`; called in the threads."""


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

    def stream(self) -> BatchStream:
        """Batches of groups that become known one after another; closed when it is not needed any more."""
        return BatchStream(self._begin, math.prod(self._image_shape), self._buffer_bytes)

    def batches(self, groups: Iterable[Group], decode: Decode | None = None) -> Generator[LoadedBatch, None, None]:
        """Yield one batch a group of sample indices, in the order of the groups and of the indices.

        Of `groups` it takes what it decodes, and one more to see whether that still fits. Closing or dropping the
        generator cancels what is queued; when it returns, nothing of it is being decoded any more. `decode` is as in
        `BatchStream.announce`.

        Raises:
            Exception: what decoding or `paths` raised, unless it was an `UnreadableImageError`.
        """
        stream = self.stream()
        stream.announce(groups, decode)
        try:
            while (batch := stream.take()) is not None:
                yield batch
        finally:
            stream.close()

    def _begin(self, group: Group, decode: Decode | None) -> _BegunBatch:
        samples = np.array(group, np.int64)
        images = aligned_empty((len(samples), *self._image_shape))
        rows = zip(samples.tolist(), images, strict=True)
        how = decode or self._decode_whole
        return _BegunBatch(images, samples, [self._pool.submit(_reason_of, how, sample, row) for sample, row in rows])

    def _decode_whole(self, sample: int, row: NDArray[np.uint8]) -> None:
        decode_into(self._path_of(sample), row)


def _reason_of(decode: Decode, sample: int, row: NDArray[np.uint8]) -> str | None:
    """Decode a sample into its row of a batch; return why it cannot be read, or None."""
    try:
        decode(sample, row)
    except UnreadableImageError as error:
        return str(error)
    return None


class BatchStream:
    """Batches ahead of the one who takes them; groups may be announced while others are still being decoded.

    Args:
        begin: begins to decode a group, in the way that was announced with it.
        image_bytes: of one decoded image.
        buffer_bytes: as in `BatchLoader`.
    """

    def __init__(
        self, begin: Callable[[Group, Decode | None], _BegunBatch], image_bytes: int, buffer_bytes: int
    ) -> None:
        self._begin, self._image_bytes, self._buffer_bytes = begin, image_bytes, buffer_bytes
        self._announced: deque[tuple[Iterator[Group], Decode | None]] = deque()
        self._next: Group | None = None
        self._ahead: deque[_BegunBatch] = deque()

    def announce(self, groups: Iterable[Group], decode: Decode | None = None) -> None:
        """Say what will be wanted after all that was announced before, and how: by default, the whole image."""
        self._announced.append((iter(groups), decode))

    def take(self) -> LoadedBatch | None:
        """The next batch; None after the last that was announced.

        Raises:
            Exception: what decoding or the paths raised, unless it was an `UnreadableImageError`.
        """
        while self._next_group() is not None and self._has_room():
            assert self._next is not None  # noqa: S101 - told just now
            self._ahead.append(self._begin(self._next, self._announced[0][1]))
            self._next = None
        if not self._ahead:
            return None
        loaded = self._ahead[0].finish()  # it stays until then, so that its rows are cancelled if one fails
        self._ahead.popleft()
        return loaded

    def close(self) -> None:
        """Cancel what is queued, and wait for what is being decoded."""
        _abandon(self._ahead)
        self._ahead.clear()
        self._announced.clear()
        self._next = None

    def _next_group(self) -> Group | None:
        """The next group to be begun, taken from what was announced; None where there is none."""
        while self._next is None and self._announced:
            self._next = next(self._announced[0][0], None)
            if self._next is None:
                self._announced.popleft()
        return self._next

    def _has_room(self) -> bool:
        """Tell whether the next group may be begun. The first batch is no longer ahead: it is handed out next."""
        count = len(self._next) if self._next is not None else 0
        begun_bytes = [batch.images.nbytes for batch in islice(self._ahead, 1, None)]
        return not begun_bytes or sum(begun_bytes) + count * self._image_bytes <= self._buffer_bytes


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


def _abandon(batches: Iterable[_BegunBatch]) -> None:
    """Cancel the rows that wait for a thread, then wait for those that have one."""
    wait([row for batch in batches for row in batch.rows if not row.cancel()])
