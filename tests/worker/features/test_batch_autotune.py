from __future__ import annotations

from collections.abc import Callable

import pytest

from autofit.worker.features.batch_autotune import BatchSizeAutotuner, starting_size

MB = 10**6


def grow(
    autotuner: BatchSizeAutotuner, seconds_of: Callable[[int], float], bytes_of: Callable[[int], int] = lambda _: 0
) -> list[int]:
    """The sizes that it goes through on a machine of these times and peaks."""
    sizes = [autotuner.size]
    for _ in range(100):
        if autotuner.done:
            return sizes
        autotuner.note([seconds_of(autotuner.size)], bytes_of(autotuner.size))
        if autotuner.size != sizes[-1]:
            sizes.append(autotuner.size)
    pytest.fail("it never ends")


def test_it_doubles_up_to_the_largest_of_interest_while_that_is_faster() -> None:
    """It would stay at a few images on a machine that is faster with many."""
    assert grow(BatchSizeAutotuner(8, 64, 0), lambda size: 1 + 0.001 * size) == [8, 16, 32, 64]


def test_it_goes_back_to_the_fastest() -> None:
    """A slower size would be used for the rest of the images."""
    assert grow(BatchSizeAutotuner(8, 512, 0), lambda size: 1.0 if size <= 32 else 0.05 * size) == [8, 16, 32, 64, 32]


def test_a_size_that_is_hardly_faster_is_not_worth_its_memory() -> None:
    """Twice the memory for one part in a hundred."""
    assert grow(BatchSizeAutotuner(8, 64, 0), lambda size: size / (100 + 0.02 * size)) == [8, 16, 8]


@pytest.mark.parametrize(
    ("limit_bytes", "sizes"), [(10**12, [8, 16, 32, 64]), (500 * MB, [8, 16, 32]), (230 * MB, [8, 16]), (90 * MB, [8])]
)
def test_what_is_predicted_not_to_fit_is_not_tried(limit_bytes: int, sizes: list[int]) -> None:
    """An out-of-memory costs ten seconds in TensorFlow's allocator."""
    autotuner = BatchSizeAutotuner(8, 64, limit_bytes)
    assert grow(autotuner, lambda _: 1.0, lambda size: 20 * MB + 10 * MB * size) == sizes


def test_after_running_out_it_stays_small() -> None:
    """It would grow into the same failure again, block after block."""
    autotuner = BatchSizeAutotuner(8, 64, 0)
    autotuner.note([1.0, 1.0], 0)
    autotuner.shrunk(4)
    for _ in range(3):
        autotuner.note([0.001], 0)
    assert (autotuner.size, autotuner.done) == (4, True)


def test_a_busy_moment_does_not_count() -> None:
    """Whatever else the machine does would decide: of several micro-batches the fastest shows the speed of the size."""
    autotuner = BatchSizeAutotuner(8, 16, 0)
    autotuner.note([1.0, 1.0], 0)
    autotuner.note([9.0, 1.2], 0)
    assert autotuner.size == 16
    assert autotuner.rate == pytest.approx(16 / 1.2)


def test_the_first_micro_batch_of_a_size_does_not_count() -> None:
    """It traces, or kernels are made for it: the size it starts with would look slow, and so would every larger one."""
    autotuner = BatchSizeAutotuner(64, 64, 0, least=8)
    autotuner.note([60.0], 0)
    assert (autotuner.size, autotuner.rate) == (64, 0.0)
    autotuner.note([1.0], 0)
    autotuner.note([0.1], 0)
    assert (autotuner.size, autotuner.rate) == (32, 64.0)
    autotuner.note([0.6], 0)
    assert (autotuner.size, autotuner.rate, autotuner.done) == (64, 64.0, True)


def test_a_size_without_a_full_micro_batch_does_not_count() -> None:
    """The last block of a folder may have one image: its speed is no speed of that size."""
    autotuner = BatchSizeAutotuner(8, 64, 0)
    autotuner.note([], 0)
    assert (autotuner.size, autotuner.done) == (8, False)


# What it found --------------------------------------------------------------------------------------------------------


def test_only_measured_sizes_are_reported() -> None:
    """The size that would have come next, and was never run, would be saved as the fastest."""
    autotuner = BatchSizeAutotuner(8, 64, 0)
    autotuner.note([2.0, 2.0], 10 * MB)
    autotuner.note([3.0, 2.0], 20 * MB)
    assert autotuner.size == 32
    assert (autotuner.fastest, autotuner.rate, autotuner.peak_bytes) == (16, 8.0, 20 * MB)


def test_all_blocks_of_the_fastest_size_count() -> None:
    """The peak of the first of a hundred blocks would be saved, though a later one took more."""
    autotuner = BatchSizeAutotuner(8, 16, 0)
    for seconds, peak_bytes in ([1.0, 1.0], 9 * MB), ([1.0], 20 * MB), ([1.1], 22 * MB), ([0.8], 21 * MB):
        autotuner.note(seconds, peak_bytes)
    assert (autotuner.fastest, autotuner.rate, autotuner.peak_bytes) == (16, 20.0, 22 * MB)


def test_after_running_out_the_size_that_fits_is_reported() -> None:
    """The next run would start with the size that ran out, or the speed of one size be saved for another."""
    autotuner = BatchSizeAutotuner(8, 64, 0)
    autotuner.note([1.0, 1.0], 10 * MB)
    autotuner.shrunk(4)
    autotuner.note([0.001], 99 * MB)  # the block in which it ran out: what it took is no figure of 4
    assert (autotuner.fastest, autotuner.rate, autotuner.peak_bytes) == (4, 0.0, 0)
    autotuner.note([0.5], 7 * MB)
    assert (autotuner.fastest, autotuner.rate, autotuner.peak_bytes) == (4, 8.0, 7 * MB)


def test_a_given_size_is_not_reported() -> None:
    """A size that a user has chosen would be saved as the fastest."""
    autotuner = BatchSizeAutotuner(6, 6, 0)
    autotuner.note([1.0, 1.0], 10 * MB)
    assert (autotuner.size, autotuner.done, autotuner.rate) == (6, True, 0.0)


# From what is known ---------------------------------------------------------------------------------------------------


def test_from_the_fastest_it_looks_at_both_neighbours_and_stays() -> None:
    """A known machine would be no better off than an unknown one, or what was true once be true for ever."""
    assert grow(BatchSizeAutotuner(32, 512, 0, least=8), lambda size: 1.0 if size <= 32 else 0.05 * size) == [
        32,
        64,
        16,
        32,
    ]


def test_it_grows_beyond_what_was_known() -> None:
    """A size from a run with little memory would bind all later ones."""
    assert grow(BatchSizeAutotuner(16, 64, 0, least=8), lambda size: 1 + 0.001 * size) == [16, 32, 64]
    assert grow(BatchSizeAutotuner(4, 16, 0, least=8), lambda size: 1 + 0.001 * size) == [4, 8, 16]


@pytest.mark.parametrize("first", [64, 37, 512])
def test_a_size_that_is_much_too_large_costs_a_few_blocks(first: int) -> None:
    """A profile of another machine, or a damaged one, would make every extraction slow."""
    sizes = grow(BatchSizeAutotuner(first, 512, 0, least=8), lambda size: 1.0 if size <= 16 else size**1.1 / 16)
    assert sizes[-1] <= 18
    assert len(sizes) <= 8


def test_it_measures_no_size_below_the_usual_first() -> None:
    """A fast machine of few images would end with one at a time, a call for each."""
    assert grow(BatchSizeAutotuner(32, 32, 0, least=8), float) == [32, 16, 8]


USUAL, MOST, LIMIT = 8, 64, 1000 * MB

STARTS = {
    "an unknown machine": ((None, 0, LIMIT), 8),
    "a known one": ((32, 300 * MB, LIMIT), 32),
    "just within the share": ((32, 900 * MB, LIMIT), 32),
    "just over the share": ((32, 901 * MB, LIMIT), 8),
    "less memory than then": ((32, 300 * MB, 200 * MB), 8),
    "no memory at all": ((32, 300 * MB, -5), 8),
    "a few that took too much": ((8, 950 * MB, LIMIT), 4),
    "one that took too much": ((1, 950 * MB, LIMIT), 1),
    "a few, as more did not fit": ((4, 500 * MB, LIMIT), 4),
    "a few, though more fit": ((4, 50 * MB, LIMIT), 8),
    "more than is of interest": ((2**24, 300 * MB, LIMIT), 64),
    "none": ((0, 300 * MB, LIMIT), 8),
    "less than none": ((-3, 300 * MB, LIMIT), 8),
    "a peak that nobody saw": ((32, 0, LIMIT), 8),
    "a peak under nothing": ((32, -1, LIMIT), 8),
    "a limit that nobody knows": ((32, 0, 0), 32),
    "a limit that nobody knows, a few": ((2, 0, 0), 8),
    "an absurd peak": ((64, 2**50, LIMIT), 8),
}


@pytest.mark.parametrize(("known", "expected"), STARTS.values(), ids=STARTS)
def test_the_first_size(known: tuple[int | None, int, int], expected: int) -> None:
    """A hint would cost an out-of-memory of ten seconds, or a good one be of no use."""
    size, peak_bytes, limit_bytes = known
    assert starting_size(USUAL, size, peak_bytes, MOST, limit_bytes) == expected


@pytest.mark.parametrize(
    ("remaining", "sizes"),
    [(100, [64]), (10_000, [64]), (50_000, [64, 512]), (None, [64, 512])],
)
def test_a_size_that_has_to_be_tuned_is_tried_only_if_it_can_pay(remaining: int | None, sizes: list[int]) -> None:
    """A short extraction on a GPU would tune shape after shape and end later; a long one would stay slow."""
    autotuner = BatchSizeAutotuner(64, 512, 0, growth=8, new_shape_seconds=2.0)
    autotuner.remaining_images = remaining
    assert grow(autotuner, lambda size: size / (2902 if size == 64 else 4681)) == sizes


def test_a_size_found_before_is_taken_as_it_is_where_each_has_to_be_tuned() -> None:
    """Smaller sizes would be tuned only to be compared."""
    assert grow(BatchSizeAutotuner(512, 512, 0, growth=8, new_shape_seconds=2.0), float) == [512]
