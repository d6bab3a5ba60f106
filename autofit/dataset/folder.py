"""Finds the images of a folder with one subfolder a class, as fast as it can be listed: no image is opened."""

# ruff: noqa: PTH112, PTH113, PTH118 - a Path for each of a million files would take most of the time

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from autofit.errors import UserError
from autofit.printable import printable

# the files of cameras, scanners and the web that Pillow reads without the help of another program
# fmt: off
IMAGE_SUFFIXES = frozenset({
    "jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "gif", "webp", "avif", "bmp", "dib", "tif", "tiff",
    "ppm", "pgm", "pbm", "pnm", "tga", "jp2", "j2k", "jpf", "jpx", "j2c", "jpc", "ico", "pcx", "qoi",
})
# fmt: on
VALIDATION_NAMES = frozenset({"val", "validation"})
ADDED_BY_MACOS = "__MACOSX"  # to every zip
SPLIT_NAMES = VALIDATION_NAMES | {"train", "valid", "test"}


def training_and_validation(folder: str) -> tuple[str, str | None]:
    """Return `train/` and `val/` or `validation/` if `folder` has just these two subfolders, else `folder` and None.

    Raises:
        UserError: it cannot be read, or its subfolders are other splits, such as `train/` and `test/`: a training with
            these as classes would be nonsense.
    """
    names = {entry.name for entry in _visible(folder) if entry.is_dir(follow_symlinks=False) or _links_to_folder(entry)}
    beside = names - {"train"}
    if "train" not in names or not beside or not names <= SPLIT_NAMES:
        return folder, None
    if len(beside) == 1 and beside <= VALIDATION_NAMES:
        return os.path.join(folder, "train"), os.path.join(folder, beside.pop())
    raise UserError(
        f"{printable(folder)} holds {', '.join(sorted(names))}, which look like splits and not like classes: "
        "give its train folder as the data and one of the others as validation"
    )


def find_images(folder: str, root: str, progress: Progress, *, leave_out: str | None = None) -> Found:
    """Find the images of each class folder in `folder`, at any depth.

    Hidden files and folders are skipped. A folder is read once, however many links lead to it: by its own name if it
    is inside the tree, else through the link that is first by path. So the order of the listing does not matter.

    Args:
        folder: absolute; its subfolders are the classes, sorted by name.
        root: absolute; paths are stored relative to it.
        progress: counts the images.
        leave_out: a folder that is skipped.

    Raises:
        UserError: a folder cannot be read, or `folder` has no subfolders.
    """
    walk = _Walk(root, progress, leave_out)
    walk.read_all(folder)
    if not walk.classes:
        raise UserError(
            f"{printable(folder)} has no subfolders ({walk.skipped_files} files lie in it directly): "
            "give a folder with one subfolder of images a class"
        )
    return Found(
        classes={name: paths for name, paths in sorted(walk.classes.items()) if paths},
        empty_classes=tuple(sorted(name for name, paths in walk.classes.items() if not paths)),
        skipped_files=walk.skipped_files,
    )


class _Folder(NamedTuple):
    path: str
    real_path: str
    class_name: str | None


class _Walk:
    """One pass over a tree of folders. Links are followed after every folder inside the tree was read by its name."""

    def __init__(self, root: str, progress: Progress, leave_out: str | None) -> None:
        self.root = root
        self.progress = progress
        self.classes: dict[str, list[str]] = {}
        self.skipped_files = 0
        self._pending: list[_Folder] = []
        self._links: list[_Folder] = []  # a heap, ordered by path
        self._visited = {os.path.realpath(leave_out)} if leave_out else set()

    def read_all(self, folder: str) -> None:
        here: _Folder | None = _Folder(folder, os.path.realpath(folder), None)
        while here:
            self._visited.add(here.real_path)
            for entry in _visible(here.path):
                self._take(entry, here)
            here = self._next()

    def _next(self) -> _Folder | None:
        while self._pending or self._links:
            folder = self._pending.pop() if self._pending else heapq.heappop(self._links)
            if folder.real_path not in self._visited:
                return folder
        return None

    def _take(self, entry: os.DirEntry[str], here: _Folder) -> None:
        class_name = here.class_name or entry.name
        if entry.is_dir(follow_symlinks=False):
            self.classes.setdefault(class_name, [])
            self._pending.append(_Folder(entry.path, os.path.join(here.real_path, entry.name), class_name))
        elif _links_to_folder(entry):
            self.classes.setdefault(class_name, [])
            heapq.heappush(self._links, _Folder(entry.path, os.path.realpath(entry.path), class_name))
        elif here.class_name and _is_image(entry):
            self.classes[class_name].append(below(self.root, entry.path))
            self.progress.count_one()
        else:
            self.skipped_files += 1


def _visible(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.name != ADDED_BY_MACOS:
                    yield entry
    except OSError as error:
        raise UserError(f"the folder {printable(folder)} cannot be read: {error.strerror}") from None


def _links_to_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and os.path.isdir(entry.path)  # entry.is_dir() raises on a link to itself


def _is_image(entry: os.DirEntry[str]) -> bool:
    _, dot, suffix = entry.name.rpartition(".")
    if not dot or suffix.lower() not in IMAGE_SUFFIXES:
        return False
    return entry.is_file(follow_symlinks=False) or os.path.isfile(entry.path)


PROGRESS_EVERY_FILES = 4096


@dataclass(frozen=True, slots=True)
class Found:
    """Images by class.

    Args:
        classes: class name -> paths as an ImageIndex stores them. In class order; no class is empty, each path is there
            once.
        empty_classes: names of class folders without an image.
        skipped_files: number of files that are not images.
    """

    classes: dict[str, list[str]]
    empty_classes: tuple[str, ...] = ()
    skipped_files: int = 0


class Progress:
    """Counts images and calls `report(count)` every few thousand of them."""

    __slots__ = ("count", "report")

    def __init__(self, report: Callable[[int], None] | None = None) -> None:
        self.count = 0
        self.report = report

    def count_one(self) -> None:
        """Count one image."""
        self.count += 1
        if self.report and self.count % PROGRESS_EVERY_FILES == 0:
            self.report(self.count)


def below(root: str, path: str) -> str:
    """An absolute `path` as an index stores it: relative to `root` if it is inside `root`, unchanged otherwise."""
    prefix = root if root.endswith("/") else root + "/"
    return path.removeprefix(prefix)
