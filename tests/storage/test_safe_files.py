"""`autofit.storage.safe_files` on drives that refuse a part of what is asked."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from autofit.storage.safe_files import (
    CANNOT_SYNC,
    NotRegularFileError,
    cut_file,
    cut_path,
    file_of_user,
    fsync_file,
    open_plain,
    write_atomically,
    write_for_user,
)


def open_files() -> int:
    """How many files this process has open; 0 where the system does not say."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def refusing(code: int) -> Any:
    """A call of the system that fails with this error."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS], ids=errno.errorcode.get)
def test_a_drive_that_refuses_each_change_of_mode_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """No run could be kept on FAT, SMB, or a FUSE mount."""
    monkeypatch.setattr(os, "chmod", refusing(code))
    write_atomically(tmp_path / "a.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("code", sorted(CANNOT_SYNC), ids=errno.errorcode.get)
def test_a_drive_that_cannot_sync_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Some FUSE mounts answer fsync with EINVAL: no record could be kept there."""
    monkeypatch.setattr(os, "fsync", refusing(code))
    write_atomically(tmp_path / "a.json", b"{}")
    assert (tmp_path / "a.json").read_bytes() == b"{}"


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT], ids=errno.errorcode.get)
def test_a_sync_that_fails_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A checkpoint would be said to be safe that the drive has lost."""
    monkeypatch.setattr(os, "fsync", refusing(code))
    with (tmp_path / "a").open("wb") as stream, pytest.raises(OSError, match=os.strerror(code)):
        fsync_file(stream.fileno())
    (tmp_path / "a.json").write_bytes(b"before")
    with pytest.raises(OSError, match=os.strerror(code)):
        write_atomically(tmp_path / "a.json", b"{}")
    assert (tmp_path / "a.json").read_bytes() == b"before"


def test_a_file_whose_kind_cannot_be_seen_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drive that comes and goes would use up the descriptors of the process."""
    (tmp_path / "a").write_bytes(b"x")
    before = open_files()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", refusing(errno.ESTALE))
        with pytest.raises(OSError, match="Stale"):
            open_plain(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotRegularFileError):
        open_plain(tmp_path / "pipe")
    assert open_files() == before


def test_a_file_is_cut_with_what_was_not_yet_written(tmp_path: Path) -> None:
    """What a buffer still holds would follow the end, or a pipe hang the run."""
    with (tmp_path / "a").open("wb") as file:
        file.write(b"0123456789")
        cut_file(file, 4)
    assert (tmp_path / "a").read_bytes() == b"0123"
    cut_path(tmp_path / "a", 2)
    assert (tmp_path / "a").read_bytes() == b"01"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotRegularFileError):
        cut_path(tmp_path / "pipe", 0)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_file_is_as_private_as_the_users_umask_says(tmp_path: Path, umask: int, mode: int) -> None:
    """A page or table in a shared folder was readable by everybody, whatever its user had set."""
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "page.html", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "page.html").stat().st_mode & 0o777 == mode


def test_what_a_user_names_is_written_where_it_leads(tmp_path: Path) -> None:
    """`autofit probe --plot /dev/null` would, for root, put a file in place of the device."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    write_for_user(tmp_path / "link.png", b"a picture")
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "elsewhere" / "a.png").read_bytes() == b"a picture"
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_for_user(tmp_path / "pipe", b"a picture")
        assert os.read(reading, 100) == b"a picture"
    finally:
        os.close(reading)
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "link.png", "pipe"]


def test_the_folders_that_what_a_user_names_lacks_are_made(tmp_path: Path) -> None:
    """A plot, a page or JSON would be refused for a missing folder, and a model not."""
    (tmp_path / "link.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    for path in (tmp_path / "plots" / "new" / "a.png", tmp_path / "link.png"):
        write_for_user(path, b"a picture")
        assert path.read_bytes() == b"a picture"


def test_what_is_not_written_leaves_no_folder(tmp_path: Path) -> None:
    """Each refused call would leave an empty folder; one in which something is has to stay."""
    (tmp_path / "mine").mkdir()
    for name in ("new/plots", "mine/plots"):
        with contextlib.suppress(ZeroDivisionError), file_of_user(tmp_path / name / "a.png") as stream:
            stream.write(bytes(1 // 0))
    (tmp_path / "mine").rmdir()
    assert list(tmp_path.iterdir()) == []


def test_what_a_user_names_is_whole_or_as_it_was(tmp_path: Path) -> None:
    """A drive that becomes full would leave half of the file, and nothing of that of yesterday."""
    (tmp_path / "a.json").write_text("of yesterday", encoding="utf-8")
    with contextlib.suppress(ZeroDivisionError), file_of_user(tmp_path / "a.json") as stream:
        stream.write(b"half")
        stream.write(bytes(1 // 0))
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "of yesterday"


def test_a_file_in_a_folder_that_takes_no_new_ones_is_written_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.json").write_text("of yesterday", encoding="utf-8")
    inode = (tmp_path / "a.json").stat().st_ino
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)
    write_for_user(tmp_path / "a.json", b"of today")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "of today"
    assert (tmp_path / "a.json").stat().st_ino == inode
