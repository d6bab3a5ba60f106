"""Finds the micro-batch size of an extraction while it runs: the size grows while that makes it faster. Pure.

It starts small, or with the size that was the fastest on this machine before. That size is only a hint: if no larger
size is faster, smaller ones are measured as well.
"""

from __future__ import annotations

from collections.abc import Sequence

WORTH_IT = 1.03
"""A size is worth its memory if it is faster than the next smaller one by this factor."""

LEAST_GAIN = 2
"""A size that takes seconds for tuning is tried only if it may save so many times as much."""

SHARE_OF_THE_LIMIT = 0.9
"""A size is not tried if its predicted peak exceeds this share of the allocator's limit: running out costs 10 s."""


def starting_size(usual: int, known: int | None, known_peak_bytes: int, most: int, limit_bytes: int) -> int:
    """The first micro-batch size of an extraction, in images.

    Args:
        usual: the first size on a machine without measurements.
        known: the size that was the fastest on this machine before; None if nothing was measured.
        known_peak_bytes: the allocator's peak with that size; 0 if unknown.
        most: the largest size to be tried.
        limit_bytes: the memory that tensors may take now; 0 if unknown.
    """
    if known is None or known < 1:
        return usual
    if not limit_bytes:
        return max(usual, min(known, most))
    if known_peak_bytes < 1:
        return usual
    usable_bytes = SHARE_OF_THE_LIMIT * limit_bytes
    if known_peak_bytes > usable_bytes:
        return min(usual, max(1, known // 2))
    if known >= usual:
        return min(known, most)
    return known if known_peak_bytes / known * usual > usable_bytes else usual


class BatchSizeAutotuner:
    """Chooses the micro-batch size of an extraction.

    Args:
        first: the first size, in images.
        most: the largest size to be tried.
        limit_bytes: the memory that tensors may take; 0 if unknown.
        least: the smallest size to be tried; if it is below `first`, smaller sizes are measured too.
        growth: the factor from one size to the next larger one.
        new_shape_seconds: the time for tuning when a size runs for the first time.

    Attributes:
        size: the current size, in images.
        done: whether the size is final.
        remaining_images: how many images are still to be extracted; None if unknown.
    """

    def __init__(
        self,
        first: int,
        most: int,
        limit_bytes: int,
        least: int | None = None,
        *,
        growth: int = 2,
        new_shape_seconds: float = 0.0,
    ) -> None:
        self.size = first
        self.remaining_images: int | None = None
        self._growth, self._new_shape_seconds = growth, new_shape_seconds
        self._first, self._most, self._least = first, most, first if least is None else min(first, least)
        self._limit_bytes = limit_bytes
        self._best = first
        self._rates: dict[int, float] = {}
        self._peaks: dict[int, int] = {}
        self._run: set[int] = set()
        self._ran_out = False
        self.done = self._is_given = self._least == first >= most

    def note(self, seconds: Sequence[float], peak_bytes: int) -> None:
        """Take measurements of the current size: seconds of each micro-batch, the allocator's peak (0 if unknown)."""
        usable = self._usable(seconds)
        if self._is_given or not usable:
            return
        rate = self.size / max(min(usable), 1e-9)  # of the shortest, since other work of the machine only adds time
        self._rates[self.size] = max(rate, self._rates.get(self.size, 0.0))
        if peak_bytes:
            self._peaks[self.size] = max(peak_bytes, self._peaks.get(self.size, 0))
        if not self.done:
            self._choose()

    def shrunk(self, size: int) -> None:
        """Keep this size from now on, since memory ran out with a larger one."""
        self.size = self._best = size
        self._run.add(size)
        self.done = self._ran_out = True

    @property
    def fastest(self) -> int:
        """The fastest size so far; after running out of memory, the size that fitted."""
        return self._best

    @property
    def rate(self) -> float:
        """The images a second of the fastest size; 0 if it was not measured."""
        return self._rates.get(self._best, 0.0)

    @property
    def peak_bytes(self) -> int:
        """The allocator's peak with the fastest size; 0 if unknown."""
        return self._peaks.get(self._best, 0)

    def _usable(self, seconds: Sequence[float]) -> Sequence[float]:
        """The measurements without the first micro-batch of a size, and without those from before an out-of-memory.

        In the first micro-batch of a size, kernels are made, and at the very beginning the graph is traced. oneDNN made
        its kernels for 32 images of a MobileNetV2 in 0.17 s, three times the time of the micro-batch itself (AMD EPYC
        with AVX-512, 2026-11-27).
        """
        if self._ran_out:
            self._ran_out = False
            return ()
        if self.size not in self._run and seconds:
            self._run.add(self.size)
            return seconds[1:]
        return seconds

    def _choose(self) -> None:
        """Choose the next size to be measured, or the best one as the final size."""
        if self.size < self._first:
            self._fall()
        elif self.size == self._first or self._rates[self.size] >= WORTH_IT * self._rates[self._best]:
            self._best = self.size
            self._rise()
        else:
            self._no_larger()

    def _rise(self) -> None:
        following = min(self._growth * self.size, self._most)
        if following > self.size and self._may_pay() and self._is_predicted_to_fit(following):
            self.size = following
        else:
            self._no_larger()

    def _may_pay(self) -> bool:
        """Whether a larger size may save more time than its tuning takes; at best it saves half of the time left."""
        if not self._new_shape_seconds or self.remaining_images is None:
            return True
        return self.remaining_images / self._rates[self.size] / 2 > LEAST_GAIN * self._new_shape_seconds

    def _no_larger(self) -> None:
        """Stop growing, and measure smaller sizes unless a size above the first was worth its memory."""
        if self._best > self._first:
            self._settle()
        else:
            self._look_below()

    def _fall(self) -> None:
        """Compare the current size with the best so far, which is twice as large and has to be worth its memory."""
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

    def _is_predicted_to_fit(self, size: int) -> bool:
        """Predict the peak along the line through the last two peaks; after only one, in proportion to it."""
        if not self._limit_bytes or not self._peaks:
            return True
        (last, peak), *earlier = sorted(self._peaks.items(), reverse=True)
        slope = (peak - earlier[0][1]) / (last - earlier[0][0]) if earlier else peak / last
        return peak + max(slope, 0.0) * (size - last) <= SHARE_OF_THE_LIMIT * self._limit_bytes
