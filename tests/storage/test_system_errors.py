"""`autofit.storage.system_errors`."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from autofit.errors import StorageError
from autofit.storage.safe_files import NotRegularFileError
from autofit.storage.system_errors import (
    OF_STORAGE,
    OTHERWISE,
    REMEDIES,
    described,
    explained,
    naming_system_errors,
    remedy,
    said_of,
)


@pytest.mark.parametrize("number", sorted({*REMEDIES, *OF_STORAGE}), ids=lambda number: errno.errorcode[number])
def test_an_error_has_its_meaning_and_its_own_remedy(number: int) -> None:
    """A permission that is missing would be answered with "make room"."""
    line = explained(OSError(number, os.strerror(number), "/runs/a"), "/runs/a cannot be written")
    assert line.startswith(f"/runs/a cannot be written ({os.strerror(number)}): ")
    assert not line.endswith(OTHERWISE)
    assert len(line) < 300
    assert "\n" not in line
    if number not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        assert "room" not in line


def test_too_many_open_files_are_named_with_the_limit() -> None:
    """Nobody would know which limit to raise, or by how much."""
    resource = pytest.importorskip("resource")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert f"{limit:,} files" in remedy(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))


def test_an_error_without_number_or_file_is_one_line() -> None:
    """A message of a library, with line ends or control codes, would clear the terminal."""
    assert described(OSError("what\n\x1b[2J")) == f"what\\n\\x1b[2J: {OTHERWISE}"
    assert described(OSError(errno.EROFS, "Read-only file system", b"/a")).startswith("/a cannot be used (Read-only")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("line 3 is damaged"),
        FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/a"),
        NotRegularFileError(errno.EINVAL, "a is no regular file", "/a"),
        OSError("another process writes a"),
    ],
    ids=["content", "path", "made here", "without number"],
)
def test_what_is_not_the_drives_fault_has_its_own_advice(error: Exception) -> None:
    """A file that is damaged or missing would be answered with another drive."""
    assert said_of(error, "/a cannot be read", "give another file").endswith("): give another file")


def test_a_drives_fault_has_the_advice_for_it() -> None:
    """A missing permission would be answered with "give another file"."""
    line = said_of(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), "/a cannot be read", "give another file")
    assert line == f"/a cannot be read (Permission denied): {REMEDIES[errno.EACCES]}"


def test_an_error_that_nobody_has_named_is_a_line_in_python_too() -> None:
    """A notebook would show a traceback of pathlib where the command line shows a line."""
    with pytest.raises(StorageError, match=r"^/a cannot be used \(Stale file handle\): "), naming_system_errors():
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), "/a")


def test_a_working_folder_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line would say that "it" was removed, without a word of what."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(StorageError, match=r"^the working folder was removed: go to another"), naming_system_errors():
        Path.cwd()
