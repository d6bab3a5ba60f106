"""The conditions under which a worker stops: requests, the time limit, and the memory that is left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autofit.api.resuming import LOCK_PATIENCE_SECONDS
from autofit.machine.cgroups import MemoryLeft
from autofit.protocol.messages import MemoryBudget, Request
from autofit.storage.run_directory import AttemptDirectory
from autofit.worker.runtime.control_pipe import Requests
from autofit.worker.runtime.exceptions import StopRequested
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.stop_conditions import PARENT_GONE_GRACE_SECONDS, StopConditions
from tests.support.waiting import wait_until

MB, GB = 10**6, 10**9
PLENTY = MemoryLeft(2 * GB, "cgroup limit /job")
"""A worker that starts with so much leaves when a twentieth of it is left."""

UNLIMITED = {
    "cpu": MemoryBudget(device="cpu", limit_bytes=GB, is_given=False),
    "gpu": MemoryBudget(device="gpu", limit_bytes=GB, is_given=True),
}


class Machine:
    """A machine whose memory can be taken away."""

    def __init__(self, attempt: AttemptDirectory) -> None:
        self.attempt = attempt
        self.left = PLENTY
        self.requests = Requests()

    def read(self) -> MemoryLeft:
        """What is left now."""
        return self.left

    @contextmanager
    def stop_conditions(self, memory: MemoryBudget, stop_at: float | None = None) -> Iterator[StopConditions]:
        """The stop conditions of a worker whose heartbeat measures this machine."""
        with Heartbeat(self.attempt, self.read) as heartbeat:
            yield StopConditions(self.requests, heartbeat, memory, "CPU:0", stop_at)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(AttemptDirectory(tmp_path))


def reason(conditions: StopConditions) -> tuple[str, str]:
    with pytest.raises(StopRequested) as caught:
        conditions.stop()
    return caught.value.reason, str(caught.value)


@pytest.mark.parametrize("memory", UNLIMITED.values(), ids=UNLIMITED)
def test_a_worker_leaves_before_the_host_runs_out(machine: Machine, memory: MemoryBudget) -> None:
    """The kernel would kill it, and all that it had trained since its last checkpoint would be lost."""
    with machine.stop_conditions(memory) as conditions:
        assert not conditions.is_met()
        machine.left = MemoryLeft(99 * MB, "cgroup limit /job")
        wait_until(conditions.is_met)
        machine.left = PLENTY  # it has begun to leave
        assert conditions.is_met()
        assert reason(conditions) == ("yielded", "the machine has 99 MB of memory left (cgroup limit /job)")


def test_the_guard_does_not_measure_the_rest(machine: Machine) -> None:
    """What has leaked would be taken off the next attempt's allocator, which starts without it."""
    with machine.stop_conditions(UNLIMITED["cpu"]) as conditions:
        machine.left = MemoryLeft(0, "host memory")
        wait_until(conditions.is_met)
    assert machine.attempt.events.read_bytes() == b""


def test_a_machine_that_has_what_was_planned_is_left_in_peace(machine: Machine) -> None:
    """A run that takes the nine tenths that it may would leave after every step."""
    with machine.stop_conditions(UNLIMITED["cpu"]) as conditions:
        machine.left = MemoryLeft(200 * MB, "host memory")
        wait_until(lambda: conditions._heartbeat.memory_left() == machine.left)
        assert not conditions.is_met()


def test_a_step_that_takes_much_is_left_room_for_the_next(machine: Machine) -> None:
    """A leak of more in a step than a commit needs would be seen a step too late."""
    with machine.stop_conditions(UNLIMITED["cpu"]) as conditions:
        assert asked_with(machine, conditions, 900, 700, 500, 301, 250) == [False] * 5
        assert asked_with(machine, conditions, 199, 145) == [False, True]


def test_a_single_fall_is_no_leak(machine: Machine) -> None:
    """The first validation takes memory that the next ones have: each epoch would end in a new attempt."""
    with machine.stop_conditions(UNLIMITED["cpu"]) as conditions:
        assert asked_with(machine, conditions, 900, 900, 200, 200, 101, 300, 101) == [False] * 7


def asked_with(machine: Machine, conditions: StopConditions, *left_mb: int) -> list[bool]:
    """Ask after long steps, with so much left after each."""
    answers = []
    for left in left_mb:
        machine.left = MemoryLeft(left * MB, "host memory")
        wait_until(lambda: conditions._heartbeat.memory_left() is machine.left)
        answers.append(conditions.is_met())
    return answers


def test_without_a_figure_nobody_is_sent_away(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a system that does not tell what is left no training would get beyond its first step."""

    def no_figure() -> MemoryLeft:
        raise ValueError("no such file")

    monkeypatch.setattr(machine, "read", no_figure)
    with machine.stop_conditions(UNLIMITED["cpu"]) as conditions:
        assert conditions._heartbeat.memory_left() is None
        assert not conditions.is_met()


def test_growing_over_the_limit_is_told_with_what_was_measured(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt would be given the same room for tensors, and grow over the limit again."""
    monkeypatch.setattr("autofit.worker.runtime.stop_conditions.arena_resident_bytes", lambda: 1000)
    monkeypatch.setattr("autofit.worker.runtime.stop_conditions.resident_bytes", lambda: 3000)
    with machine.stop_conditions(MemoryBudget(device="cpu", limit_bytes=MB, is_given=True)) as conditions:
        wait_until(conditions.is_met)
        assert reason(conditions) == ("yielded", "the process grew over memory_limit outside the allocator")
    assert machine.attempt.events.read_text() == '{"non_allocator_bytes":2000}\n'


def test_on_a_gpu_nothing_outside_the_allocator_is_measured(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Host memory less device memory is a number without a meaning, and the next attempt's budget would rest on it."""
    monkeypatch.setattr("autofit.worker.runtime.stop_conditions.peak_bytes", lambda _: 1000)
    with machine.stop_conditions(UNLIMITED["gpu"]) as conditions:
        conditions.measure_non_allocator_bytes()
    assert machine.attempt.events.read_bytes() == b""


def test_a_worker_whose_parent_is_gone_stops_and_has_time_to_commit(machine: Machine) -> None:
    """It would go on as an orphan, or end at once and lose the steps since its last checkpoint."""
    assert machine.requests.grace_seconds == 0
    with machine.stop_conditions(UNLIMITED["cpu"]) as conditions:
        assert machine.requests.grace_seconds == PARENT_GONE_GRACE_SECONDS > 0
        machine.requests.put(None)
        assert conditions.is_met()
        assert reason(conditions) == ("interrupted", "the supervising process ended")


@pytest.mark.parametrize(("leave", "expected"), [("interrupted", "interrupted"), ("yielded", "yielded")])
def test_a_person_comes_first(machine: Machine, leave: str, expected: str) -> None:
    """Ctrl-C on a full machine would start the next attempt."""
    with machine.stop_conditions(UNLIMITED["cpu"], stop_at=0.0) as conditions:
        machine.left = MemoryLeft(0, "host memory")
        machine.requests.put(Request.model_validate({"leave": leave}))
        assert conditions.is_met()
        assert reason(conditions) == (expected, "asked to stop")


def test_the_time_limit_is_not_by_the_wall_clock(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that NTP sets forward would end the run at once."""
    monkeypatch.setattr(time, "time", lambda: 1e12)
    with machine.stop_conditions(UNLIMITED["cpu"], stop_at=time.monotonic() + 60) as conditions:
        assert not conditions.is_met()


def test_time_that_is_up_comes_before_memory(machine: Machine) -> None:
    """A run whose minutes are over would go on with a smaller attempt."""
    machine.left = MemoryLeft(0, "host memory")
    with machine.stop_conditions(UNLIMITED["cpu"], stop_at=time.monotonic() - 1) as conditions:
        assert conditions.is_met()
        assert reason(conditions) == ("interrupted", "max_minutes is reached")


def test_who_resumes_a_run_waits_longer_than_its_orphaned_worker_may_take() -> None:
    """`autofit resume` right after a kill would say that the run directory is in use."""
    assert LOCK_PATIENCE_SECONDS > PARENT_GONE_GRACE_SECONDS


def test_a_request_for_a_checkpoint_stops_nothing(machine: Machine) -> None:
    """SIGUSR1 would end the run that it is to save, or be forgotten; or each later batch would be committed."""
    with machine.stop_conditions(UNLIMITED["cpu"]) as conditions:
        assert not conditions.take_commit()
        machine.requests.put(Request(commit=True))
        assert not conditions.is_met()
        assert [conditions.take_commit(), conditions.take_commit()] == [True, False]


def test_a_signal_to_the_worker_stops_it_with_its_name(machine: Machine) -> None:
    """A batch system that signals all processes would kill the worker, and its last updates with it."""
    with machine.stop_conditions(UNLIMITED["cpu"]) as conditions:
        machine.requests.stop_signal = "SIGTERM"
        assert conditions.is_met()
        assert conditions.ends_run
        assert reason(conditions) == ("interrupted", "asked to stop (SIGTERM)")


@pytest.mark.parametrize(
    ("signal_name", "left", "expected"),
    [
        ("SIGTERM", 0.1, "host_oom"),
        ("SIGTERM", 0.2, "interrupted"),
        ("SIGHUP", 0.1, "interrupted"),
    ],
)
def test_sigterm_on_a_full_machine_is_a_daemons(machine: Machine, signal_name: str, left: float, expected: str) -> None:
    """The run would end as if by Ctrl-C where earlyoom ends its worker; or a lost terminal start a smaller attempt."""
    machine.left = MemoryLeft(GB, "host memory", left)
    with machine.stop_conditions(UNLIMITED["cpu"]) as conditions:
        machine.requests.stop_signal = signal_name
        assert conditions.is_met()
        assert conditions.ends_run == (expected == "interrupted")
        assert reason(conditions)[0] == expected


def test_a_signal_to_all_on_a_full_machine_is_no_daemons(machine: Machine) -> None:
    """The best model so far would not be saved where a batch system signals parent and worker."""
    machine.left = MemoryLeft(GB, "host memory", 0.1)
    with machine.stop_conditions(UNLIMITED["cpu"]) as conditions:
        machine.requests.stop_signal = "SIGTERM"
        machine.requests.put(Request(leave="interrupted"))
        assert conditions.is_met()
        assert reason(conditions) == ("interrupted", "asked to stop")
