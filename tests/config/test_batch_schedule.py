"""The rules for batch sizes: schedules, automatic sizes, and the size after an out-of-memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.config.batch_schedule import (
    BatchSchedule,
    auto_batch_size,
    auto_micro_batch_size,
    batch_bounds,
    ramp,
    shrink,
    slice_rows,
    steps_per_epoch,
)
from autofit.errors import UserError

SIZES = st.integers(1, 4096)
EPOCHS = st.integers(1, 300)


def test_shrink_halves_down_to_one() -> None:
    """A shrink to zero would loop for ever on a batch of no images."""
    assert [shrink(size) for size in (64, 33, 3, 2, 1)] == [32, 16, 1, 1, 1]


@given(size=SIZES)
def test_shrink_reaches_one_in_a_logarithm_of_steps(size: int) -> None:
    """Each out-of-memory costs 10 s: a slower rule would cost minutes."""
    steps = 0
    while size > 1:
        size, steps = shrink(size), steps + 1

    assert steps <= 12


def test_ramp_follows_the_written_formula() -> None:
    """A ramp would differ from the documented A:B rule, downwards or upwards; halves go to the even neighbour."""
    assert [ramp(32, 16, epoch, 5) for epoch in range(5)] == [32, 28, 24, 20, 16]
    assert [ramp(16, 32, epoch, 4) for epoch in range(4)] == [16, 21, 27, 32]
    assert [ramp(1, 2, 1, 3), ramp(1, 4, 1, 3)] == [1, 3]  # 1 + round(0.5) and 1 + round(1.5)
    assert ramp(32, 16, 0, 1) == 32


@given(first=SIZES, last=SIZES, epochs=st.integers(2, 300))
def test_ramp_goes_from_first_to_last_in_one_direction(first: int, last: int, epochs: int) -> None:
    """A ramp that overshoots would give a batch size that the user never asked for, perhaps one that does not fit."""
    sizes = [ramp(first, last, epoch, epochs) for epoch in range(epochs)]

    assert (sizes[0], sizes[-1]) == (first, last)
    assert sizes == sorted(sizes, reverse=first > last)


def test_schedule_parses_a_ramp() -> None:
    """`--batch-schedule 32:16` would be another ramp than the documented formula gives."""
    schedule = BatchSchedule.parse("32:16", epochs=5)

    assert schedule == BatchSchedule(32, 16, 5)
    assert [schedule.batch_size(epoch) for epoch in range(5)] == [32, 28, 24, 20, 16]


@pytest.mark.parametrize(
    "text",
    ["", "32", "32:", ":16", "32:16:8", "0:16", "32:0", "-32:16", "3.5:2", " 32:16", "32:16\n", "٣٢:١٦", "1_0:2"],
)
def test_bad_schedule_is_a_user_error_in_one_line(text: str) -> None:
    """A half-read schedule would train with sizes that nobody asked for."""
    with pytest.raises(UserError, match=r"write A:B, for example 32:16") as caught:
        BatchSchedule.parse(text, epochs=5)

    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_constant_schedule_never_changes() -> None:
    """Fine-tuning, which runs past the epochs of the head, would get another batch size."""
    schedule = BatchSchedule(24, 24, epochs=1)

    assert {schedule.batch_size(epoch) for epoch in (0, 1, 99)} == {24}
    assert schedule.largest == 24


def test_ramp_stays_at_its_last_size() -> None:
    """A ramp that went on past its end would reach zero and below."""
    assert BatchSchedule(32, 16, 5).batch_size(50) == 16


@given(first=SIZES, last=SIZES, epochs=EPOCHS)
def test_largest_is_the_largest_that_occurs(first: int, last: int, epochs: int) -> None:
    """The plan checks memory for `largest` only: an epoch above it was never probed, one below it wastes memory."""
    schedule = BatchSchedule(first, last, epochs)

    assert schedule.largest == max(schedule.batch_size(epoch) for epoch in range(epochs + 3))


def test_last_short_batch_counts_as_a_step() -> None:
    """The last batch would be dropped, and its images never be trained on in that epoch."""
    assert [steps_per_epoch(samples, 32) for samples in (0, 1, 32, 33)] == [0, 1, 1, 2]
    assert list(batch_bounds(70, 32, 0)) == [(0, 32), (32, 64), (64, 70)]


def test_bounds_continue_from_the_cursor() -> None:
    """A resumed epoch would not start at the very next sample, with the same batch size or another."""
    assert list(batch_bounds(70, 32, 20)) == [(20, 52), (52, 70)]
    assert list(batch_bounds(70, 32, 70)) == []


@given(samples=st.integers(0, 2000), batch_size=st.integers(1, 300), data=st.data())
def test_bounds_cover_the_rest_of_the_epoch_once(samples: int, batch_size: int, data: st.DataObject) -> None:
    """A sample after the cursor would be skipped, repeated or out of order."""
    position = data.draw(st.integers(0, samples))
    bounds = list(batch_bounds(samples, batch_size, position))

    assert [place for start, stop in bounds for place in range(start, stop)] == list(range(position, samples))
    assert len(bounds) == steps_per_epoch(samples - position, batch_size)
    assert all(stop - start == batch_size for start, stop in bounds[:-1])


@pytest.mark.parametrize(
    ("training_images", "expected"),
    [(10**6, 32), (1280, 32), (1279, 16), (640, 16), (639, 8), (5, 8), (0, 8)],
)
def test_auto_batch_size(training_images: int, expected: int) -> None:
    """The default would differ from the one in README, and change the result of every run with it."""
    assert auto_batch_size(training_images) == expected


@pytest.mark.parametrize(("training_images", "expected"), [(10**6, 32), (3840, 32), (3839, 16), (5, 16)])
def test_auto_batch_size_from_scratch(training_images: int, expected: int) -> None:
    """With 32 a network would make half the updates, with 8 BatchNormalization would have too few images."""
    assert auto_batch_size(training_images, from_scratch=True) == expected


def test_auto_micro_batch_size_is_the_smaller_and_never_zero() -> None:
    """A micro-batch above the batch would only waste memory; one of zero images would never end."""
    assert auto_micro_batch_size(32, 256) == 32
    assert auto_micro_batch_size(256, 48) == 48
    assert auto_micro_batch_size(8, 0) == 1


@pytest.mark.parametrize(
    ("size", "ran", "expected"),
    [
        (64, (), 32),
        (1, (), 1),
        (512, (64,), 64),  # tuned: better than 256, which is not
        (512, (32,), 256),  # too small a part of it
        (64, (8, 16, 32), 32),
        (64, (64, 48), 32),  # more than half may fail as well
        (100, (25, 20), 25),
    ],
)
def test_a_size_that_ran_before_is_preferred(size: int, ran: tuple[int, ...], expected: int) -> None:
    """On a GPU each new size after an out-of-memory would be tuned anew; or a tiny one be taken for good."""
    assert shrink(size, ran) == expected


@pytest.mark.parametrize(
    ("micro", "batch", "expected"),
    [
        (32, 32, 32),
        (32, 64, 32),
        (32, 17, 32),
        (32, 16, 16),
        (32, 5, 8),
        (32, 1, 1),
        (100, 13, 13),
        (100, 14, 25),
        (1, 1, 1),
    ],
)
def test_padded_slices_hold_a_batch_with_little_waste(micro: int, batch: int, expected: int) -> None:
    """A batch would not fit into its slice, be computed twice over, or each step of a ramp have a shape of its own."""
    rows = slice_rows(micro, batch)
    assert rows == expected
    assert min(micro, batch) <= rows < max(2 * batch, 2)
