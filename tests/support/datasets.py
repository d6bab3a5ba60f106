"""Folders and lists of empty image files, what is asked of the index made of them, and a stand-in for a dataset."""

from __future__ import annotations

import errno
import itertools
import math
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings

from autofit.dataset import ImageIndex

T = TypeVar("T")


quick = settings(max_examples=30)


WEIRD_NAMES = [
    "new\nline.jpg",
    "carriage\rreturn.jpg",
    "comma, and; semicolon.jpg",
    '"quoted".jpg',
    " spaces .jpg",
    "\ufeffmark.jpg",
    "\u2028separator.jpg",
    "ünïcödé.jpg",
    "=formula.jpg",
    "-dash.jpg",
    os.fsdecode(b"latin-\xe9\xff.jpg"),
]


def touch(root: Path, *names: str) -> None:
    """Make files of one byte: no content is ever read here, but empty ones would be found to be no images."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def images(count: int, start: int = 0) -> list[str]:
    return [f"{number:04}.jpg" for number in range(start, start + count)]


def photos(root: Path, **classes: int) -> Path:
    """Make a folder with so many images of each class."""
    for name, count in classes.items():
        touch(root / name, *images(count))
    return root


def csv_file(folder: Path, text: str | bytes) -> Path:
    path = folder / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def labelled(index: ImageIndex) -> dict[str, str]:
    """Class name by stored path."""
    return {path: index.class_names[label] for path, label in zip(index.paths, index.labels, strict=True)}


def training(index: ImageIndex) -> list[str]:
    return index.paths[: index.validation_from]


def validating(index: ImageIndex) -> list[str]:
    return index.paths[index.validation_from :]


def camera_roll(root: Path, *, classes: int = 100, each: int = 200) -> Path:
    """Make a folder of so many images, all of them names of one file: quickly made, and read like any others."""
    first = root / "class_000" / "IMG_20240000.JPG"
    touch(root, "class_000/IMG_20240000.JPG")
    for number in range(classes):
        folder = root / f"class_{number:03}"
        folder.mkdir(exist_ok=True)
        for image in range(number == 0, each):
            (folder / f"IMG_{20240000 + image}.JPG").hardlink_to(first)
    return root


def traced(work: Callable[[], T]) -> tuple[T, int, int]:
    """What it returns, and the bytes of Python's objects: how many more are held after it, and at most during it."""
    tracemalloc.start()
    try:
        before_bytes, _ = tracemalloc.get_traced_memory()
        result = work()
        held_bytes, peak_bytes = tracemalloc.get_traced_memory()
        return result, held_bytes - before_bytes, peak_bytes - before_bytes
    finally:
        tracemalloc.stop()


def failing_stat(name: str, code: int = errno.EIO, *, times: float = math.inf) -> Callable[..., os.stat_result]:
    """An `os.stat` of a drive that fails at files of this name, perhaps only so many times."""

    def answer(path: Any, *args: Any, **options: Any) -> os.stat_result:
        if os.path.basename(os.fspath(path)) == name and next(count) < times:  # noqa: PTH119 - as text
            raise OSError(code, os.strerror(code))
        return as_before(path, *args, **options)

    as_before, count = os.stat, itertools.count()
    return answer


class DatasetV2:
    """Stands for TensorFlow's class, which is known by its name and module: TensorFlow is not imported."""

    def __init__(self, batches: list[Any], cardinality: int = 2) -> None:
        self._batches, self._cardinality = batches, cardinality

    def cardinality(self) -> int:
        """As TensorFlow's."""
        return self._cardinality

    def as_numpy_iterator(self) -> Any:
        """As TensorFlow's."""
        return iter(self._batches)


DatasetV2.__module__ = "tensorflow.python.data.ops.dataset_ops"
