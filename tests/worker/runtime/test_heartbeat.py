"""The worker's heartbeat: seldom, never silent while there is news, and never silenced."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest

from autofit.machine.cgroups import MemoryLeft
from autofit.process.tail import Tail
from autofit.protocol.job import Event
from autofit.protocol.messages import MemorySample, Phase, Progress
from autofit.storage.run_directory import AttemptDirectory
from autofit.worker.runtime.heartbeat import FRESH_SECONDS, SAMPLE_BYTES, Heartbeat
from autofit.worker.runtime.memory import resident_bytes
from tests.support.waiting import wait_until


@pytest.fixture
def attempt(tmp_path: Path) -> AttemptDirectory:
    return AttemptDirectory(tmp_path)


def lines(attempt: AttemptDirectory) -> list[Progress]:
    return Tail(attempt.progress).records(Progress)


def wait_for_lines(attempt: AttemptDirectory, count: int) -> None:
    wait_until(lambda: len(lines(attempt)) >= count, f"fewer than {count} lines were written")


def test_thousands_of_beats_are_at_most_four_lines_a_second(attempt: AttemptDirectory) -> None:
    """A file that grows with every step fills the disk of a long run, and the parent is busy reading it."""
    beats, began = 0, time.monotonic()
    with Heartbeat(attempt) as heartbeat:
        heartbeat.phase(Phase.TRAIN, epoch=2)
        while time.monotonic() - began < 1.2 or beats <= 1000:
            beats += 1
            heartbeat.beat(step=beats)
            time.sleep(0.0002)  # as a real step does, let other threads have the interpreter
    seconds = time.monotonic() - began
    written = lines(attempt)
    assert beats > 1000
    assert 3 <= len(written) <= 4 * seconds + 2  # the first comes at once, and the last when it ends
    assert written[-1].step == heartbeat.step == beats
    assert (written[-1].epoch, written[-1].phase) == (2, Phase.TRAIN)
    assert all(later.time >= earlier.time for earlier, later in pairwise(written))
    assert began <= written[0].monotonic_seconds < written[-1].monotonic_seconds <= began + seconds


def test_memory_is_sampled_without_news(attempt: AttemptDirectory) -> None:
    """A worker that is killed while it waits in the allocator would leave a sample from long before."""
    with Heartbeat(attempt) as heartbeat:
        wait_for_lines(attempt, 1)
        heartbeat.device_bytes = lambda: 2**40
        deadline = time.monotonic() + 10
        while (sample := MemorySample.load(attempt.memory)).device_bytes != 2**40:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert len(lines(attempt)) == 1
    assert sample.host_bytes == pytest.approx(resident_bytes(), rel=0.5)
    assert sample.left_share is not None
    assert 0 < sample.left_share < 1
    assert attempt.memory.stat().st_size == SAMPLE_BYTES


def test_an_event_is_written_at_once(attempt: AttemptDirectory) -> None:
    """An out-of-memory that a killed worker has got over would not be in the result."""
    with Heartbeat(attempt) as heartbeat:
        for number in range(100):
            heartbeat.event(Event(message=str(number)))
            written = attempt.events.read_bytes().splitlines()
            assert written[-1] == b'{"message":"%d"}' % number
    assert len(written) == 100


def test_a_full_disk_does_not_silence_the_heart(attempt: AttemptDirectory) -> None:
    """The worker would be killed for a hang, though it only waits to tell of the disk."""
    attempt.progress.symlink_to("/dev/full")
    attempt.events.symlink_to("/dev/full")
    with Heartbeat(attempt) as heartbeat:
        with pytest.raises(OSError, match="No space left on device"):
            heartbeat.event(Event(message="x"))
        attempt.progress.unlink()
        time.sleep(0.1)
        assert heartbeat._thread.is_alive()
        sampled = attempt.memory.stat().st_mtime_ns
        deadline = time.monotonic() + 10
        while attempt.memory.stat().st_mtime_ns == sampled:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_device_that_gives_no_figure_does_not_silence_the_heart(attempt: AttemptDirectory) -> None:
    """A training that goes well would be killed for a hang."""

    def no_figure() -> int:
        raise ValueError("no such device")

    with Heartbeat(attempt) as heartbeat:
        wait_for_lines(attempt, 1)
        heartbeat.device_bytes = no_figure
        heartbeat.beat(step=5)
        wait_for_lines(attempt, 2)
    assert lines(attempt)[-1].step == 5


class Metric:
    """A value that counts how often its number is read."""

    read = 0

    def __float__(self) -> float:
        self.read += 1
        return 0.5


def test_metrics_are_read_for_the_lines_and_not_for_the_steps(attempt: AttemptDirectory) -> None:
    """On a GPU each step would wait for the device, so that it could not prepare the next one meanwhile."""
    with Heartbeat(attempt) as heartbeat:
        stop_thread(heartbeat)
        metric = Metric()
        for step in range(100):
            heartbeat.beat(step=step, metrics={"loss": metric})
        assert metric.read == 0
        heartbeat._write_line()
        assert metric.read == 1
    assert lines(attempt)[-1].metrics == {"loss": 0.5}


def test_a_device_that_fails_does_not_silence_the_heartbeat(attempt: AttemptDirectory) -> None:
    """The worker would be taken for hung, and its own words about the failure would be overruled."""
    with Heartbeat(attempt) as heartbeat:
        heartbeat.beat(step=7, metrics={"loss": object()})
        wait_until(lambda: any(line.step == 7 for line in lines(attempt)), "no line was written")
    assert lines(attempt)[-1].metrics == {}


def test_children_are_looked_for_in_every_twentieth_sample(
    attempt: AttemptDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each sample it costs a look at all processes of the machine; too seldom, a new child's memory is not seen."""
    looks: list[int] = []

    def look(_: object) -> int:
        looks.append(1)
        return 1000

    monkeypatch.setattr("autofit.worker.runtime.heartbeat.children_bytes", look)
    with Heartbeat(attempt) as heartbeat:
        stop_thread(heartbeat)
        heartbeat._samples = 0
        looks.clear()
        for _ in range(41):
            heartbeat._take_sample()
    assert len(looks) == 3


def stop_thread(heartbeat: Heartbeat) -> None:
    """From now on nothing happens but what the test does."""
    heartbeat._closing.set()
    heartbeat._thread.join()


def test_what_was_said_can_be_asked(attempt: AttemptDirectory) -> None:
    """An outcome names the place where the attempt ended."""
    with Heartbeat(attempt) as heartbeat:
        assert (heartbeat.epoch, heartbeat.step, heartbeat.micro_batch_size) == (0, 0, 0)
        phases = [heartbeat.current_phase]
        heartbeat.phase(Phase.SAVE, epoch=1, step=2, micro_batch_size=3)
        assert (heartbeat.epoch, heartbeat.step, heartbeat.micro_batch_size) == (1, 2, 3)
        assert [*phases, heartbeat.current_phase] == [Phase.START, Phase.SAVE]


def test_what_is_left_is_never_old(attempt: AttemptDirectory) -> None:
    """What a step has just taken would not be seen, and after the next one it is too late."""
    looks: list[MemoryLeft] = []

    def look() -> MemoryLeft:
        looks.append(MemoryLeft(len(looks), "host memory"))
        return looks[-1]

    with Heartbeat(attempt, look) as heartbeat:
        time.sleep(1.5 * FRESH_SECONDS)
        seen = len(looks)
        assert heartbeat.memory_left() in looks[seen:]
        assert heartbeat.memory_left() is heartbeat.memory_left()  # not looked at for every step


def test_after_a_long_step_the_memory_is_read_again(attempt: AttemptDirectory) -> None:
    """The heartbeat's own reading may be from before the step took its memory: a leak would be seen a step too late."""
    looks: list[MemoryLeft] = []

    def look() -> MemoryLeft:
        looks.append(MemoryLeft(len(looks), "host memory"))
        return looks[-1]

    with Heartbeat(attempt, look) as heartbeat:
        stop_thread(heartbeat)
        heartbeat.memory_left()
        time.sleep(1.5 * FRESH_SECONDS)
        of_the_heartbeat = heartbeat._read_left()
        assert heartbeat.memory_left() is not of_the_heartbeat


def test_what_is_left_at_the_start_says_when_to_leave(attempt: AttemptDirectory) -> None:
    """Measured once TensorFlow is there, it would follow from what the worker itself has taken."""
    for available, expected in ((0, 64 * 2**20), (4 * 10**9, 2 * 10**8)):
        with Heartbeat(attempt, lambda left=available: MemoryLeft(left, "")) as heartbeat:  # type: ignore[misc]
            assert heartbeat.stop_below_bytes == expected
