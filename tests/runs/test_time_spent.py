"""From the heartbeats of attempts to where a run's time went."""

from __future__ import annotations

import pytest

from autofit.protocol.messages import OomEvent, Phase, Progress
from autofit.runs.result_record import RunTimeSpent
from autofit.runs.time_spent import PARTS, run_time_spent


def line(first: float = 0.0, **seconds: float) -> Progress:
    spent = {Phase(name): value for name, value in seconds.items()}
    return Progress(time=1.0, phase=Phase.SAVE, phase_seconds=spent, first_steps_seconds=first)


def oom(seconds: float, phase: Phase = Phase.TRAIN) -> OomEvent:
    return OomEvent(
        attempt=1,
        epoch=0,
        step=0,
        phase=phase,
        micro_batch_size_before=8,
        micro_batch_size_after=4,
        seconds_lost=seconds,
    )


def test_the_parts_are_those_of_all_attempts_and_add_up_to_the_run() -> None:
    """A run of two attempts would show one start, or more seconds than it took."""
    lines = [line(2.0, start=4.0, build=1.0, train=30.0), line(1.0, start=5.0, trace=1.0, train=9.0, save=0.5)]
    spent = run_time_spent(lines, [oom(10.0)], 60.0)
    assert spent == RunTimeSpent(
        starts_seconds=11.0,
        first_steps_seconds=3.0,
        training_seconds=29.0,
        saving_seconds=0.5,
        out_of_memory_seconds=10.0,
        other_seconds=6.5,
    )
    assert sum(spent.model_dump().values()) == pytest.approx(60.0)


def test_a_run_that_has_not_said_where_its_time_went_says_nothing() -> None:
    """A run of an older autofit would have spent all of its time with something else."""
    assert run_time_spent([], [], 10.0) is None
    assert run_time_spent([Progress(time=1.0, phase=Phase.TRAIN)], [], 10.0) is None


@pytest.mark.parametrize("seconds", [-1e300, float("inf"), 40.0])
def test_forged_seconds_make_no_part_negative(seconds: float) -> None:
    """A page would tell of minus ten seconds of training."""
    spent = run_time_spent([line(train=5.0)], [oom(seconds)], 1.0)
    assert spent is not None
    assert all(value >= 0 for value in spent.model_dump().values())
    assert spent.training_seconds + spent.out_of_memory_seconds == 5.0


def test_every_phase_of_a_training_has_a_part() -> None:
    """A new phase would be told as all else."""
    assert set(Phase) - set(PARTS) == {Phase.PROBE, Phase.PREDICT}
