"""A folder is read as classes of images; what else lies in it changes nothing."""

from __future__ import annotations

import inspect
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autofit.dataset import scan
from autofit.dataset.folder import IMAGE_SUFFIXES
from autofit.dataset.found import PROGRESS_EVERY_FILES
from autofit.errors import UserError
from tests.support.datasets import camera_roll, images, labelled, photos, touch, training, validating


def test_a_folder_gives_its_subfolders_as_sorted_classes(pets: Path) -> None:
    """Class numbers would depend on the order in which a file system lists folders."""
    index = scan(pets)
    assert index.class_names == ("cat", "dog")
    assert labelled(index) == {f"{name}/{file}": name for name, n in (("cat", 10), ("dog", 5)) for file in images(n)}
    assert index.root == str(pets)
    assert index.path(0) == str(pets / index.paths[0])


def test_nested_files_count_to_the_top_subfolder(pets: Path) -> None:
    """Images in folders by year or by camera would be lost, or become classes of their own."""
    touch(pets, "dog/2024/summer/a.jpg", "cat/dog/b.jpg")
    found = labelled(scan(pets))
    assert found["dog/2024/summer/a.jpg"] == "dog"
    assert found["cat/dog/b.jpg"] == "cat"


def test_hidden_files_and_folders_are_skipped(pets: Path) -> None:
    """A notebook's checkpoints or macOS's shadow files would be trained on, or counted as skipped."""
    before = scan(pets)
    touch(pets, "cat/.hidden.jpg", "cat/.cache/a.jpg", ".ipynb_checkpoints/a.jpg", "__MACOSX/cat/a.jpg", ".DS_Store")
    assert scan(pets) == before


@pytest.mark.parametrize(
    "suffixes", ["jpg JPG jpeg jpe jfif png b.Png gif bmp dib webp tif TIFF", "ppm pgm pbm pnm tga jp2 avif ico"]
)
def test_an_image_is_recognised_by_its_suffix(pets: Path, suffixes: str) -> None:
    """A format that Pillow reads would silently be left out of the training."""
    names = [f"a.{suffix}" for suffix in suffixes.split()]
    touch(pets / "cat", *names)
    index = scan(pets)
    assert {f"cat/{name}" for name in names} <= set(index.paths)
    assert index.skipped_files == 0


def test_every_suffix_is_one_that_pillow_knows() -> None:
    """Files would be indexed that no decoder of ours can open."""
    image = pytest.importorskip("PIL.Image")
    assert {f".{suffix}" for suffix in IMAGE_SUFFIXES} <= image.registered_extensions().keys()


def test_other_files_are_skipped_and_counted(pets: Path) -> None:
    """A text file would be trained on, or the user would not learn that it is left out."""
    touch(pets, "cat/notes.txt", "cat/jpg", "dog/deep/Thumbs.db", "README.md", "loose.jpg")
    (pets / "cat" / "gone.jpg").symlink_to(pets / "nowhere.jpg")
    os.mkfifo(pets / "cat" / "pipe.jpg")
    index = scan(pets)
    assert index.skipped_files == 7
    assert len(index.paths) == 15


def test_a_folder_that_is_named_like_an_image_is_a_folder(pets: Path) -> None:
    """A directory would be handed to the decoder, and what is in it be lost."""
    touch(pets, "cat/album.jpg/a.png")
    assert [path for path in scan(pets).paths if "album" in path] == ["cat/album.jpg/a.png"]


def test_linked_folders_are_followed_once_and_loops_end(pets: Path, tmp_path: Path) -> None:
    """A link to a folder above would make the scan endless, and two links to one folder would double its images."""
    touch(tmp_path / "elsewhere", "deep/x.jpg", "y.jpg")
    for link in ("cat/one", "cat/two", "dog/three"):
        (pets / link).symlink_to(tmp_path / "elsewhere")
    (pets / "cat" / "up").symlink_to(pets)
    (pets / "cat" / "self").symlink_to("self")
    (tmp_path / "elsewhere" / "deep" / "back").symlink_to(tmp_path / "elsewhere")
    index = scan(pets)
    assert [path for path in index.paths if "0" not in path] == ["cat/one/deep/x.jpg", "cat/one/y.jpg"]
    assert len(index.paths) == 17


def test_a_folder_counts_by_its_own_name_and_not_by_a_link_to_it(pets: Path) -> None:
    """A link from one class into another would take that class's images away."""
    (pets / "cat" / "a-link").symlink_to(pets / "dog")
    assert scan(pets).class_counts() == (8, 4)


def test_a_class_folder_may_be_a_link_and_so_may_a_file(tmp_path: Path) -> None:
    """Data that is put together from links would be found empty."""
    photos(tmp_path / "store", first=3, second=3)
    (tmp_path / "data" / "b").mkdir(parents=True)
    (tmp_path / "data" / "a").symlink_to(tmp_path / "store" / "first")
    for name in images(3):
        (tmp_path / "data" / "b" / name).symlink_to(tmp_path / "store" / "second" / name)
    index = scan(tmp_path / "data", validation=0)
    assert index.paths == [f"{name}/{file}" for name in "ab" for file in images(3)]


def test_a_deeply_nested_folder_is_read(pets: Path) -> None:
    """A walk that recurses would die of the recursion limit."""
    deep = "/".join(["d"] * 200)
    touch(pets / "cat" / deep, "x.jpg")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 100)
    try:
        index = scan(pets)
    finally:
        sys.setrecursionlimit(limit)
    assert f"cat/{deep}/x.jpg" in index.paths


def test_progress_is_reported_every_few_thousand_files(tmp_path: Path) -> None:
    """A scan of a large folder on a slow drive would look like a hang."""
    folder = tmp_path / "store"
    touch(folder, *images(100))
    for number in range(60):
        (tmp_path / f"link{number}").symlink_to(folder)
    paths = [f"{tmp_path}/link{link}/{name}" for link in range(60) for name in images(100)]
    counts: list[int] = []
    scan(paths, [0, 1] * 3000, on_progress=counts.append)
    assert counts == [PROGRESS_EVERY_FILES]


@pytest.mark.parametrize("name", ["val", "validation"])
def test_train_beside_validation_is_recognised(tmp_path: Path, name: str) -> None:
    """`train` and `val` would become the two classes."""
    photos(tmp_path / "train", cat=3, dog=4)
    touch(tmp_path, f"{name}/dog/deep/a.jpg", f"{name}/cat/b.jpg", f"{name}/cat/notes.txt", "labels.txt", ".git/x")
    index = scan(tmp_path)
    assert index.class_names == ("cat", "dog")
    assert training(index) == [f"train/cat/{f}" for f in images(3)] + [f"train/dog/{f}" for f in images(4)]
    assert validating(index) == [f"{name}/cat/b.jpg", f"{name}/dog/deep/a.jpg"]
    assert index.skipped_files == 1


def test_train_beside_other_folders_is_a_class(tmp_path: Path) -> None:
    """Photos of trains could not be distinguished from photos of cars."""
    assert scan(photos(tmp_path, train=3, car=3)).class_names == ("car", "train")


def test_a_folder_without_subfolders_is_refused(tmp_path: Path) -> None:
    """A user who gives one flat folder would not learn what is wrong."""
    touch(tmp_path, "a.jpg", "b.jpg", "c.txt")
    with pytest.raises(UserError, match=r"no subfolders \(3 files lie in it directly: 2 \.jpg, 1 \.txt\): give a"):
        scan(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(pets: Path) -> None:
    """A class would silently be empty, or the error be a traceback."""
    (pets / "cat").chmod(0)
    try:
        with pytest.raises(UserError, match=r"cat cannot be read \(Permission denied\): give this user the permission"):
            scan(pets)
    finally:
        (pets / "cat").chmod(0o755)


class Entry:
    """An entry of `os.scandir` without `stat`; the other methods answer from the listing."""

    def __init__(self, entry: os.DirEntry[str]) -> None:
        self.name, self.path = entry.name, entry.path
        self.is_dir, self.is_file, self.is_symlink = entry.is_dir, entry.is_file, entry.is_symlink


@contextmanager
def listed_without_stat(folder: str) -> Iterator[Iterator[Entry]]:
    with SCANDIR(folder) as entries:
        yield map(Entry, entries)


SCANDIR = os.scandir


def test_no_image_of_a_folder_is_opened_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network drive a million images would take hours to find."""
    folder = camera_roll(tmp_path / "roll", classes=10, each=100)
    calls: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            calls[name] += 1
            return function(*given, **named)

        return call

    for name in ("os.stat", "os.lstat", "os.open", "os.access", "builtins.open", "io.open"):
        module, _, function = name.rpartition(".")
        monkeypatch.setattr(name, counted(name, getattr(sys.modules[module], function)))
    monkeypatch.setattr("os.scandir", listed_without_stat)
    assert len(scan(folder).paths) == 1000
    monkeypatch.undo()
    assert calls.total() < 100, calls
