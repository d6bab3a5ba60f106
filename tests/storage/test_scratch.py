"""Temporary folders of processes that were killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from autofit.storage.scratch import MARK, remove_abandoned, scratch_folder

PREFIX = "autofit-tested-"
HOLD = f"""
from autofit.storage.scratch import scratch_folder
with scratch_folder({PREFIX!r}) as folder:
    (folder / "rows").write_text("some")
    print(folder, flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def test_what_a_killed_process_left_is_removed_and_no_other(tmp_path: Path) -> None:
    """Each kill would leave a folder for ever, or a process lose the folder that it works in."""
    command = [sys.executable, "-c", HOLD]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as alive,
    ):
        assert killed.stdout
        assert alive.stdout
        left, held = (Path(process.stdout.readline().strip()) for process in (killed, alive) if process.stdout)
        (tmp_path / "autofit-other-1").mkdir()
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        remove_abandoned(PREFIX, young_seconds=3600.0)
        assert left.exists()
        remove_abandoned(PREFIX, young_seconds=0.0)
        assert not left.exists()
        assert held.exists()
        alive.communicate("\n")
    assert [path.name for path in tmp_path.iterdir()] == ["autofit-other-1"]


@pytest.mark.parametrize("name", [f"{PREFIX}results", f"{PREFIX}abcdefgh"])
def test_a_folder_of_the_users_with_such_a_name_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """`autofit-export-v1` or `autofit-check-results` in the working folder was removed with all that was in it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    for place in (tmp_path, tmp_path / "tmp"):
        (place / name).mkdir()
        (place / name / "thesis.txt").write_text("a year")
        os.utime(place / name, (0, 0))
    with scratch_folder(PREFIX):
        pass
    remove_abandoned(PREFIX, young_seconds=0.0)
    assert [(place / name / "thesis.txt").read_text() for place in (tmp_path, tmp_path / "tmp")] == ["a year"] * 2


def test_a_link_of_this_name_is_left_alone(tmp_path: Path) -> None:
    """A folder of the user's would be emptied through it."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / MARK).touch()
    (tmp_path / f"{PREFIX}link").symlink_to(photos)
    os.utime(photos, (0, 0))
    remove_abandoned(PREFIX, young_seconds=0.0)
    assert (tmp_path / f"{PREFIX}link").is_symlink()
    assert photos.is_dir()


def test_an_error_in_the_block_removes_the_folder() -> None:
    """Each failure would leave a folder."""
    kept: list[Path] = []
    with pytest.raises(ValueError, match="no"):
        _fail_in_one(kept)
    assert not kept[0].exists()


def _fail_in_one(kept: list[Path]) -> None:
    with scratch_folder(PREFIX) as folder:
        kept.append(folder)
        raise ValueError("no")


def test_a_full_temporary_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prediction would end without a word where only /tmp is full; or be made where nobody looks for what is left."""
    other, full = tmp_path / "other", tmp_path / "full"
    other.mkdir()
    full.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(full))
    monkeypatch.setattr("autofit.storage.scratch.OTHER_PLACES", (str(other),))
    free = {full: 16_000, other: 10**9}
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=free[Path(place)]))
    with scratch_folder(PREFIX) as folder:
        assert folder.parent == other
    (other / f"{PREFIX}left").mkdir()
    (other / f"{PREFIX}left" / MARK).touch()
    remove_abandoned(PREFIX, young_seconds=0.0)
    assert list(other.iterdir()) == []
    free[other] = 0
    with pytest.raises(OSError, match="No space left on device"), scratch_folder(PREFIX):
        pass
