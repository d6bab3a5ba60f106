"""The files of a run."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from autofit.errors import StorageError, UserError
from autofit.storage.run_directory import AttemptDirectory, RunDirectory, writing_in


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
