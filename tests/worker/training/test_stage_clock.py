"""What a stage begins, and when it is cut short, by the time that a budget leaves it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from autofit.protocol.job import StageTime
from autofit.protocol.messages import StageRecord
from autofit.worker.training.stage_clock import StageClock, epochs_done
from autofit.worker.training.training_progress import TrainingProgress


@dataclass
class Watch:
    """A clock that is set."""

    now: float = 0.0

    def __call__(self) -> float:
        """The reading."""
        return self.now


def clock_with(watch: Watch, *, epoch_seconds: float = 0.0) -> StageClock:
    """100 s, or 105 s at the most, 2 of which are for the model."""
    return StageClock(StageTime(end_at=100, last_at=105, epoch_seconds=epoch_seconds, finish_seconds=2), watch)


def test_without_a_budget_there_is_always_time() -> None:
    """A run without a budget would end early."""
    watch = Watch()
    clock = StageClock(None, watch)
    watch.now = 1e9
    assert clock.has_time_for_epoch()
    assert clock.epoch_ended()
    assert not clock.is_over()
    assert not clock.ends_extraction(1e9, 1e9, 0.5, is_first_stage=False)


@pytest.mark.parametrize(
    ("begins", "seconds", "may"), [(50, 49, True), (50, 54, False), (110, 4, True), (110, 6, False)]
)
def test_a_search_ends_with_the_time_but_not_before_it_had_some(begins: float, seconds: float, *, may: bool) -> None:
    """A budget that is over when the head begins would leave one that has hardly been searched for."""
    watch = Watch()
    clock = clock_with(watch)
    watch.now = begins
    clock.solving_begins()
    watch.now += seconds
    assert clock.has_time_to_solve() is may


def test_an_epoch_that_would_go_over_is_not_begun() -> None:
    """The run would be over its budget by up to an epoch."""
    watch = Watch()
    clock = clock_with(watch, epoch_seconds=60.0)
    assert clock.has_time_for_epoch()
    watch.now = 39.0
    assert not clock.has_time_for_epoch()
    clock.epoch_begins()
    watch.now = 69.0  # it took 30 s, not 60
    assert not clock.epoch_ended()
    watch.now = 68.0
    assert clock.has_time_for_epoch()


@pytest.mark.parametrize(("together", "goes_on"), [(1, True), (11, True), (12, False)])
def test_a_refit_that_cannot_end_in_time_is_not_gone_on_with(together: int, *, goes_on: bool) -> None:
    """All of the budget would go by with epochs that are dropped in the end."""
    watch = Watch(0.0)
    time = StageTime(end_at=100, last_at=105, finish_seconds=2)
    clock = StageClock(time, watch, together=together)
    clock.epoch_begins()
    watch.now = 11.0  # a fifth faster, ten more end at 101 and eleven at 110
    assert clock.epoch_ended() is goes_on


def test_the_tracing_of_the_first_step_does_not_count_for_the_next_epoch() -> None:
    """The first epoch, which traces, would be taken for the length of all, and the stage end after it."""
    watch = Watch(50.0)
    clock = clock_with(watch)
    clock.epoch_begins()
    watch.now = 80.0
    clock.epoch_begins()
    watch.now = 85.0
    assert clock.epoch_ended()


def test_an_epoch_that_takes_too_long_is_cut_so_that_it_can_be_validated() -> None:
    """An epoch that is longer than foreseen would take the run far over its budget."""
    watch = Watch(0.0)
    clock = clock_with(watch)
    clock.epoch_begins()
    watch.now = 82.0  # and 20.5 s to validate, 2 s to save
    assert not clock.is_over()
    watch.now = 82.5
    assert clock.is_over()


def test_an_epoch_without_validation_leaves_no_time_for_one() -> None:
    """A refit, which is whole or nothing, would be dropped with its last batches."""
    watch = Watch()
    clock = StageClock(StageTime(end_at=100, last_at=105, finish_seconds=2), watch, validates=False)
    clock.epoch_begins()
    watch.now = 102.5
    assert not clock.is_over()
    watch.now = 103.0
    assert clock.is_over()


@pytest.mark.parametrize(("now", "ends"), [(80.8, False), (80.9, True)])
def test_the_images_of_the_first_stage_leave_time_for_the_head(now: float, *, ends: bool) -> None:
    """All time would go by with images, and the head be solved after the budget."""
    watch = Watch(now)  # a fifth of it, 1 s and 2 s follow
    assert clock_with(watch).ends_extraction(now, 1e9, 0.0, is_first_stage=True) is ends


@pytest.mark.parametrize(("start_seconds", "ends_at"), [(2.0, 80.9), (10.0, 78.4), (60.0, 75.9)])
def test_on_a_busy_machine_more_time_is_left_for_what_follows(start_seconds: float, ends_at: float) -> None:
    """Where TensorFlow took twice as long to start, the head would be solved and saved after the budget."""
    watch = Watch(0.0)
    time = StageTime(end_at=100, last_at=105, finish_seconds=2)
    clock = StageClock(time, watch, launched_at=-start_seconds)
    watch.now = ends_at - 0.5
    assert not clock.ends_extraction(watch.now, 1e9, 0.0, is_first_stage=True)
    watch.now = ends_at
    assert clock.ends_extraction(watch.now, 1e9, 0.0, is_first_stage=True)


@pytest.mark.parametrize(("ahead", "ends"), [(7.4, True), (7.2, False)])
def test_the_last_images_of_the_first_stage_are_read_if_that_takes_little_longer(ahead: float, *, ends: bool) -> None:
    """A head would be solved on nearly all images, where all of them had taken two seconds more."""
    watch = Watch(81.0)  # 16.2 + 1 + 2 s follow; the latest end is at 107.5
    assert clock_with(watch).ends_extraction(81.0, ahead, 0.9, is_first_stage=True) is ends


def test_a_later_stage_without_a_chance_ends_as_soon_as_that_shows() -> None:
    """A user would wait until the end of the budget for images that no epoch is trained on."""
    watch = Watch(30.0)
    clock = clock_with(watch, epoch_seconds=5.0)
    assert not clock.ends_extraction(30.0, 90.0, 0.24, is_first_stage=False)  # too early to say
    assert clock.ends_extraction(30.0, 90.0, 0.25, is_first_stage=False)
    assert not clock.ends_extraction(30.0, 30.0, 0.5, is_first_stage=False)
    watch.now = 99.0
    assert clock.ends_extraction(99.0, 90.0, 0.01, is_first_stage=False)


@pytest.mark.parametrize(
    ("epoch", "planned", "is_torn", "expected"),
    [
        (4, 5, False, "3 of 4 epochs"),
        (5, 5, False, ""),
        (1, 5, False, "0 of 4 epochs"),
        (3, 5, True, "1 of 4 epochs and a part of the next"),
        (5, 5, True, "3 of 4 epochs and a part of the next"),
        (2, 5, True, "a part of the first of 4 epochs"),
        (2, 2, True, "a part of an epoch"),
    ],
)
def test_an_epoch_that_was_cut_short_does_not_count(epoch: int, planned: int, expected: str, *, is_torn: bool) -> None:
    """A training that has seen a third of the images would be said to have had its epoch, and all images."""
    head = StageRecord(name="head", method="epochs", epochs=1)
    progress = TrainingProgress(stage="fine-tune", epoch=epoch, stages=[head])
    assert epochs_done(progress, planned, is_torn=is_torn) == expected
