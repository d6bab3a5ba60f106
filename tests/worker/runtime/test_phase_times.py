"""Where the worker's seconds go, on a clock that the test advances."""

from __future__ import annotations

import pytest

from autofit.protocol.messages import Phase
from autofit.worker.runtime.phase_times import PhaseTimes


class Clock:
    """A clock that stands still."""

    now = 100.0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_phases_add_up_and_the_launch_is_part_of_the_start(clock: Clock) -> None:
    """A second extraction, or the start of Python itself, would be missing from where the time went."""
    times = PhaseTimes(clock)
    for phase, seconds in ((Phase.BUILD, 5.0), (Phase.TRAIN, 2.0), (Phase.SAVE, 10.0), (Phase.TRAIN, 1.0)):
        clock.now += seconds
        times.begin(phase)
    clock.now += 20
    times.launched(99.5)
    expected = {Phase.START: 5.5, Phase.BUILD: 2.0, Phase.TRAIN: 30.0, Phase.SAVE: 1.0}
    assert times.phase_seconds() == pytest.approx(expected)
    assert times.first_steps_seconds == 0


def test_the_first_call_of_each_shape_counts_apart_from_its_phase(clock: Clock) -> None:
    """The tuning of a GPU would be told as training, so that nobody sees what more shapes cost."""
    times = PhaseTimes(clock)
    times.begin(Phase.TRAIN)

    def step(batch: list[int]) -> int:
        clock.now += 3 if len(batch) not in seen else 1
        seen.add(len(batch))
        return sum(batch)

    seen: set[int] = set()
    timed = times.timed("train", step)
    assert [timed(batch) for batch in ([1, 2], [3, 4], [5], [6], [7, 8])] == [3, 7, 5, 6, 15]
    with times.call("evaluate", 2):
        clock.now += 4
    assert times.first_steps_seconds == 3 + 3 + 4
    assert times.phase_seconds()[Phase.TRAIN] == 3


def test_a_call_that_failed_is_part_of_its_phase_and_the_next_is_the_first(clock: Clock) -> None:
    """An out-of-memory would count twice, and the tuning of the size that follows not at all."""
    times = PhaseTimes(clock)
    times.begin(Phase.TRAIN)

    def failing(_: list[int]) -> None:
        clock.now += 10
        raise MemoryError

    with pytest.raises(MemoryError):
        times.timed("train", failing)([0] * 8)
    with times.call("train", 8):
        clock.now += 2
    assert times.first_steps_seconds == 2
    assert times.phase_seconds()[Phase.TRAIN] == 10
