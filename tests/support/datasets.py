"""Folders and lists of empty image files, what is asked of the index made of them, and a stand-in for a dataset."""

from __future__ import annotations

import errno
import itertools
import math
import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from hypothesis import settings
from numpy.typing import NDArray

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


def deep_png(values: NDArray[np.uint16]) -> bytes:
    """A PNG of 16 bits a channel, of values (height, width, 2 to 4), which Pillow reads and cannot write."""
    height, width, channels = values.shape
    kind = {2: 4, 3: 2, 4: 6}[channels]  # grey with alpha, colours, colours with alpha
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


class OnDevice:
    """Stands for a tensor of PyTorch on a GPU."""

    ndim = 3

    def __array__(self, *_: Any, **__: Any) -> Any:
        """As PyTorch's."""
        raise TypeError("can't convert cuda:0 device type tensor to numpy")
