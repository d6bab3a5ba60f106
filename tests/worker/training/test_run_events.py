"""What a training reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from autofit.process.tail import Tail
from autofit.protocol.job import Event
from autofit.storage.run_directory import AttemptDirectory, RunDirectory
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.training.run_events import RunEvents

pytestmark = pytest.mark.slow  # loads Keras


class Clock:
    """A clock that stands still."""

    now = 100.0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now


def test_the_speed_is_that_of_whole_steps_without_the_first_and_without_pauses(tmp_path: Path) -> None:
    """On a GPU a step returns before it is done; a first step that traces, or a checkpoint, is not the speed."""
    clock = Clock()
    with Heartbeat(AttemptDirectory(tmp_path)) as heartbeat:
        events = RunEvents(heartbeat, 1, "training", 90.0, clock=clock)
        events.step_begins(step=0)
        clock.now += 50  # traces
        events.step_ended(8, {})
        assert events.note_first_step()
        assert not events.note_first_step()
        clock.now += 1.5  # the loader is waited for
        events.step_begins(step=1)
        clock.now += 0.5
        events.step_ended(8, {})
        assert events._images_per_second == 4.0
        events.pause()
        clock.now += 1000  # a validation
        events.step_begins(step=2)
        clock.now += 1
        events.step_ended(8, {})
        assert events._images_per_second == pytest.approx(0.8 * 4 + 0.2 * 8)
    told = Tail(AttemptDirectory(tmp_path).events).records(Event)
    assert [event.seconds_to_first_step for event in told] == [60.0]


def test_a_stage_says_with_which_epoch_it_begins(tmp_path: Path) -> None:
    """Its epochs would be shown as those of all stages."""
    with Heartbeat(AttemptDirectory(tmp_path)) as heartbeat:
        events = RunEvents(heartbeat, 1, "fine-tune", 0.0)
        events.stage_begins_at(3)
        events.epoch_ended(4, {})
    (told,) = [event.epoch_end for event in Tail(AttemptDirectory(tmp_path).events).records(Event)]
    assert told is not None
    assert (told.stage, told.epoch, told.first_epoch) == ("fine-tune", 4, 3)


def test_a_source_that_is_the_limit_is_told_once(tmp_path: Path) -> None:
    """Each of a hundred epochs would say the same, or none."""
    with Heartbeat(AttemptDirectory(tmp_path)) as heartbeat:
        events = RunEvents(heartbeat, 1, "training", 0.0)
        for epoch, limit in enumerate(["", "the loader is the limit", "the loader is the limit"]):
            events.epoch_ended(epoch, {}, source_limit=limit)
    told = Tail(AttemptDirectory(tmp_path).events).records(Event)
    assert [event.message for event in told if event.message] == ["the loader is the limit"]
    assert [event.epoch_end.epoch for event in told if event.epoch_end] == [0, 1, 2]


def test_what_is_told_once_is_told_once_in_a_run(tmp_path: Path) -> None:
    """Each attempt after an out-of-memory would say again that the rate stays as a callback has not set it."""
    files, told = RunDirectory(tmp_path), []
    for _ in range(3):
        number, attempt = files.new_attempt()
        with Heartbeat(attempt) as heartbeat:
            events = RunEvents(heartbeat, number, "fine-tune", 0.0, files.attempts())
            for text in ("the rate “stays”", "the rate “stays”", f"attempt {number}"):
                events.message_once(text)
        told += [event.message for event in Tail(attempt.events).records(Event)]
    assert told == ["the rate “stays”", "attempt 1", "attempt 2", "attempt 3"]
