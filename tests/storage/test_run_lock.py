"""The lock that keeps a run to one writer."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from autofit.errors import StorageError, UserError
from autofit.storage.run_directory import RunDirectory
from autofit.storage.run_lock import RunLock


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The current time, in seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def count_of_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_second_writer_is_refused_when_its_patience_ends(tmp_path: Path) -> None:
    """Two writers in one run directory destroy each other's checkpoints."""
    clock = Clock()
    with RunLock(RunDirectory(tmp_path)).acquire(5, clock, clock.sleep):
        before = count_of_open_files()
        with pytest.raises(UserError, match=f"run directory {tmp_path} is in use by another process: wait for it or"):
            RunLock(RunDirectory(tmp_path)).acquire(5, clock, clock.sleep)
        assert clock.now == pytest.approx(105, abs=0.2)
        assert count_of_open_files() == before
    with RunLock(RunDirectory(tmp_path)).acquire(0, clock, clock.sleep):
        pass


def test_a_writer_waits_for_the_one_before_it(tmp_path: Path) -> None:
    """A resume right after a kill would be refused, though the old worker is just about to stop."""
    clock = Clock()
    first = RunLock(RunDirectory(tmp_path)).acquire(0)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.now > 102:
            first.release()

    with RunLock(RunDirectory(tmp_path)).acquire(5, clock, sleep):
        assert 102 < clock.now < 103


def test_ctrl_c_while_waiting_leaves_no_open_file(tmp_path: Path) -> None:
    """A notebook would collect an open file with every interrupted cell."""

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with RunLock(RunDirectory(tmp_path)).acquire(0):
        before = count_of_open_files()
        with pytest.raises(KeyboardInterrupt):
            RunLock(RunDirectory(tmp_path)).acquire(5, Clock(), interrupted)
        assert count_of_open_files() == before


def test_the_lock_is_not_inherited_by_chance(tmp_path: Path) -> None:
    """Any program that the parent starts would keep the run directory locked."""
    with RunLock(RunDirectory(tmp_path)).acquire(0) as lock:
        assert not os.get_inheritable(lock.fileno())
    lock.release()  # a second time, as a caller's own clean-up may


def test_a_drive_without_locks_is_used_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run could be saved on a mounted drive."""

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with RunLock(RunDirectory(tmp_path)).acquire(0) as lock:
        assert lock.fileno() >= 0


def test_a_run_directory_that_is_gone_cannot_be_locked(tmp_path: Path) -> None:
    """A traceback if the drive was unmounted."""
    with pytest.raises(StorageError, match=r"gone cannot be written \(No such file or directory\)"):
        RunLock(RunDirectory(tmp_path / "gone")).acquire(0)
