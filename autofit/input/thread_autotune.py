"""How many images are decoded at once, found by measuring while the training runs; pure.

A thread for each core keeps the cores busy where files come at once. Where each file is waited for, as on a mounted
drive, it takes many more. How long a thread waited does not tell these apart: a thread waits in the same way for a core
that the training uses. So more threads are tried, and kept where images/s rose.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

WAITS = 0.1
"""Below this share of the time, waiting for batches is not worth more threads: without it all is 1.1 times as fast."""

WORTH_IT = 1.1
"""Twice the threads are kept where images/s rise by so much. Files that each are waited for give nearly 2."""

NO_LOSS = 0.95
"""Half the threads are kept where so much of the images/s stays."""

CHANGED = 1.5
"""When images/s are by so much higher or lower than they were, the number is looked for again."""

WINDOWS = 3
"""The median of so many windows counts: a single odd one never decides."""

PATIENCE = 10
"""After so many measurements twice the threads are tried again, then after twice as many: a slow spell of the storage
may have hidden what they are worth, and a try costs little."""

THREADS_A_CORE, MOST_THREADS = 16, 64
"""The bound. A core that takes 5 ms a photo is kept busy by 16 threads through waits of 75 ms a file. 64 threads read
640 files/s where each is waited for 100 ms, about as many as four such cores decode."""

SHARE_FOR_THREADS = 0.75
"""Of the buffer, so much may go to more threads. What they take is not there for batches ahead, of which they need few:
those hide a slow batch as well."""


def most_useful_threads(cores: int) -> int:
    """The bound on the number of threads, as far as it depends on the cores."""
    return max(cores, min(THREADS_A_CORE * cores, MOST_THREADS))


def thread_bytes(image_size: tuple[int, int]) -> int:
    """What one thread more is taken to hold, on average, where photos are decoded to (height, width).

    A JPEG is decoded at the smallest of the scales 1, 1/2, 1/4 and 1/8 that has twice the target (`decode.py`): its
    shorter side stays under four times the target, its longer one at 3:2 under six. Pillow takes 4 bytes a pixel: 4.8
    MB for 224x224, and 5.7 MB were measured in all. Half of the threads are taken to wait for a file: they hold
    nothing. A PNG or a progressive JPEG of 12 megapixels takes some 45 MB instead; where memory runs short of that, the
    next attempt has half the buffer, and so half as many threads more.
    """
    side = max(image_size)
    return (4 * side) * (6 * side) * 4 // 2


def extra_threads(image_size: tuple[int, int], buffer_bytes: int, beside_bytes: int = 0) -> int:
    """How many threads more than the first a buffer pays for, and what there is beside it for nothing else."""
    return (int(SHARE_FOR_THREADS * buffer_bytes) + beside_bytes) // thread_bytes(image_size)


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured over some time, with one number of threads.

    Attributes:
        seconds: how long it was, over 0.
        images: how many were decoded.
        waited_seconds: how long the one who takes the batches had to wait for them.
        cpu_seconds: of processor time, that the decoding took.
    """

    seconds: float
    images: int
    waited_seconds: float
    cpu_seconds: float


class ThreadChoice:
    """Chooses the number of threads, window by window.

    It doubles while the taker waits, the decoding leaves cores idle, and images/s rise by a worthwhile share; else it
    goes back and stays. Windows in which the taker hardly waited say nothing: what is decoded then is what it takes.
    When images/s have changed clearly, more threads are tried again, and if these do not help, fewer.

    Args:
        first: where it starts, as many as there are cores, and the least it chooses. With fewer no core has more to
            do: they cannot help one who waits.
        most: the largest number.

    Attributes:
        threads: the number chosen.
    """

    def __init__(self, first: int, most: int) -> None:
        self.threads = self._kept = self._first = first
        self._most = max(first, most)
        self._windows: list[Window] = []
        self._rate = 0.0  # images/s with the number that is kept
        self._is_searching, self._may_fall = True, False
        self._patience = self._remaining = PATIENCE

    def note(self, window: Window) -> None:
        """What was measured with the present number."""
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
        if self.threads != self._kept:
            self._end_try(rate, has_idle_cores=has_idle_cores)
        elif self._is_due(rate):
            self._rate = rate
            self._try_next(has_idle_cores=has_idle_cores)

    def _is_due(self, rate: float) -> bool:
        """Whether another number is to be tried."""
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
        """Keep the number that was tried, and go on in its direction; or go back."""
        is_more = self.threads > self._kept
        if rate >= (WORTH_IT if is_more else NO_LOSS) * self._rate:
            self._kept, self._patience = self.threads, PATIENCE
            self._rate = rate if is_more else max(rate, self._rate)  # or small losses would add up
            self._may_fall = not is_more
            self._try_next(has_idle_cores=has_idle_cores and is_more)
        else:
            self.threads = self._kept
            self._may_fall = self._may_fall and is_more
            self._try_next(has_idle_cores=False)

    def _try_next(self, *, has_idle_cores: bool) -> None:
        """Try more where they could help, else fewer where that was asked for, else stay."""
        self._is_searching = False
        if has_idle_cores and self._kept < self._most:
            self.threads = min(2 * self._kept, self._most)
        elif self._may_fall and self._kept > self._first:
            self.threads = max(self._kept // 2, self._first)
        else:
            self._may_fall, self._remaining = False, self._patience
