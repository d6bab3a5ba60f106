"""How many images at once, found while the work goes on: it doubles while that makes it faster.

It starts small, or at the size that was the fastest on this machine before. Such a size is a hint: where nothing larger
turns out to be faster, smaller ones are looked at as well. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

WORTH_IT = 1.03
"""A size that is not by so much faster than half of it is not worth its memory."""

SHARE_OF_THE_LIMIT = 0.9
"""What is foreseen to take more than this share of the allocator's limit is not tried: an out-of-memory costs 10 s."""


def starting_size(usual: int, known: int | None, known_peak_bytes: int, most: int, limit_bytes: int) -> int:
    """Where an extraction starts, in images at once.

    Args:
        usual: where it starts on a machine that nobody knows.
        known: the size that was the fastest here before; None where there was none.
        known_peak_bytes: what the allocator took with it; 0 where nobody knows.
        most: the largest size of interest.
        limit_bytes: what tensors may take now; 0 where nobody knows.
    """
    if known is None or known < 1:
        return usual
    if not limit_bytes:
        return max(usual, min(known, most))
    if known_peak_bytes < 1:
        return usual
    room = SHARE_OF_THE_LIMIT * limit_bytes
    if known_peak_bytes > room:
        return min(usual, max(1, known // 2))
    if known >= usual:
        return min(known, most)
    return known if known_peak_bytes / known * usual > room else usual


class BatchSizeAutotuner:
    """The micro-batch size of an extraction.

    Args:
        first: where it starts, in images.
        most: the largest size of interest.
        limit_bytes: what tensors may take; 0 where nobody knows.
        least: the smallest size of interest; where it is less than `first`, smaller sizes are looked at too.
    """

    def __init__(self, first: int, most: int, limit_bytes: int, least: int | None = None) -> None:
        self.size = first
        self._first, self._most, self._least = first, most, first if least is None else min(first, least)
        self._limit_bytes = limit_bytes
        self._best = first
        self._rates: dict[int, float] = {}
        self._peaks: dict[int, int] = {}
        self._run: set[int] = set()
        self._ran_out = False
        self.done = self._is_given = self._least == first >= most

    def note(self, seconds: Sequence[float], peak_bytes: int) -> None:
        """What pieces of the present size took: seconds each, and the allocator's peak (0 where it is not known)."""
        telling = self._telling(seconds)
        if self._is_given or not telling:
            return
        rate = self.size / max(min(telling), 1e-9)  # the least: what else the machine does only adds
        self._rates[self.size] = max(rate, self._rates.get(self.size, 0.0))
        if peak_bytes:
            self._peaks[self.size] = max(peak_bytes, self._peaks.get(self.size, 0))
        if not self.done:
            self._choose()

    def shrunk(self, size: int) -> None:
        """It ran out of memory, and goes on with this size for good."""
        self.size = self._best = size
        self._run.add(size)
        self.done = self._ran_out = True

    @property
    def fastest(self) -> int:
        """The size that was the fastest so far; after running out, the one that was left."""
        return self._best

    @property
    def rate(self) -> float:
        """The images a second that the fastest size makes; 0 where nothing was measured of it."""
        return self._rates.get(self._best, 0.0)

    @property
    def peak_bytes(self) -> int:
        """What the allocator took with the fastest size; 0 where it is not known."""
        return self._peaks.get(self._best, 0)

    def _telling(self, seconds: Sequence[float]) -> Sequence[float]:
        """Without the first piece of a size, for which kernels are made, and the pieces before running out.

        The very first piece traces as well. oneDNN made its kernels for 32 images of a MobileNetV2 in 0.17 s, three
        times what the piece itself took (AMD EPYC with AVX-512, 2026-11-27).
        """
        if self._ran_out:
            self._ran_out = False
            return ()
        if self.size not in self._run and seconds:
            self._run.add(self.size)
            return seconds[1:]
        return seconds

    def _choose(self) -> None:
        """The next size to be measured, or the best, for good."""
        if self.size < self._first:
            self._fall()
        elif self.size == self._first or self._rates[self.size] >= WORTH_IT * self._rates[self._best]:
            self._best = self.size
            self._rise()
        else:
            self._no_larger()

    def _rise(self) -> None:
        following = min(2 * self.size, self._most)
        if following > self.size and self._is_foreseen_to_fit(following):
            self.size = following
        else:
            self._no_larger()

    def _no_larger(self) -> None:
        """Where a larger size was worth it, smaller ones than the first are not."""
        if self._best > self._first:
            self._settle()
        else:
            self._look_below()

    def _fall(self) -> None:
        """The best so far is twice the present size, which is better unless that was worth its memory."""
        if self._rates[self._best] < WORTH_IT * self._rates[self.size]:
            self._best = self.size
            self._look_below()
        else:
            self._settle()

    def _look_below(self) -> None:
        self.size = max(self._best // 2, self._least)
        self.done = self.size == self._best

    def _settle(self) -> None:
        self.size, self.done = self._best, True

    def _is_foreseen_to_fit(self, size: int) -> bool:
        """Along the line through the last two peaks; after the first alone, in proportion to it."""
        if not self._limit_bytes or not self._peaks:
            return True
        (last, peak), *earlier = sorted(self._peaks.items(), reverse=True)
        slope = (peak - earlier[0][1]) / (last - earlier[0][0]) if earlier else peak / last
        return peak + max(slope, 0.0) * (size - last) <= SHARE_OF_THE_LIMIT * self._limit_bytes
