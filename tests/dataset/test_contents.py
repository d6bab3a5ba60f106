"""Classes whose files only look like images are refused at once, with what they are."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import pytest

from autofit.dataset import scan
from autofit.dataset.contents import odd_files, require_images
from autofit.errors import UserError
from autofit.storage.safe_files import open_plain
from tests.support.datasets import images

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


def files(folder: Path, content: bytes, count: int = 5) -> None:
    folder.mkdir(parents=True)
    for name in images(count):
        (folder / name).write_bytes(content)


def test_classes_of_no_images_are_refused_all_at_once(tmp_path: Path) -> None:
    """Each attempt would end after minutes, with one class after the other."""
    files(tmp_path / "cat", b"\xff\xd8\xff\xe0")
    files(tmp_path / "dog", POINTER)
    files(tmp_path / "hen", b"\n<!DOCTYPE html><html>404")
    files(tmp_path / "owl", b"")
    with pytest.raises(UserError) as refusal:
        require_images(scan(tmp_path, validation=0))
    assert str(refusal.value) == (
        "no file of these classes is an image: 'dog' (5 Git LFS pointers, for which 'git lfs pull' brings the images), "
        "'hen' (5 web pages, not images), 'owl' (5 empty): bring the images or remove the classes"
    )


def test_some_bad_files_are_no_bad_class(tmp_path: Path) -> None:
    """Three broken downloads would end the run."""
    files(tmp_path / "cat", b"\xff\xd8\xff\xe0")
    files(tmp_path / "dog", POINTER)
    (tmp_path / "dog" / "0001.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    require_images(scan(tmp_path, validation=0))


def test_few_files_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network drive a million images would be opened before the first is read."""
    files(tmp_path / "cat", b"\xff\xd8\xff\xe0", 100)
    files(tmp_path / "dog", b"\xff\xd8\xff\xe0", 100)
    index = scan(tmp_path)
    opened: list[Path] = []

    def counted(path: Path) -> BinaryIO:
        opened.append(path)
        return open_plain(path)

    monkeypatch.setattr("autofit.dataset.contents.open_plain", counted)
    require_images(index)
    assert 2 <= len(opened) <= 6


def test_odd_files_in_good_classes_are_named(tmp_path: Path) -> None:
    """Pointers among the photos would be known only after the extraction, one by one."""
    files(tmp_path / "cat", b"\xff\xd8\xff\xe0")
    files(tmp_path / "dog", b"\xff\xd8\xff\xe0")
    assert odd_files(scan(tmp_path, validation=0)) is None
    (tmp_path / "cat" / images(5)[0]).write_bytes(POINTER)
    assert odd_files(scan(tmp_path, validation=0)) == (
        "of 6 files that were looked at, some are no images: 1 Git LFS pointers, for which 'git lfs pull' brings the "
        f"images (such as cat/{images(5)[0]})"
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 8, 101])
def test_the_last_file_of_a_class_is_looked_at(tmp_path: Path, count: int) -> None:
    """A download that broke off in the middle of a class would be told hours later; of 4, 6 or 8 it was not."""
    files(tmp_path / "cat", b"\xff\xd8\xff\xe0", count)
    files(tmp_path / "dog", b"\xff\xd8\xff\xe0", 3)
    (tmp_path / "cat" / images(count)[-1]).write_bytes(b"")
    odd = odd_files(scan(tmp_path, validation=0))
    assert odd is not None
    assert "1 empty" in odd
