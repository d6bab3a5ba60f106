"""The largest size that fits, by trying: no model, no prediction."""

from __future__ import annotations

from collections.abc import Callable


def largest_that_fits(fits: Callable[[int], bool], near: int) -> int:
    """The largest size for which `fits` is true, 0 if there is none; `near` is where to begin.

    `fits` must be true up to that size and false above it. Steps from `near` double until they pass it; then the gap
    is halved down to one.
    """
    low, high = 0, 0
    step = max(1, near // 16)
    size = max(1, near)
    while not (low and high):
        if fits(size):
            low = size
            size += step
        else:
            high = size
            size = max(0, size - step)
        step *= 2
        if size == 0:
            break
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
