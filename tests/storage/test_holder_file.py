"""`autofit.storage.holder_file`, alone and as the lock of a run where `flock` fails."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from autofit.errors import UserError
from autofit.storage.holder_file import SILENT_SECONDS, Holder, HolderFile, this_process
from autofit.storage.run_directory import RunDirectory
from autofit.storage.run_lock import RunLock

NAME = ".lock-holder"


@pytest.fixture
def ended() -> Holder:
    """A process of this host that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return Holder(host=socket.gethostname(), pid=process.pid, started=this_process().started)


@pytest.fixture
def asleep(tmp_path: Path) -> Iterator[Path]:
    """A process whose command line is that of a worker in the folder."""
    folder = tmp_path / "run"
    (folder / "attempts" / "0001").mkdir(parents=True)
    code = "import time; print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, str(folder / "attempts" / "0001")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield folder
        process.kill()


def silent(path: Path) -> None:
    """Let a holder not have written its file for long."""
    long_ago = path.stat().st_mtime - SILENT_SECONDS - 5
    os.utime(path, (long_ago, long_ago))


def test_one_of_many_takes_the_lock(tmp_path: Path) -> None:
    """Two parents would write one run directory."""
    files = [HolderFile(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(HolderFile.take, files))
    assert taken.count(True) == 1
    assert not HolderFile(tmp_path).is_free()
    files[taken.index(True)].release()
    assert HolderFile(tmp_path).is_free()
    assert list(tmp_path.iterdir()) == []


def test_a_holder_that_has_ended_is_gone(tmp_path: Path, ended: Holder) -> None:
    """A run whose parent was killed could not be resumed."""
    (tmp_path / NAME).write_text(ended.to_json())
    file = HolderFile(tmp_path)
    assert file.is_free()
    assert file.take()
    assert file.holder() == this_process()
    file.release()


@pytest.mark.parametrize("ticks", [None, 1], ids=["earlier version", "ticks"])
def test_another_process_of_the_same_number_is_not_the_holder(tmp_path: Path, ticks: int | None) -> None:
    """After a restart of the machine any process with that number would hold the lock for good."""
    other = this_process().model_copy(update={"started": 1000.0, "ticks": ticks})
    (tmp_path / NAME).write_text(other.to_json())
    assert HolderFile(tmp_path).is_free()


def test_a_worker_that_outlives_its_parent_keeps_the_lock(asleep: Path, ended: Holder) -> None:
    """A second worker would write the checkpoints of a first one that is still there."""
    (asleep / NAME).write_text(ended.to_json())
    assert not HolderFile(asleep).take()


@pytest.mark.parametrize("content", ["elsewhere", "", "{"])
def test_a_holder_elsewhere_is_gone_when_it_is_silent(tmp_path: Path, content: str) -> None:
    """A run on a shared drive would be taken from a living machine, or be blocked for good by a dead one."""
    text = this_process().model_copy(update={"host": "other"}).to_json() if content == "elsewhere" else content
    path = tmp_path / NAME
    path.write_text(text)
    assert not HolderFile(tmp_path).take()
    silent(path)
    file = HolderFile(tmp_path)
    assert file.take()
    file.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL])
def test_a_run_on_a_drive_that_cannot_lock_is_locked_in_another_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """It would be refused, or trained twice at once."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    files = RunDirectory(tmp_path)
    with RunLock(files).acquire(0.0) as lock:
        assert not lock.has_flock
        assert not RunLock(files).is_free()
        with pytest.raises(UserError, match="in use by another process"):
            RunLock(files).acquire(0.0)
    assert RunLock(files).is_free()
    with RunLock(files).acquire(0.0):
        pass


def test_a_sign_of_life_gives_no_lock_back_and_takes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its release a folder would be locked for good; or two processes would hold what one has taken over."""
    monkeypatch.setattr("autofit.storage.holder_file.BEAT_SECONDS", 0.001)
    path = tmp_path / ".lock-holder"
    for _ in range(50):
        mine = HolderFile(tmp_path)
        assert mine.take()
        mine.release()
        assert not path.exists()
    assert mine.take()
    other = this_process().model_copy(update={"host": "another"}).to_json()
    path.write_text(other)
    time.sleep(0.02)
    mine.release()
    assert path.read_text() == other


@pytest.mark.parametrize("step_seconds", [1.0, 3600.0, -3600.0])
def test_a_clock_that_is_set_takes_no_lock_from_a_living_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_seconds: float
) -> None:
    """Signs of life would end, so that another host trains the same run; or the next call in a notebook be refused."""
    monkeypatch.setattr("autofit.storage.holder_file.BEAT_SECONDS", 0.001)
    mine = HolderFile(tmp_path)
    assert mine.take()
    started = psutil.Process().create_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: started + step_seconds)
    silent(tmp_path / NAME)
    deadline = time.monotonic() + 10
    while HolderFile(tmp_path)._silent_seconds() > SILENT_SECONDS:
        assert time.monotonic() < deadline, "there is no sign of life"
    assert not HolderFile(tmp_path).take()
    mine.release()
    assert HolderFile(tmp_path).take()


def test_a_full_drive_does_not_empty_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of a living run would be lost, or an empty file keep everybody out of a folder that nobody holds."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    mine, path = HolderFile(tmp_path), tmp_path / NAME
    assert mine.take()
    monkeypatch.setattr(os, "pwrite", full)
    silent(path)
    mine._write_again(this_process())
    assert mine.holder() == this_process()
    assert mine._silent_seconds() < SILENT_SECONDS
    mine.release()
    monkeypatch.setattr("autofit.storage.holder_file._text_of", full)
    with pytest.raises(OSError, match="No space left"):
        mine.take()
    assert not path.exists()
