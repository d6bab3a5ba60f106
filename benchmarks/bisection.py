"""The largest size that fits, by trying: no model, no prediction."""

from __future__ import annotations

import math
from collections.abc import Callable

QUICK_STEPS, WHOLE_STEPS = 3, 20
RESOLUTION = 100
ENOUGH_SHARE = 0.95


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


def largest_that_holds(fits: Callable[[int, int], bool], near: int) -> int:
    """The largest size that holds for 20 steps, 0 if there is none; `fits` takes a size and a number of steps.

    Sizes are tried with 3 steps each. What that comes to has to hold for 20; where it does not, bisection goes on with
    20 steps between `near`, or what below it holds, and there: down to a hundredth, since so near the limit it is
    partly chance whether a size holds.
    """
    most = largest_that_fits(lambda size: fits(size, QUICK_STEPS), near)
    if not most or fits(most, WHOLE_STEPS):
        return most
    low = min(near, most - 1)
    while low and not fits(low, WHOLE_STEPS):
        most, low = low, low - max(1, low // RESOLUTION)
    while most - low > max(1, low // RESOLUTION):
        middle = (low + most) // 2
        low, most = (middle, most) if fits(middle, WHOLE_STEPS) else (low, middle)
    return low


def bounds_of_largest(fits: Callable[[int, int], bool], near: int) -> tuple[int, int]:
    """Between which sizes the largest one lies that holds for 20 steps, both ends included; (0, 0) if `near` does not.

    It takes one try of 20 steps, of `near`, and one of 3 steps where `near` is 95 %: if that fails, `near` is known to
    be enough. Else what fails with 3 steps above it is the end, and the gap is halved to a fiftieth, each time with 3
    steps.
    """
    if not fits(near, WHOLE_STEPS):
        return 0, 0
    low = math.floor(near / ENOUGH_SHARE) + 1
    if not fits(low, QUICK_STEPS):
        return near, low - 1
    high = low + max(1, low // 50)
    while fits(high, QUICK_STEPS):
        low, high = high, high + max(1, high // 50)
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle, QUICK_STEPS) else (low, middle)
    return near, high - 1
