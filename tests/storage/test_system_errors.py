"""`autofit.storage.system_errors`."""

from __future__ import annotations

import errno
import os

import pytest

from autofit.storage.system_errors import OF_STORAGE, OTHERWISE, REMEDIES, described, explained, remedy


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
