"""The training loader: decodes batches ahead of the training, in threads of its own, in a given order.

It finds the number of threads by measuring (`thread_autotune.py`): on slow storage there may be many more threads than
cores. Neither the batches nor their pixels depend on that number.

Keras's own adapter makes a new pool in every epoch and keeps its threads when an epoch is stopped early; this loader
does neither. It uses threads because Pillow releases the interpreter's lock while it decodes.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from autofit.input.aligned_array import aligned_empty
from autofit.input.decode import decode_into
from autofit.input.drive_patience import DrivePatience
from autofit.input.image_files import UnreadableImageError
from autofit.input.loader_limit import loader_limit
from autofit.input.resizable_pool import ResizablePool
from autofit.input.thread_autotune import ThreadChoice, extra_threads, most_useful_threads, thread_bytes
from autofit.input.wait_meter import WaitMeter

WINDOW_ROUNDS = 4
"""A measuring window has at least this many images per thread: a new thread needs some time for its first image."""

ABANDON_SECONDS = 2.0
"""How long to wait for images that are being decoded but are no longer needed: their drive may hang."""

Group = Sequence[int] | NDArray[np.int64]  # the samples of one batch

Decode = Callable[[int, NDArray[np.uint8]], None]
"""Decodes a sample into a row, uint8 (height, width, 3), or raises `UnreadableImageError`; called in the threads."""

ResultOf = Callable[[Future["str | None"]], "str | None"]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedBatch:
    """A batch of decoded images, without those that cannot be read.

    Attributes:
        images: uint8 (n, height, width, 3), RGB, C-contiguous, its start aligned to 64 bytes.
        samples: int64 (n,), the data set's indices of the images, in the order of the group.
        skipped: (index, reason) of each image that cannot be read, in the order of the group.
    """

    images: NDArray[np.uint8]
    samples: NDArray[np.int64]
    skipped: tuple[tuple[int, str], ...]


class BatchLoader:
    """Decodes groups of images into batches, ahead of their consumer.

    Args:
        paths: The path of each sample, or a function from a sample's index to its path; called in the threads.
        image_size: (height, width) in pixels.
        threads: How many images are decoded at once in the beginning: as many as there are cores.
        buffer_bytes: The memory for images that are decoded ahead of the batch that was handed out last; one batch is
            decoded ahead in any case. Memory of additional threads beyond `threads_bytes` is subtracted from it.
        threads_bytes: The memory that additional threads may take without reducing the buffer.
        most_threads: The largest number of threads; by default, what the cores and the buffer allow.
        meter: Measures decoding and waiting.
        patience: Reads images again where their drive fails.

    Use it as a context manager, or `close()` it: its threads serve any number of `batches()`.
    """

    def __init__(
        self,
        paths: Sequence[str] | Callable[[int], str],
        image_size: tuple[int, int],
        *,
        threads: int,
        buffer_bytes: int,
        threads_bytes: int = 0,
        most_threads: int | None = None,
        meter: WaitMeter | None = None,
        patience: DrivePatience | None = None,
    ) -> None:
        self._path_of = paths if callable(paths) else paths.__getitem__
        self._image_shape = (*image_size, 3)
        self._buffer_bytes, self._threads_bytes, self._first_threads = buffer_bytes, threads_bytes, threads
        self._thread_bytes = thread_bytes(image_size)
        if most_threads is None:
            extra = extra_threads(image_size, buffer_bytes, threads_bytes)
            most_threads = min(most_useful_threads(threads), threads + extra)
        self._choice = ThreadChoice(threads, most_threads)
        self._meter, self._patience = meter or WaitMeter(), patience or DrivePatience()
        self._pool = ResizablePool(threads, "autofit-decode")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cancel the queued images, wait for those being decoded unless their drive hangs, and end the threads."""
        self._patience.close()
        self._pool.close()

    @property
    def threads(self) -> int:
        """How many images are decoded at once now."""
        return self._pool.threads

    def limit_words(self, device_rate: float | None = None) -> str:
        """A line if the consumer is limited by the loader, else empty; `device_rate` is as in `loader_limit`."""
        return loader_limit(
            self._meter.whole(), threads=self.threads, cores=self._first_threads, device_rate=device_rate
        )

    def stream(self) -> BatchStream:
        """A stream of batches whose groups are announced one after another; the caller closes it."""
        return BatchStream(self._begin, self._result_of, math.prod(self._image_shape), self._ahead_bytes)

    def batches(self, groups: Iterable[Group], decode: Decode | None = None) -> Generator[LoadedBatch, None, None]:
        """Yield one batch per group of sample indices, in the order of the groups and of the indices.

        It takes from `groups` only those that it decodes, and one more to see whether that still fits. Closing or
        dropping the generator cancels the queued images; when that returns, no image is being decoded any more.
        `decode` is as in `BatchStream.announce`.

        Raises:
            Exception: any exception of decoding or `paths`, except `UnreadableImageError`.
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
        calls = [partial(self._reason_of, how, sample, row) for sample, row in rows]
        return _BegunBatch(images, samples, [self._pool.submit(call) for call in calls])

    def _ahead_bytes(self) -> int:
        """How many bytes of images may be decoded ahead with the present number of threads."""
        more = max(0, self._pool.threads - self._first_threads)
        return self._buffer_bytes - max(0, more * self._thread_bytes - self._threads_bytes)

    def _result_of(self, row: Future[str | None]) -> str | None:
        """Wait for a row; if a measuring window has ended, change the number of threads as it suggests."""
        with self._meter.waiting():
            reason = self._patience.result(row)
        window = self._meter.window(WINDOW_ROUNDS * self._pool.threads)
        if window is not None:
            self._choice.note(window)
            with contextlib.suppress(
                RuntimeError
            ):  # no thread can be started: the next window will show that more threads do not help
                self._pool.resize(self._choice.threads)
        return reason

    def _reason_of(self, decode: Decode, sample: int, row: NDArray[np.uint8]) -> str | None:
        """Decode a sample into its row of a batch; return why it cannot be read, or None."""
        with self._meter.decoding():
            try:
                self._patience.read(partial(decode, sample, row))
            except UnreadableImageError as error:
                return str(error)
        return None

    def _decode_whole(self, sample: int, row: NDArray[np.uint8]) -> None:
        decode_into(self._path_of(sample), row)


class BatchStream:
    """Batches ahead of their consumer; groups may be announced while others are still being decoded.

    Args:
        begin: starts to decode a group, with the function that was announced with it.
        result_of: waits for a row and returns why it cannot be read, or None.
        image_bytes: size of a decoded image.
        ahead_bytes: returns how much may be decoded ahead of the batch that was handed out last.
    """

    def __init__(
        self,
        begin: Callable[[Group, Decode | None], _BegunBatch],
        result_of: ResultOf,
        image_bytes: int,
        ahead_bytes: Callable[[], int],
    ) -> None:
        self._begin, self._result_of = begin, result_of
        self._image_bytes, self._ahead_bytes = image_bytes, ahead_bytes
        self._announced: deque[tuple[Iterator[Group], Decode | None]] = deque()
        self._next: Group | None = None
        self._ahead: deque[_BegunBatch] = deque()

    def announce(self, groups: Iterable[Group], decode: Decode | None = None) -> None:
        """Add groups after those that were announced before, and how to decode them; by default, whole images."""
        self._announced.append((iter(groups), decode))

    def take(self) -> LoadedBatch | None:
        """The next batch; None after the last announced group.

        Raises:
            Exception: any exception of decoding or the paths, except `UnreadableImageError`.
        """
        while self._next_group() is not None and self._has_room():
            assert self._next is not None  # noqa: S101 - `_next_group` has just returned it
            self._ahead.append(self._begin(self._next, self._announced[0][1]))
            self._next = None
        if not self._ahead:
            return None
        first = self._ahead[0]  # it stays until all rows are decoded, so that they are cancelled if one fails
        loaded = first.finish(self._result_of)
        self._ahead.popleft()
        return loaded

    def close(self) -> None:
        """Cancel the queued images, and wait for those being decoded."""
        _abandon(self._ahead)
        self._ahead.clear()
        self._announced.clear()
        self._next = None

    def _next_group(self) -> Group | None:
        """The next of the announced groups to be decoded; None if there is none."""
        while self._next is None and self._announced:
            self._next = next(self._announced[0][0], None)
            if self._next is None:
                self._announced.popleft()
        return self._next

    def _has_room(self) -> bool:
        """Whether the next group may be started. The first batch does not count as ahead: it is handed out next."""
        count = len(self._next) if self._next is not None else 0
        begun_bytes = [batch.images.nbytes for batch in islice(self._ahead, 1, None)]
        return not begun_bytes or sum(begun_bytes) + count * self._image_bytes <= self._ahead_bytes()


@dataclass(frozen=True, slots=True, eq=False)
class _BegunBatch:
    """A batch whose rows are being decoded. Each row's future gives the reason why it cannot be read, or None."""

    images: NDArray[np.uint8]
    samples: NDArray[np.int64]
    rows: list[Future[str | None]]

    def finish(self, result_of: ResultOf) -> LoadedBatch:
        """Wait for all rows, and remove those that cannot be read."""
        reasons = [result_of(row) for row in self.rows]
        readable = [row for row, reason in enumerate(reasons) if reason is None]
        for target, row in enumerate(readable):
            if target != row:
                self.images[target] = self.images[row]
        outcomes = zip(self.samples.tolist(), reasons, strict=True)
        skipped = tuple((sample, reason) for sample, reason in outcomes if reason is not None)
        return LoadedBatch(self.images[: len(readable)], self.samples[readable], skipped)


def _abandon(batches: Iterable[_BegunBatch]) -> None:
    """Cancel the rows that wait for a thread, then wait for those being decoded, though not for a drive that hangs."""
    wait([row for batch in batches for row in batch.rows if not row.cancel()], ABANDON_SECONDS)
