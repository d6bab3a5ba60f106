"""A file that was changed after it was identified is known to be another image's, and no other file is read again."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autofit.cache.identity import WHOLE_BYTES, By, identities_of
from autofit.input import identified_files
from autofit.input.decode import decode_image
from autofit.input.identified_files import CLOCK_SECONDS, IdentifiedFiles

LONG_AGO = time.time() - 3600


def write(path: Path, colour: str, size: int = 0) -> None:
    """An image, and so many bytes that do not count."""
    Image.new("RGB", (9, 9), colour).save(path, "PNG")
    with path.open("ab") as file:
        file.truncate(max(size, path.stat().st_size))


def identified(path: Path, by: By = "stat") -> IdentifiedFiles:
    since = time.time()
    return IdentifiedFiles(identities_of([str(path)], by), by, [str(path)].__getitem__, since)


@pytest.mark.parametrize("by", ["stat", "content"])
@pytest.mark.parametrize("size", [0, WHOLE_BYTES + 1])
def test_what_was_written_since_is_another_image(tmp_path: Path, by: By, size: int) -> None:
    """An edited photo's features would be stored as those of the photo before, and be used where that comes back."""
    path = tmp_path / "photo"
    write(path, "red", size)
    os.utime(path, (LONG_AGO, LONG_AGO))
    files = replace(identified(path, by), since=time.time() + CLOCK_SECONDS)
    time.sleep(0.05)  # the times of files are those of the system's last tick
    decode_image(str(path), (8, 8))
    assert not files.has_changed(0)
    write(path, "blue", size)
    assert not files.has_changed(0), "this thread has decoded it before"
    decode_image(str(path), (8, 8))
    assert files.has_changed(0)


def test_a_file_whose_time_alone_has_changed_is_the_same(tmp_path: Path) -> None:
    """A small photo that a program has touched, or that was unpacked just now, would be left out."""
    path = tmp_path / "photo"
    write(path, "red")
    files = identified(path)
    decode_image(str(path), (8, 8))
    assert not files.has_changed(0)
    path.touch()
    decode_image(str(path), (8, 8))
    assert not files.has_changed(0)


@pytest.mark.parametrize(
    ("by", "size", "is_known"),
    [("stat", 0, True), ("content", WHOLE_BYTES + 1, True), ("stat", WHOLE_BYTES + 1, False)],
)
def test_a_copy_of_an_older_photo_is_another_image(tmp_path: Path, by: By, size: int, *, is_known: bool) -> None:
    """Features of a photo that was unpacked or copied over another would be stored as those of the one before.

    Of a large file they are stored under an identity that no file has again; and a change of its mode alone is none.
    """
    path, other = tmp_path / "photo", tmp_path / "other"
    for each, colour in ((path, "red"), (other, "blue")):
        write(each, colour, WHOLE_BYTES + 2 if size else 100_000)  # of the same size
        os.utime(each, (LONG_AGO, LONG_AGO))
    files = identified(path, by)
    path.chmod(0o600)
    decode_image(str(path), (8, 8))
    assert not files.has_changed(0)
    shutil.copy2(other, path)
    decode_image(str(path), (8, 8))
    assert files.has_changed(0) is is_known


def test_files_that_were_not_written_since_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image on a network drive would be read twice."""

    def refuse(*_: Any) -> bool:
        raise AssertionError("it was read again")

    path, other = tmp_path / "photo", tmp_path / "other"
    for each in (path, other):
        write(each, "red")
    os.utime(path, (LONG_AGO, LONG_AGO))
    files = replace(identified(path), since=time.time() + 60)
    monkeypatch.setattr(identified_files, "has_other_identity", refuse)
    decode_image(str(path), (8, 8))
    assert not files.has_changed(0)
    decode_image(str(other), (8, 8))
    assert not files.has_changed(0), "it was another file that was decoded"
    unknown = IdentifiedFiles(np.zeros((1, 2), np.uint64), "stat", [str(other)].__getitem__, 0.0)
    assert not unknown.has_changed(0), "it is not cached anyway"
