"""Turns what a caller gives to predict into image files: paths, folders, patterns, and images in memory.

From a folder or a pattern only files with the suffix of an image are taken; a file that is named itself is taken
whatever its suffix. A path that does not exist is an error before anything starts; whether a file can be read is found
out later.
"""

# ruff: noqa: PTH111, PTH112, PTH110, PTH207 - paths are str in this package

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from autofit.dataset.array_kinds import as_array, is_array
from autofit.dataset.arrays import may_have_channels_first, write_images
from autofit.dataset.dataset_objects import CHANNELS, IMAGE_SIDES, is_dataset
from autofit.dataset.folder import ends_as_image, is_folder, is_image, kind_of, visible
from autofit.dataset.found import kinds_text
from autofit.dataset.listing import Frame
from autofit.dataset.picture_files import is_picture, save_picture
from autofit.dataset.sources import refuse_address, refuse_container
from autofit.errors import UserError
from autofit.printable import first_of, printable

_TABLES = frozenset({"csv", "tsv", "txt", "json", "jsonl", "ndjson"})
_SHOWN = 3
_LONGEST_PATH = 4096
_KINDS = "a path, a folder, a pattern, an array, a PIL image, the bytes of an image file, or a list of these"


class ImagesToPredict(NamedTuple):
    """Image files, and the name of each for users: its path, or `image 0` for an image in memory."""

    paths: list[str]
    names: list[str]


def images_to_predict(
    data: Any, folder: Path, say: Callable[[str], None], on_progress: Callable[[int], None]
) -> ImagesToPredict:
    """Find the files, and write images in memory to files, one at a time.

    Args:
        data: a path (also in bytes, as `os.fsencode` gives it), a folder, a pattern such as `new/*.jpg`, the bytes of
            an image file or an open one, a PIL image, an array of one image `(height, width[, channels])` or of
            several, a dataset, whose labels do not count and may be missing, or a list of these.
        folder: an existing folder for the files of images in memory.
        say: called with lines that say how pixel values were understood, and what was skipped.
        on_progress: called with the number of arrays written so far.

    Raises:
        UserError: a path does not exist, a folder holds no images, or the data is something else.
    """

    def write(images: Any) -> list[str]:
        return write_images(images, None, folder / "arrays", say, on_progress, has_labels=False)[0]

    if is_dataset(data):
        found = _in_memory(write(data))
    elif _holds_numbers(values := _as_array(data)):
        found = _in_memory(write(_batch(values)))
    else:
        found = _of_items(_items(data), folder, write, say)
    if not found.paths:
        raise UserError("there are no images to predict: give at least one")
    return found


def _in_memory(paths: list[str]) -> ImagesToPredict:
    return ImagesToPredict(paths, [f"image {number}" for number in range(len(paths))])


def _as_array(data: Any) -> Any:
    """A tensor of TensorFlow or PyTorch, or a column of pandas, as an array; anything else as it is."""
    return data if is_picture(data) or isinstance(data, Frame) else as_array(data, "the images")


def _holds_numbers(data: Any) -> bool:
    return is_array(data) and not is_picture(data) and data.dtype.kind not in "OSU"


def _batch(values: Any) -> Any:
    """An array of one image or of several as an array of several."""
    if values.ndim == IMAGE_SIDES and may_have_channels_first(values.shape):
        count = values.shape[0]
        raise UserError(
            f"an array of the shape {values.shape} is one image with its channels first, or {count} grey ones: give "
            "numpy.moveaxis(x, 0, -1) for the one, x[..., None] for the others"
        )
    if values.ndim == IMAGE_SIDES - 1 or (values.ndim == IMAGE_SIDES and values.shape[2] in CHANNELS):
        return values[None]
    if values.ndim not in {IMAGE_SIDES, IMAGE_SIDES + 1}:
        raise UserError(
            f"an array of the shape {values.shape} holds no images: give (height, width, channels), or "
            "(n, height, width, channels)"
        )
    return values


def _items(data: Any) -> list[Any]:
    """The given data as a list of single items."""
    if isinstance(data, str | os.PathLike) or _is_content(data) or is_picture(data):
        return [data]
    if isinstance(data, Frame):
        raise UserError('a DataFrame has more than paths: give one column, such as df["path"], or use evaluate')
    if is_array(data) and data.ndim == 0:
        return _items(data.item())
    if not isinstance(data, Iterable) or isinstance(data, Mapping):
        raise UserError(f"{data!r} cannot be predicted: give {_KINDS}")
    return list(data)


def _is_content(item: Any) -> bool:
    """Whether the item is the content of a file, or an open file."""
    return isinstance(item, bytes | bytearray | memoryview) or hasattr(item, "read")


def _is_path(content: bytes) -> bool:
    """Whether bytes are the path of something that exists: no image has such a content."""
    return len(content) < _LONGEST_PATH and b"\0" not in content and os.path.exists(content)


def _of_items(
    items: list[Any], folder: Path, write: Callable[[Any], list[str]], say: Callable[[str], None]
) -> ImagesToPredict:
    """The files of a list. All arrays in it are written together, so that they have the same range of pixel values."""
    arrays = {place: values for place, item in enumerate(items) if _holds_numbers(values := _as_array(item))}
    written = dict(zip(arrays, write(list(arrays.values())), strict=True)) if arrays else {}
    files = _Files(say)
    for place, item in enumerate(items):
        name = f"image {place}"
        if place in written:
            files.add(written[place], name)
        elif is_picture(item):
            files.add(save_picture(item, folder, name), str(getattr(item, "filename", "") or name))
        elif isinstance(item, bytes) and _is_path(item):
            files.add_path(os.fsdecode(item))
        elif _is_content(item):
            files.add(_save_content(item, folder / f"content-{place}", name), name)
        elif isinstance(item, str | os.PathLike):
            files.add_path(os.fsdecode(item))
        else:
            raise UserError(f"item {place} of the list is {item!r}: give {_KINDS}")
    files.require_all()
    return ImagesToPredict(files.paths, files.names)


def _save_content(item: Any, path: Path, name: str) -> str:
    content = item.read() if hasattr(item, "read") else item
    if isinstance(content, str):
        raise UserError(f"{name} is a file that is open for text: open it with 'rb'")
    path.write_bytes(content)
    return str(path)


class _Files:
    """Collects files, and the paths that do not exist."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.paths: list[str] = []
        self.names: list[str] = []
        self._missing: list[str] = []
        self._say = say

    def add(self, path: str, name: str) -> None:
        """Add one file."""
        self.paths.append(path)
        self.names.append(name)

    def add_path(self, text: str) -> None:
        """Add a file, the images below a folder, or what a pattern matches."""
        path = os.path.expanduser(text)
        if os.path.isdir(path):
            self._add_images(path, [path], text)
        elif os.path.exists(path):
            _refuse_no_image(text)
            self.add(path, path)
        elif matches := sorted(glob.glob(path, recursive=True)) if glob.has_magic(path) else []:
            self._add_images(path, matches, text)
        else:
            refuse_address(text)
            self._missing.append(text)

    def _add_images(self, path: str, starts: list[str], text: str) -> None:
        skipped = Counter[str]()
        found = _images_below(starts, skipped)
        kinds = kinds_text(skipped)
        if not found:
            other = f" ({kinds})" if skipped else ""
            raise UserError(f"{printable(text)} holds no images{other}: give a folder or a pattern that has some")
        if skipped:
            self._say(f"{path}: skipped {kinds}")
        for image in found:
            self.add(image, image)

    def require_all(self) -> None:
        """Raise an error that names the paths that do not exist, if there are any."""
        if self._missing:
            shown = first_of([printable(path) or "an empty path" for path in self._missing], _SHOWN)
            verb = "does" if len(self._missing) == 1 else "do"
            here = printable(str(Path.cwd()))
            raise UserError(f"{shown} {verb} not exist: check the path (relative ones begin in {here})")


def _images_below(starts: list[str], skipped: Counter[str]) -> list[str]:
    """The images among files and below folders, at any depth, by path; each folder once. Counts other files by kind."""
    folders = [path for path in starts if os.path.isdir(path)]
    found: dict[str, None] = {}
    for path in starts:
        if not os.path.isdir(path):
            if ends_as_image(path):
                found[path] = None
            else:
                skipped[kind_of(os.path.basename(path))] += 1  # noqa: PTH119
    visited = set[str]()
    while folders:
        here = folders.pop()
        if (real := os.path.realpath(here)) in visited:
            continue
        visited.add(real)
        for entry in visible(here):
            if is_folder(entry):
                folders.append(entry.path)
            elif is_image(entry):
                found[entry.path] = None
            else:
                skipped[kind_of(entry.name)] += 1
    return sorted(found)


def _refuse_no_image(text: str) -> None:
    """Refuse a table, an archive and the like by its suffix; any other file may be an image."""
    if text.rpartition(".")[2].lower() in _TABLES:
        raise UserError(f"{printable(text)} is a table or text: give the paths in it as a list, or evaluate it")
    refuse_container(text)
