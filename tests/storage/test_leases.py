"""Leases in a shared folder: who may claim a task, when a lease is over, and what a slow owner learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier, Thread

import pytest

from autofit.storage.leases import LeaseFolder, Seen, Sign, next_generation, observed


@dataclass
class Clock:
    """A clock that a test sets."""

    now: float = 0.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now


@pytest.fixture
def of(tmp_path: Path) -> Callable[[str, Clock], LeaseFolder]:
    """Makes processes that share a folder."""
    return lambda owner, clock: LeaseFolder(tmp_path / "leases", 10.0, clock, owner)


def test_a_lease_runs_until_its_sign_stays_the_same_for_its_time() -> None:
    """A living owner would lose its task, or a dead one would keep it."""
    seen = observed(None, Sign(1, "a 1"), 100.0)
    assert next_generation(None, 0.0, 10.0, "b") == 1
    assert next_generation(seen, 109.9, 10.0, "b") is None
    assert next_generation(observed(seen, Sign(1, "a 2"), 109.0), 111.0, 10.0, "b") is None
    assert next_generation(observed(seen, Sign(1, "a 1"), 110.0), 110.0, 10.0, "b") == 2
    assert next_generation(Seen(Sign(4, "b 9"), 100.0), 100.0, 10.0, "b") == 5, "its own, of a worker that died"


def test_of_two_processes_one_has_the_task(of: Callable[[str, Clock], LeaseFolder]) -> None:
    """Both would extract the same shard."""
    one, other = of("a", Clock()), of("b", Clock())
    for process in (one, other):
        process.look()
    assert one.claim("task") is not None
    assert other.claim("task") is None
    other.look()
    assert other.claim("task") is None


def test_of_many_at_the_same_moment_one_has_the_task(of: Callable[[str, Clock], LeaseFolder]) -> None:
    """Two that look at the same moment could both believe that the task is theirs."""
    processes, claimed, at_once = [of(f"{number:x}", Clock()) for number in range(16)], [], Barrier(16)

    def claim(process: LeaseFolder) -> None:
        process.look()
        at_once.wait()
        claimed.append(process.claim("task"))

    threads = [Thread(target=claim, args=(process,)) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(lease is not None for lease in claimed) == 1


def test_the_task_of_a_dead_process_is_taken_over_once(of: Callable[[str, Clock], LeaseFolder]) -> None:
    """A task of a killed process would never be done, or be taken over by two."""
    clock = Clock()
    dead, one, other = of("a", clock), of("b", clock), of("c", clock)
    lease = dead.claim("task")
    for process in (one, other):
        process.look()
    clock.now = 10.0
    for process in (one, other):
        process.look()
    taken = one.claim("task")
    assert taken is not None
    assert taken.generation == 2
    assert other.claim("task") is None
    assert lease is not None
    assert not lease.renew(), "the slow owner has to learn that it lost the task"
    assert taken.renew()


def test_a_clock_of_another_time_changes_nothing(of: Callable[[str, Clock], LeaseFolder]) -> None:
    """Machines whose clocks differ by years would take each other's tasks, or wait for ever."""
    owners, watch = Clock(3e9), Clock(5.0)
    owner, observer = of("a", owners), of("b", watch)
    lease = owner.claim("task")
    assert lease is not None
    for _ in range(20):
        assert lease.renew()
        observer.look()
        watch.now += 9.0
        assert observer.claim("task") is None
    observer.look()
    watch.now += 10.0
    observer.look()
    assert observer.claim("task") is not None


def test_what_is_released_can_be_claimed_at_once(of: Callable[[str, Clock], LeaseFolder], tmp_path: Path) -> None:
    """A shard that was given back would wait for the end of its lease, and leases would fill the folder."""
    clock = Clock()
    one, other = of("a", clock), of("b", clock)
    lease = one.claim("task")
    assert lease is not None
    lease.release()
    assert not list((tmp_path / "leases").iterdir())
    assert not lease.renew()
    other.look()
    assert other.claim("task") is not None


def test_what_killed_workers_of_a_call_had_is_released(of: Callable[[str, Clock], LeaseFolder], tmp_path: Path) -> None:
    """After Ctrl-C the same call again would wait two minutes, or take what another process is working on."""
    mine, other = of("mine", Clock()), of("other", Clock())
    for process, task in ((mine, "a"), (mine, "b"), (other, "c")):
        process.look()
        assert process.claim(task)
    mine.release_own()
    assert [path.name for path in (tmp_path / "leases").iterdir()] == ["c.1"]
    other.look()
    assert other.claim("a") is not None


@pytest.mark.parametrize("task", ["../task", "", "a" * 65, "Task"])
def test_a_task_names_no_file_elsewhere(of: Callable[[str, Clock], LeaseFolder], task: str) -> None:
    """A name could lead out of the folder."""
    with pytest.raises(ValueError, match="cannot name a task"):
        of("a", Clock()).claim(task)
