"""The files of a run, and the lock that keeps it to one writer."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from autofit.errors import StorageError, UserError
from autofit.storage.run_directory import AttemptDirectory, RunDirectory, RunLock, writing_in


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


def test_no_two_files_of_a_run_share_a_name(tmp_path: Path) -> None:
    """Two files of one name overwrite each other."""
    for directory in (RunDirectory(tmp_path), AttemptDirectory(tmp_path)):
        names = [name for name, value in vars(type(directory)).items() if isinstance(value, property)]
        paths = {getattr(directory, name) for name in names}
        assert len(paths) == len(names) >= 7
        assert {path.parent for path in paths} == {tmp_path}


def test_attempts_count_from_one_and_sort_by_number(tmp_path: Path) -> None:
    """By name, attempt 10000 comes before 9999: the next would be made twice, and the last would not be the last."""
    files = RunDirectory(tmp_path)
    assert files.attempts() == []
    assert files.new_attempt()[0] == 1
    for name in ("9999", "10000", "notes", "²", ".0004"):
        (tmp_path / "attempts" / name).mkdir()
    number, directory = files.new_attempt()
    assert (number, directory.path.name) == (10001, "10001")
    assert [attempt.path.name for attempt in files.attempts()] == ["0001", "9999", "10000", "10001"]


def test_a_run_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A traceback for a mistyped path."""
    (tmp_path / "file").touch()
    with pytest.raises(
        UserError, match=r"file/run cannot be made \(Not a directory\): a file stands where a folder is needed"
    ):
        RunDirectory(tmp_path / "file" / "run").create()
    with pytest.raises(StorageError, match="file cannot be written"):
        RunDirectory(tmp_path / "file").new_attempt()


def test_a_write_that_fails_names_the_folder_and_the_reason(tmp_path: Path) -> None:
    """A full disk under the parent would end in a traceback."""
    with pytest.raises(StorageError) as caught, writing_in(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    expected = f"{tmp_path} cannot be written (No space left on device): make room on that drive"
    assert str(caught.value).startswith(expected)


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
