"""How many images at once, found while the work goes on: it starts small and doubles while that makes it faster."""

from __future__ import annotations

WORTH_IT = 1.03
"""A size that is not by so much faster than half of it is not worth its memory."""

SHARE_OF_THE_LIMIT = 0.9
"""What is foreseen to take more than this share of the allocator's limit is not tried: an out-of-memory costs 10 s."""


class Growth:
    """The micro-batch size of an extraction.

    Args:
        first: where it starts, in images.
        most: the largest size of interest.
        limit_bytes: what tensors may take; 0 where nobody knows.
    """

    def __init__(self, first: int, most: int, limit_bytes: int) -> None:
        self.size = first
        self._most = most
        self._limit_bytes = limit_bytes
        self._best_rate = 0.0
        self._best_size = first
        self._peaks: dict[int, int] = {}
        self.done = first >= most

    def note(self, seconds: list[float], peak_bytes: int) -> None:
        """What pieces of the present size took: seconds each, and the allocator's peak (0 where it is not known)."""
        if self.done or not seconds:
            return
        rate = self.size / max(min(seconds), 1e-9)  # the least: what else the machine does only adds
        if peak_bytes:
            self._peaks[self.size] = peak_bytes
        if rate < WORTH_IT * self._best_rate:
            self.size, self.done = self._best_size, True
            return
        self._best_rate, self._best_size = rate, self.size
        following = min(2 * self.size, self._most)
        self.done = following == self.size or not self._is_foreseen_to_fit(following)
        if not self.done:
            self.size = following

    def shrunk(self, size: int) -> None:
        """It ran out of memory, and goes on with this size for good."""
        self.size, self.done = size, True

    @property
    def rate(self) -> float:
        """The best images a second so far; 0 where nothing was measured."""
        return self._best_rate

    @property
    def peak_bytes(self) -> int:
        """What the allocator took with the present size; 0 where it is not known."""
        return self._peaks.get(self.size, 0)

    def _is_foreseen_to_fit(self, size: int) -> bool:
        """Along the line through the last two peaks; after the first alone, in proportion to it."""
        if not self._limit_bytes or not self._peaks:
            return True
        (last, peak), *earlier = sorted(self._peaks.items(), reverse=True)
        slope = (peak - earlier[0][1]) / (last - earlier[0][0]) if earlier else peak / last
        return peak + max(slope, 0.0) * (size - last) <= SHARE_OF_THE_LIMIT * self._limit_bytes
