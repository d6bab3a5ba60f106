"""Advisory locks on open files."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autofit.storage.locks import Lock, open_lock_file, try_lock, wait_for_lock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".lock"


def test_an_exclusive_lock_keeps_others_out_until_its_file_is_closed(path: Path) -> None:
    """Two processes would write the same files."""
    one, other = open_lock_file(path), open_lock_file(path)
    assert try_lock(one) is Lock.HELD
    assert try_lock(other) is Lock.BUSY
    assert try_lock(other, exclusive=False) is Lock.BUSY
    os.close(one)
    assert try_lock(other) is Lock.HELD
    os.close(other)


def test_readers_share_a_lock(path: Path) -> None:
    """Two trainings on the same features would not run side by side."""
    one, other = open_lock_file(path), open_lock_file(path)
    assert try_lock(one, exclusive=False) is Lock.HELD
    assert try_lock(other, exclusive=False) is Lock.HELD
    assert try_lock(other) is Lock.BUSY
    os.close(one)
    os.close(other)


def test_a_child_that_inherits_the_file_holds_the_lock_after_its_parent(path: Path) -> None:
    """A second run would start while the worker of a killed one is still writing."""
    held, other = open_lock_file(path), open_lock_file(path)
    assert try_lock(held) is Lock.HELD
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[held])
    os.close(held)
    assert try_lock(other) is Lock.BUSY
    child.communicate(b"\n")
    assert try_lock(other) is Lock.HELD
    os.close(other)


def test_waiting_ends_with_the_lock_or_with_patience(path: Path) -> None:
    """A run whose predecessor is just ending would be refused, or wait for ever."""
    now = [0.0]
    holder, other = open_lock_file(path), open_lock_file(path)
    assert try_lock(holder) is Lock.HELD

    def sleep(seconds: float) -> None:
        now[0] += seconds

    assert wait_for_lock(other, 5.0, lambda: now[0], sleep) is Lock.BUSY
    assert 5 <= now[0] < 5.2

    def sleep_until_it_is_free(seconds: float) -> None:
        sleep(seconds)
        if now[0] > 7:
            os.close(holder)

    assert wait_for_lock(other, 5.0, lambda: now[0], sleep_until_it_is_free) is Lock.HELD
    assert 7 < now[0] < 8
    os.close(other)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO])
def test_a_drive_without_locks_is_told_apart_from_a_failure(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A run on a mounted drive of a notebook service would be refused."""
    file = open_lock_file(path)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", fail)
    assert try_lock(file) is Lock.UNSUPPORTED
    number = errno.EBADF
    with pytest.raises(OSError, match="Bad file"):
        try_lock(file)
    os.close(file)


def test_a_link_is_no_lock_file(path: Path, tmp_path: Path) -> None:
    """A run directory from an untrusted source could have a file elsewhere made, or locked."""
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        open_lock_file(path)
    assert not (tmp_path / "elsewhere").exists()
