"""One image and another: by samples and what is said of the file, and by all that is in it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autofit.cache.identity import SAMPLE_BYTES, WHOLE_BYTES, By, Identities, identities_of

BOTH: tuple[By, ...] = ("stat", "content")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(bytes(range(256)) * 4097)  # more than is read at once
    return path


def identity(path: Path | str, by: By) -> tuple[int, int]:
    first, second = identities_of([str(path)], by)[0].tolist()
    return first, second


def touch(path: Path, nanoseconds: int) -> None:
    os.utime(path, ns=(nanoseconds, nanoseconds))


@pytest.mark.parametrize("by", BOTH)
def test_each_image_has_its_place(photo: Path, by: By) -> None:
    """Rows would be stored under the image before, or the progress bar would not move."""
    other = photo.with_name("other.jpg")
    other.write_bytes(b"other")
    beats: list[None] = []
    found = identities_of([str(photo), str(other), str(photo)], by, lambda: beats.append(None))
    assert (found.dtype, found.shape, len(beats)) == (np.dtype(np.uint64), (3, 2), 3)
    assert found[0].tolist() == found[2].tolist() == list(identity(photo, by))
    assert found[0].tolist() != found[1].tolist()
    assert found.any(axis=1).all()


@pytest.mark.parametrize("by", BOTH)
def test_of_no_images_there_are_none(by: By) -> None:
    """A run without a validation set would end in NumPy."""
    assert identities_of([], by).shape == (0, 2)


def test_identities_stay_the_same_in_later_versions(tmp_path: Path) -> None:
    """An unintended change of the identity would make every cache useless."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"autofit")
    assert identity(path, "content") == (0xA0F8D2772EF536AA, 0xDCC51031B0B7810E)


def longer(path: Path) -> None:
    before = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes() + b"x")
    touch(path, before)


def later(path: Path) -> None:
    touch(path, path.stat().st_mtime_ns + 1)


def read_only(path: Path) -> None:
    path.chmod(0o400)


def looked_at(path: Path) -> None:
    os.utime(path, ns=(7, path.stat().st_mtime_ns))


def linked(path: Path) -> None:
    os.link(path, path.with_name("another.jpg"))


@pytest.mark.parametrize("change", [longer, later])
def test_by_stat_a_file_that_was_changed_is_another(photo: Path, change: Callable[[Path], None]) -> None:
    """The features of an image that was edited would be those of before."""
    touch(photo, 10**18)
    before = identity(photo, "stat")
    change(photo)
    assert identity(photo, "stat") != before


def test_by_stat_a_large_file_at_another_path_is_another_image(photo: Path) -> None:
    """Two bitmaps of one size that differ between the samples, unpacked in the same second, would share a row."""
    other = photo.with_name("other.jpg")
    shutil.copy2(photo, other)
    assert photo.stat().st_mtime_ns == other.stat().st_mtime_ns
    assert identity(photo, "stat") != identity(other, "stat")


@pytest.mark.parametrize("by", BOTH)
def test_a_small_file_is_known_by_its_bytes_alone(photo: Path, tmp_path: Path, by: By) -> None:
    """A data set that is copied, or unpacked anew in each session, would be extracted anew in each session."""
    photo.write_bytes(photo.read_bytes()[:WHOLE_BYTES])
    before = identity(photo, by)
    assert before == identity(photo, "content")
    copy = tmp_path / "elsewhere" / "copy.png"
    copy.parent.mkdir()
    shutil.copy(photo, copy)
    touch(copy, 7)
    assert identity(copy, by) == before


@pytest.mark.parametrize("change", [read_only, looked_at, linked])
def test_of_a_small_file_nothing_else_counts(photo: Path, change: Callable[[Path], None]) -> None:
    """A backup, or a look at the photos, would cost the extraction of all."""
    photo.write_bytes(b"small")
    before = identity(photo, "stat")
    change(photo)
    assert identity(photo, "stat") == before


@pytest.mark.parametrize("size", [1, WHOLE_BYTES, WHOLE_BYTES + 1, 2**20])
def test_by_stat_another_file_of_equal_name_size_and_time_is_another_image(tmp_path: Path, size: int) -> None:
    """A data set unzipped over another would train on the pixels of the other."""
    path = tmp_path / "0001.jpg"
    found = []
    for byte in (b"a", b"b"):
        path.write_bytes(byte * size)  # in place: the inode stays
        touch(path, 10**18)
        found.append(identity(path, "stat"))
    assert found[0] != found[1]


@pytest.mark.parametrize("place", [0, 2**19, 2**20 - 1])
def test_by_stat_a_large_file_is_known_by_samples_of_its_content(
    tmp_path: Path, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a drive that gives each file the same inode and times, one photo would be taken for another."""
    path = tmp_path / "0001.jpg"
    path.write_bytes(bytes(2**20))
    status = path.stat()
    monkeypatch.setattr(os, "fstat", lambda _: status)
    before = identity(path, "stat")
    data = bytearray(2**20)
    data[place - SAMPLE_BYTES // 4 if place == 2**19 else place] = 1
    path.write_bytes(data)
    assert identity(path, "stat") != before


def test_many_images_are_identified_in_their_order(tmp_path: Path) -> None:
    """Beyond the group that is read at once, images would have the identities of others."""
    paths = [str(tmp_path / f"{number % 7}.jpg") for number in range(10_000)]
    for number in range(7):
        Path(paths[number]).write_bytes(b"%d" % number)
    found = identities_of(iter(paths), "stat")
    assert (found == found[np.arange(10_000) % 7]).all()
    assert len(np.unique(found, axis=0)) == 7


def test_by_content_a_copy_is_the_same_image(photo: Path, tmp_path: Path) -> None:
    """An archive that is unpacked anew in each session would be extracted anew in each session."""
    before = identity(photo, "content")
    copy = tmp_path / "elsewhere" / "copy.png"
    copy.parent.mkdir()
    shutil.copy(photo, copy)
    touch(copy, 7)
    assert identity(copy, "content") == before


@pytest.mark.parametrize("place", [0, 2**20 - 1, 2**20, -1])
def test_by_content_one_byte_makes_another_image(photo: Path, place: int) -> None:
    """An image that was edited would have the features of before."""
    before, about = identity(photo, "content"), photo.stat()
    data = bytearray(photo.read_bytes())
    data[place] ^= 1
    photo.write_bytes(data)
    touch(photo, about.st_mtime_ns)
    assert identity(photo, "content") != before


def test_an_empty_file_has_an_identity(tmp_path: Path) -> None:
    """It would count as a file that does not exist."""
    empty = tmp_path / "empty"
    empty.touch()
    assert identity(empty, "content") != (0, 0)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def a_loop(path: Path) -> None:
    path.symlink_to(path.name)


def below_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.touch()


NO_FILES: dict[str, Callable[[Path], None]] = {
    "missing": lambda _: None,
    "a folder": lambda path: path.mkdir(),
    "a pipe": a_pipe,
    "a device": a_device,
    "a dangling link": a_dangling_link,
    "a link to itself": a_loop,
    "below a file": below_a_file,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("by", BOTH)
@pytest.mark.parametrize("plant", NO_FILES.values(), ids=NO_FILES)
def test_a_path_that_is_not_a_file_has_no_identity(tmp_path: Path, by: By, plant: Callable[[Path], None]) -> None:
    """A pipe among the photos would block the run for ever, a device would never end, and all would be one image."""
    path = tmp_path / "folder" / "photo.jpg"
    path.parent.mkdir()
    plant(path)
    assert identity(path, by) == (0, 0)


@pytest.mark.parametrize("by", BOTH)
@pytest.mark.parametrize("path", ["/a\0b.jpg", "/\ud800.jpg", "/" + 300 * "x", ""], ids=ascii)
def test_an_impossible_name_has_no_identity(path: str, by: By) -> None:
    """A table of paths with a NUL in one would end the run in a traceback."""
    assert identity(path, by) == (0, 0)


@pytest.mark.timeout(20)
def test_what_is_in_a_pipe_stays_there(tmp_path: Path) -> None:
    """The program that waits for it would get nothing."""
    os.mkfifo(tmp_path / "pipe")
    with contextlib.closing(os.fdopen(os.open(tmp_path / "pipe", os.O_RDWR), "r+b", buffering=0)) as pipe:
        pipe.write(b"for others")
        assert identity(tmp_path / "pipe", "content") == (0, 0)
        assert pipe.read(100) == b"for others"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_by_content_an_unreadable_file_has_no_identity(photo: Path) -> None:
    """It would count as an empty file."""
    photo.chmod(0)
    assert identity(photo, "content") == (0, 0)


@pytest.mark.parametrize("by", BOTH)
def test_names_that_are_no_utf8_are_names_like_others(tmp_path: Path, by: By) -> None:
    """A folder from an old Windows machine could not be trained on, or two of its files would count as one."""
    paths = [tmp_path / os.fsdecode(name) for name in (b"caf\xe9.jpg", b"caf\xe8.jpg", "café.jpg".encode())]
    for number, path in enumerate(paths):
        path.write_bytes(b"%d" % number)
    found: Identities = identities_of(map(str, paths), by)
    assert found.any(axis=1).all()
    assert len({tuple(row) for row in found.tolist()}) == len(paths)
