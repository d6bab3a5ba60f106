"""The training loader: decodes batches ahead of the training, in threads of its own, in an order that is given.

How many threads, it finds by measuring (`threads.py`): where each file is waited for, many more than there are cores.
What a batch is, and its pixels, do not depend on that.

Keras's own adapter makes a new pool every epoch and keeps its threads when an epoch is left early; this one does
neither. Threads, because Pillow releases the interpreter's lock while it decodes.
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
from autofit.input.decode import UnreadableImageError, decode_into
from autofit.input.resizable_pool import ResizablePool
from autofit.input.thread_autotune import ThreadChoice, extra_threads, most_useful_threads, thread_bytes
from autofit.input.wait_meter import WaitMeter

WINDOW_ROUNDS = 4
"""A window is so long at least, and has so many images a thread: new threads need a while for their first."""

Group = Sequence[int] | NDArray[np.int64]  # the samples of one batch

Decode = Callable[[int, NDArray[np.uint8]], None]
"""Makes a sample into a row, uint8 (height, width, 3), or raises `UnreadableImageError`; called in the threads."""

ResultOf = Callable[[Future["str | None"]], "str | None"]


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


class BatchLoader:
    """Decodes groups of images into batches, ahead of the one who takes them.

    Args:
        paths: The path of each sample, or a function from a sample's index to its path; called in the threads.
        image_size: (height, width) in pixels.
        threads: How many images are decoded at once, to begin with: as many as there are cores.
        buffer_bytes: How much may be decoded ahead of the batch that was handed out last. One batch always is. What
            more threads may hold is taken from it.
        threads_bytes: What more threads may hold before that.
        most_threads: How many threads it may come to; by default, what the cores and the buffer allow.
        meter: Measures what the threads do.

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
    ) -> None:
        self._path_of = paths if callable(paths) else paths.__getitem__
        self._image_shape = (*image_size, 3)
        self._buffer_bytes, self._threads_bytes, self._first_threads = buffer_bytes, threads_bytes, threads
        self._thread_bytes = thread_bytes(image_size)
        if most_threads is None:
            extra = extra_threads(image_size, buffer_bytes, threads_bytes)
            most_threads = min(most_useful_threads(threads), threads + extra)
        self._choice = ThreadChoice(threads, most_threads)
        self._meter = meter or WaitMeter()
        self._pool = ResizablePool(threads, "autofit-decode")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop what is queued, wait for the images being decoded, and end the threads."""
        self._pool.close()

    @property
    def threads(self) -> int:
        """How many images are decoded at once just now."""
        return self._pool.threads

    def stream(self) -> BatchStream:
        """Batches of groups that become known one after another; closed when it is not needed any more."""
        return BatchStream(self._begin, self._result_of, math.prod(self._image_shape), self._ahead_bytes)

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
        calls = [partial(self._reason_of, how, sample, row) for sample, row in rows]
        return _BegunBatch(images, samples, [self._pool.submit(call) for call in calls])

    def _ahead_bytes(self) -> int:
        """What may be decoded ahead, with the present number of threads."""
        more = max(0, self._pool.threads - self._first_threads)
        return self._buffer_bytes - max(0, more * self._thread_bytes - self._threads_bytes)

    def _result_of(self, row: Future[str | None]) -> str | None:
        """Wait for a row, and see whether it is time for another number of threads."""
        with self._meter.waiting():
            reason = row.result()
        window = self._meter.window(WINDOW_ROUNDS * self._pool.threads)
        if window is not None:
            self._choice.note(window)
            with contextlib.suppress(RuntimeError):  # no thread can be started: it measures that more are of no use
                self._pool.resize(self._choice.threads)
        return reason

    def _reason_of(self, decode: Decode, sample: int, row: NDArray[np.uint8]) -> str | None:
        """Decode a sample into its row of a batch; return why it cannot be read, or None."""
        with self._meter.decoding():
            try:
                decode(sample, row)
            except UnreadableImageError as error:
                return str(error)
        return None

    def _decode_whole(self, sample: int, row: NDArray[np.uint8]) -> None:
        decode_into(self._path_of(sample), row)


class BatchStream:
    """Batches ahead of the one who takes them; groups may be announced while others are still being decoded.

    Args:
        begin: begins to decode a group, in the way that was announced with it.
        result_of: waits for a row.
        image_bytes: of one decoded image.
        ahead_bytes: tells how much may be decoded ahead of the batch that was handed out last.
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
        first = self._ahead[0]  # it stays until it is whole, so that its rows are cancelled if one fails
        loaded = first.finish(self._result_of)
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
        return not begun_bytes or sum(begun_bytes) + count * self._image_bytes <= self._ahead_bytes()


@dataclass(frozen=True, slots=True, eq=False)
class _BegunBatch:
    """A batch whose rows are being decoded, each in a future that gives None or why it cannot be read."""

    images: NDArray[np.uint8]
    samples: NDArray[np.int64]
    rows: list[Future[str | None]]

    def finish(self, result_of: ResultOf) -> LoadedBatch:
        """Wait for all rows and close the gaps of those that cannot be read."""
        reasons = [result_of(row) for row in self.rows]
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
