"""Listed files that are not there, or are no files: named by what they are."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from autofit.dataset import scan
from autofit.dataset.missing_files import ABSENT, Missing, MissingFiles, why_missing
from autofit.errors import UserError
from tests.support.datasets import csv_file, images


def test_a_pipe_a_socket_a_device_and_a_folder_are_named_by_kind(pets: Path) -> None:
    """A user would look for files that are there, and hear that they do not exist."""
    os.mkfifo(pets / "pipe.jpg")
    (pets / "null.jpg").symlink_to("/dev/null")
    (pets / "folder.jpg").mkdir()
    names = ["pipe.jpg", "null.jpg", "folder.jpg", "gone.jpg", "also-gone.jpg"]
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(pets)  # the address of a socket has at most 107 characters
        try:
            listening.bind("socket.jpg")
        finally:
            os.chdir(here)
        rows = "".join(f"{name},cat\n" for name in [*names, "socket.jpg"])
        with pytest.raises(UserError) as refused:
            scan(csv_file(pets, f"path,label\n{rows}dog/{images(1)[0]},dog\n"))
    said = str(refused.value)
    assert said.startswith("6 of 7 listed files cannot be used (2 do not exist, 1 is a named pipe, ")
    assert {"1 is a device", "1 is a folder", "1 is a socket"} <= set(
        said.partition("(")[2].partition(")")[0].split(", ")
    )
    assert f"the first is {pets}/pipe.jpg (line 2): correct or remove them" in said


def test_a_file_that_may_not_be_looked_at_has_the_remedy_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing permission would be answered with "correct or remove them"."""

    def refuse(*_: object, **__: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", refuse)
    why = why_missing(str(tmp_path / "a.jpg"))
    monkeypatch.undo()
    assert why is not None
    assert why.of_one == "cannot be read (Permission denied)"
    missing = MissingFiles()
    missing.add(why, "/a.jpg", "line 2")
    with pytest.raises(
        UserError, match=r"^1 of 2 listed files cannot be read \(Permission denied\), .*: give this user"
    ):
        missing.require_few(2)


def test_a_name_without_suffix_has_the_reason_of_its_file(pets: Path) -> None:
    """Ids in a table were said not to exist where their files are pipes, or on a drive that fails."""
    os.mkfifo(pets / "a.jpg")
    rows = "".join(f"cat/{file[:-4]},cat\n" for file in images(5))
    with pytest.raises(UserError, match=rf"1 of 6 listed files are named pipes, the first is {pets}/a \(line 7\)"):
        scan(csv_file(pets, f"id,label\n{rows}a,dog\n"))


def test_a_few_missing_files_are_a_note(tmp_path: Path) -> None:
    """One lost photo of a thousand would end the run, or be lost without a word."""
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert why_missing(str(tmp_path / "a.jpg")) is None
    assert why_missing(str(tmp_path / "a.jpg" / "b.jpg")) == ABSENT
    missing = MissingFiles()
    assert missing.note(10) is None
    missing.add(Missing("is a folder", "are folders"), "/b", "line 3")
    missing.require_few(10)
    assert missing.note(10) == (
        "1 of 10 listed files are folders and count as images that cannot be read, the first is /b (line 3)"
    )


@pytest.mark.parametrize(
    ("beginning", "said"),
    [
        (
            "gs://bucket/",
            r"2 of 2 listed files are addresses, the first is gs://bucket/a\.jpg .*: copy the images to this",
        ),
        (
            "/content/drive/",
            r"2 of 2 listed files do not exist, .*: their paths are absolute, for which images_in= does",
        ),
        ("C:\\Users\\me\\", "their paths are absolute"),
        ("", r"2 of 2 listed files do not exist, .* or name the folder of the images with images_in="),
    ],
)
def test_paths_of_another_machine_have_their_own_remedy(tmp_path: Path, beginning: str, said: str) -> None:
    """A user would name the folder, as the line says, and read the same line again."""
    with pytest.raises(UserError, match=said):
        scan(csv_file(tmp_path, f"path,label\n{beginning}a.jpg,cat\n{beginning}b.jpg,dog\n"))
