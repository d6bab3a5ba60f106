"""Finds the images of a folder with one subfolder per class, as fast as it can be listed: no image is opened."""

# ruff: noqa: PTH112, PTH113, PTH118 - a Path for each of a million files would take most of the time

from __future__ import annotations

import heapq
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from functools import cache
from typing import NamedTuple

from autofit.config.validators import is_installed
from autofit.dataset import containers
from autofit.dataset.flat_images import no_class_folders
from autofit.dataset.found import Found, Progress, below
from autofit.dataset.labels import class_order
from autofit.errors import UserError
from autofit.printable import printable
from autofit.storage.system_errors import explained

# the files of cameras, scanners and the web that Pillow reads without the help of another program
# fmt: off
IMAGE_SUFFIXES = frozenset({
    "jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "gif", "webp", "avif", "bmp", "dib", "tif", "tiff",
    "ppm", "pgm", "pbm", "pnm", "tga", "jp2", "j2k", "jpf", "jpx", "j2c", "jpc", "ico", "pcx", "qoi",
})
# fmt: on
HEIF_SUFFIXES = frozenset({"heic", "heif"})
"""The suffixes of iPhone photos, which count as images if pillow-heif is installed."""

HEIF_REMEDY = "pip install pillow-heif, or convert HEIC photos to JPEG"

ADDED_BY_PROGRAMS = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
    | {"venv", "__pycache__", "node_modules", "wandb", "mlruns"}
)
"""Folders that systems, network drives, Python and trackers of runs add to data, some with pictures in them; those that
notebooks add begin with a dot."""

NO_SUFFIX = "without suffix"
MOST_SUFFIX_CHARACTERS = 5


@cache
def image_suffixes() -> frozenset[str]:
    """The suffixes of the files that can be read here, in lower case."""
    return IMAGE_SUFFIXES | HEIF_SUFFIXES if is_installed("pillow_heif") else IMAGE_SUFFIXES


def ends_as_image(name: str) -> bool:
    """Whether a name ends in the suffix of an image that can be read here, or is nothing but such a suffix."""
    return name.rpartition(".")[2].lower() in image_suffixes()


def find_images(folder: str, root: str, progress: Progress, *, leave_out: Collection[str] = ()) -> Found:
    """Find the images of each class folder in `folder`, at any depth.

    Hidden files and folders are skipped. A folder is read once, however many links lead to it: under its own name if it
    is inside the tree, else through the link that comes first by path. So the result does not depend on the order in
    which the system lists entries.

    Args:
        folder: absolute; its subfolders are the classes, sorted by name.
        root: absolute; paths are stored relative to it.
        progress: counts the images.
        leave_out: folders that are skipped.

    Raises:
        UserError: a folder cannot be read, or `folder` has no subfolders.
    """
    walk = _Walk(root, progress, leave_out)
    walk.read_all(folder)
    if not walk.classes:
        raise no_class_folders(folder, walk.skipped)
    in_order = class_order(walk.classes)
    return Found(
        classes={name: walk.classes[name] for name in in_order if walk.classes[name]},
        empty_classes=tuple(name for name in in_order if not walk.classes[name]),
        skipped=walk.skipped,
        empty_kinds={name: dict(walk.skipped_in[name]) for name in walk.skipped_in if not walk.classes[name]},
        subfolders={name: frozenset(inner) for name, inner in walk.inside.items() if walk.direct[name] < len(inner)},
        notes=(_beside(folder, walk.beside),) if walk.beside >= len(walk.classes) else (),
    )


def _beside(folder: str, count: int) -> str:
    """The line about images beside the class folders."""
    return (
        f"warning: {count:,} images lie in {printable(folder)} beside the class folders and are skipped: move those "
        "of a class to its folder, or give a CSV file with the columns path,label"
    )


class _Folder(NamedTuple):
    path: str
    real_path: str
    class_name: str | None
    is_top: bool = False
    """Whether this is the folder of a class itself, not a folder inside one."""


class _Walk:
    """One pass over a tree of folders. Links are followed after all folders inside the tree have been read."""

    def __init__(self, root: str, progress: Progress, leave_out: Collection[str]) -> None:
        self.root = root
        self.progress = progress
        self.classes: dict[str, list[str]] = {}
        self.skipped = Counter[str]()
        self.skipped_in: dict[str, Counter[str]] = {}
        self.inside = defaultdict[str, set[str]](set)
        self.direct = Counter[str]()
        self.beside = 0  # images in no class's folder
        self._pending: list[_Folder] = []
        self._links: list[_Folder] = []  # a heap, ordered by path
        self._left_out = frozenset(map(os.path.realpath, leave_out))
        self._visited = set(self._left_out)

    def read_all(self, folder: str) -> None:
        here: _Folder | None = _Folder(folder, os.path.realpath(folder), None)
        while here:
            self._visited.add(here.real_path)
            for entry in visible(here.path):
                self._take(entry, here)
            here = self._next()

    def _next(self) -> _Folder | None:
        while self._pending or self._links:
            folder = self._pending.pop() if self._pending else heapq.heappop(self._links)
            if folder.real_path not in self._visited:
                return folder
        return None

    def _take(self, entry: os.DirEntry[str], here: _Folder) -> None:
        if self._left_out and is_folder(entry) and os.path.realpath(entry.path) in self._left_out:
            return  # it would be a class without images
        if entry.is_dir(follow_symlinks=False):
            class_name = self._class_of(entry.name, here)
            real_path = os.path.join(here.real_path, entry.name)
            self._pending.append(_Folder(entry.path, real_path, class_name, not here.class_name))
        elif _links_to_folder(entry):
            class_name = self._class_of(entry.name, here)
            real_path = os.path.realpath(entry.path)
            heapq.heappush(self._links, _Folder(entry.path, real_path, class_name, not here.class_name))
        elif here.class_name and is_image(entry):
            self.classes[here.class_name].append(below(self.root, entry.path))
            self.direct[here.class_name] += here.is_top
            self.progress.count_one()
        else:
            self._skip(entry, here)

    def _class_of(self, name: str, here: _Folder) -> str:
        """The class to which a folder in `here` belongs: its own, if it is a class folder, else that of `here`."""
        class_name = here.class_name or name
        self.classes.setdefault(class_name, [])
        if here.is_top:
            self.inside[class_name].add(name)
        return class_name

    def _skip(self, entry: os.DirEntry[str], here: _Folder) -> None:
        kind = kind_of(entry.name)
        self.skipped[kind] += 1
        self.beside += here.class_name is None and is_image(entry)
        if here.class_name:
            self.skipped_in.setdefault(here.class_name, Counter())[kind] += 1


def visible(folder: str) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder, without hidden entries and those that operating systems and programs add.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.name.lower() not in ADDED_BY_PROGRAMS:
                    yield entry
    except OSError as error:
        raise UserError(explained(error, f"the folder {printable(folder)} cannot be read")) from None


def kind_of(name: str) -> str:
    """The kind of a file by its suffix, such as `.txt`; odd suffixes share one kind, so that there are few kinds."""
    _, dot, suffix = name.rpartition(".")
    is_plain = dot and len(suffix) <= MOST_SUFFIX_CHARACTERS and suffix.isalnum() and not suffix.isdecimal()
    return f".{suffix.lower()}" if is_plain or suffix.lower() in containers.SUFFIXES else NO_SUFFIX


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one."""
    return entry.is_dir(follow_symlinks=False) or _links_to_folder(entry)


def _links_to_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and os.path.isdir(entry.path)  # entry.is_dir() raises on a link to itself


def is_image(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file, or a link to one, with the suffix of an image."""
    if "." not in entry.name or not ends_as_image(entry.name):
        return False
    return entry.is_file(follow_symlinks=False) or os.path.isfile(entry.path)
