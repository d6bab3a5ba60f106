from __future__ import annotations

from collections.abc import Callable

import pytest

from autofit.worker.growth import Growth

MB = 10**6


def grow(growth: Growth, seconds_of: Callable[[int], float], bytes_of: Callable[[int], int] = lambda _: 0) -> list[int]:
    """The sizes that it goes through on a machine of these times and peaks."""
    sizes = [growth.size]
    for _ in range(100):
        if growth.done:
            return sizes
        growth.note([seconds_of(growth.size)], bytes_of(growth.size))
        if growth.size != sizes[-1]:
            sizes.append(growth.size)
    pytest.fail("it never ends")


def test_it_doubles_up_to_the_largest_of_interest_while_that_is_faster() -> None:
    """It would stay at a few images on a machine that wants many."""
    assert grow(Growth(8, 64, 0), lambda size: 1 + 0.001 * size) == [8, 16, 32, 64]


def test_it_goes_back_to_the_fastest() -> None:
    """A size that is slower would be kept for the rest of the images."""
    assert grow(Growth(8, 512, 0), lambda size: 1.0 if size <= 32 else 0.05 * size) == [8, 16, 32, 64, 32]


def test_a_size_that_is_hardly_faster_is_not_worth_its_memory() -> None:
    """Twice the memory for one part in a hundred."""
    assert grow(Growth(8, 64, 0), lambda size: size / (100 + 0.02 * size)) == [8, 16, 8]


@pytest.mark.parametrize(
    ("limit_bytes", "sizes"), [(10**12, [8, 16, 32, 64]), (500 * MB, [8, 16, 32]), (230 * MB, [8, 16]), (90 * MB, [8])]
)
def test_what_is_foreseen_not_to_fit_is_not_tried(limit_bytes: int, sizes: list[int]) -> None:
    """An out-of-memory costs ten seconds in TensorFlow's allocator."""
    growth = Growth(8, 64, limit_bytes)
    assert grow(growth, lambda _: 1.0, lambda size: 20 * MB + 10 * MB * size) == sizes


def test_after_running_out_it_stays_small() -> None:
    """It would grow into the same failure again, block after block."""
    growth = Growth(8, 64, 0)
    growth.note([1.0], 0)
    growth.shrunk(4)
    growth.note([0.001], 0)
    assert (growth.size, growth.done) == (4, True)


def test_a_busy_moment_does_not_count() -> None:
    """Whatever else the machine does would decide: of several pieces the fastest tells what the size can do."""
    growth = Growth(8, 16, 0)
    growth.note([1.0, 1.0], 0)
    growth.note([9.0, 1.2], 0)
    assert growth.size == 16
    assert growth.rate == pytest.approx(16 / 1.2)


def test_a_size_without_a_whole_piece_tells_nothing() -> None:
    """The last block of a folder may have one image: its speed is no speed of that size."""
    growth = Growth(8, 64, 0)
    growth.note([], 0)
    assert (growth.size, growth.done) == (8, False)
