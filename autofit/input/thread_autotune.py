"""The number of decoding threads, found by measuring while the training runs. Pure.

One thread per core keeps the cores busy if files are read without delay. On a slow drive, where each file takes time,
many more are needed. The time that threads wait does not tell these cases apart: a thread also waits for a core that
the training uses. So more threads are tried, and kept if images/s rose.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

WAITS = 0.1
"""If the consumer waits for less than this share of the time, no more threads are tried: without any waiting, training
would be at most 1.1 times as fast."""

WORTH_IT = 1.1
"""Twice the threads are kept if images/s rise by this factor; on a slow drive they nearly double."""

NO_LOSS = 0.95
"""Half the threads are kept if at least this share of the images/s remains."""

CHANGED = 1.5
"""The search begins again if images/s have become higher or lower by this factor."""

WINDOWS = 3
"""The median over this many windows decides, so that a single odd window does not."""

PATIENCE = 10
"""After this many measurements twice the threads are tried again, then after twice as many measurements, and so on:
slow storage may have hidden their gain for a while, and a try costs little."""

THREADS_A_CORE, MOST_THREADS = 16, 256
"""The largest number of threads per core, and in all. A core that needs 5 ms to decode a photo is kept busy by 16
threads if each file takes 75 ms to read. 256 threads, the number for 16 cores, read 2,290 files/s if each takes 100 ms,
which is 89 % of the ideal, on two busy cores (2026-11-29); 64 threads fed four such cores at most."""

SHARE_FOR_THREADS = 0.75
"""The share of the buffer that additional threads may take. It is then not available for batches that are decoded
ahead, but with many threads few of these are needed: threads hide the delay of slow files, too."""


def most_useful_threads(cores: int) -> int:
    """The largest useful number of threads, as far as it depends on the cores."""
    return max(cores, min(THREADS_A_CORE * cores, MOST_THREADS))


def thread_bytes(image_size: tuple[int, int]) -> int:
    """The estimated memory of one more thread, on average, if photos are decoded to (height, width).

    A JPEG is decoded at the smallest of the scales 1, 1/2, 1/4 and 1/8 that has twice the target (`decode.py`): its
    shorter side stays under four times the target, its longer one at 3:2 under six. Pillow takes 4 bytes a pixel: 4.8
    MB for 224x224, and 5.7 MB were measured in all. Half of the threads are assumed to wait for a file: they hold
    nothing. A PNG or a progressive JPEG of 12 megapixels takes some 45 MB instead; if memory runs out because of that,
    the next attempt has half the buffer, and so half as many additional threads.
    """
    side = max(image_size)
    return (4 * side) * (6 * side) * 4 // 2


def extra_threads(image_size: tuple[int, int], buffer_bytes: int, beside_bytes: int = 0) -> int:
    """How many additional threads fit into their share of the buffer and the `beside_bytes` that only they may use."""
    return (int(SHARE_FOR_THREADS * buffer_bytes) + beside_bytes) // thread_bytes(image_size)


@dataclass(frozen=True, slots=True)
class Window:
    """The measurements over a period with an unchanged number of threads.

    Attributes:
        seconds: the length of the period, above 0.
        images: how many images were decoded.
        waited_seconds: how long the consumer of the batches waited for them.
        cpu_seconds: processor time of the decoding.
    """

    seconds: float
    images: int
    waited_seconds: float
    cpu_seconds: float


class ThreadChoice:
    """Chooses the number of threads, window by window.

    The number doubles while the consumer waits, decoding leaves cores idle, and images/s rise by `WORTH_IT`; otherwise
    it goes back to the number before and stays there. Windows in which the consumer hardly waited are ignored, since
    images/s then depend on the consumer. If images/s have changed clearly, more threads are tried again, and if these
    do not help, fewer.

    Args:
        first: the number at the start, as many as there are cores. It is also the smallest number: fewer threads than
            cores would never be faster.
        most: the largest number.

    Attributes:
        threads: the chosen number.
    """

    def __init__(self, first: int, most: int) -> None:
        self.threads = self._settled = self._first = first
        self._most = max(first, most)
        self._windows: list[Window] = []
        self._rate = 0.0  # images/s with the settled number
        self._is_searching, self._may_fall = True, False
        self._patience = self._remaining = PATIENCE

    def note(self, window: Window) -> None:
        """Take a window that was measured with the present number of threads."""
        if self._first == self._most or window.waited_seconds < WAITS * window.seconds:
            return
        self._windows.append(window)
        if len(self._windows) < WINDOWS:
            return
        rate = statistics.median(one.images / one.seconds for one in self._windows)
        busy_cores = statistics.median(one.cpu_seconds / one.seconds for one in self._windows)
        self._windows.clear()
        self._judge(rate, has_idle_cores=busy_cores * WORTH_IT < self._first)

    def _judge(self, rate: float, *, has_idle_cores: bool) -> None:
        if self.threads != self._settled:
            self._end_try(rate, has_idle_cores=has_idle_cores)
        elif self._is_due(rate):
            self._rate = rate
            self._try_next(has_idle_cores=has_idle_cores)

    def _is_due(self, rate: float) -> bool:
        """Whether it is time to try another number."""
        if self._is_searching:
            return True
        if not self._rate / CHANGED <= rate <= self._rate * CHANGED:
            self._may_fall, self._patience = True, PATIENCE
            return True
        self._remaining -= 1
        if self._remaining:
            return False
        self._patience *= 2
        return True

    def _end_try(self, rate: float, *, has_idle_cores: bool) -> None:
        """Settle on the number that was tried and go on in its direction, or go back."""
        is_more = self.threads > self._settled
        if rate >= (WORTH_IT if is_more else NO_LOSS) * self._rate:
            self._settled, self._patience = self.threads, PATIENCE
            self._rate = rate if is_more else max(rate, self._rate)  # or small losses would add up
            self._may_fall = not is_more
            self._try_next(has_idle_cores=has_idle_cores and is_more)
        else:
            self.threads = self._settled
            self._may_fall = self._may_fall and is_more
            self._try_next(has_idle_cores=False)

    def _try_next(self, *, has_idle_cores: bool) -> None:
        """Try more threads if they could help, else fewer if `_may_fall`, else stay."""
        self._is_searching = False
        if has_idle_cores and self._settled < self._most:
            self.threads = min(2 * self._settled, self._most)
        elif self._may_fall and self._settled > self._first:
            self.threads = max(self._settled // 2, self._first)
        else:
            self._may_fall, self._remaining = False, self._patience
