"""Folders of photos for the benchmarks, drawn or cut from larger ones, made once and kept in a work folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from drawn_photos import SMALL_PHOTO, TASK_KINDS, as_jpeg, photo_file
from PIL import Image

VALIDATION_EVERY = 5
"""Every fifth photo of a class is for validation."""
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}
DEFAULT_WORK = Path(tempfile.gettempdir()) / "autofit-benchmarks"

Job = tuple[Path, Callable[[], bytes]]
"""A file, and what makes its content."""

Place = Callable[[Path, str, int], Path]
"""Where in a folder a photo of a class goes, by the class's name and the photo's number in it."""


def task_folder(work: Path, count: int, photos: Path | None) -> Path:
    """A folder with `train/` and `val/`, a subfolder for each of six classes; made if it is not there.

    Args:
        work: where it is kept.
        count: photos in all.
        photos: a folder of larger photos. A class is then a photo, and what is to be told is which one a crop is from.
    """
    return _classes_folder(work, str(count), photos, range(count), _split_place)


def test_folder(work: Path, count: int, after: int, photos: Path | None) -> Path:
    """A folder with a subfolder for each of the same classes, of photos that no contender is given; made likewise.

    Args:
        work: where it is kept.
        count: photos in all.
        after: how many the task has: these come after them. Crops may overlap with the task's all the same.
        photos: as for `task_folder`.
    """
    numbers = range(after, after + count)
    return _classes_folder(work, f"{count}-after-{after}", photos, numbers, _plain_place)


def plain_folder(work: Path, size: tuple[int, int], count: int) -> Path:
    """A folder of drawn photos of one size, without classes; made if it is not there."""
    width, height = size

    def jobs(folder: Path) -> Iterator[Job]:
        for number in range(count):
            kind = TASK_KINDS[number % len(TASK_KINDS)]
            yield folder / f"{number:04d}.jpg", partial(photo_file, kind, number, size)

    return _made(work / f"{count}-of-{width}x{height}", jobs)


def split_name(number: int) -> str:
    """The folder that photo `number` of a class belongs to."""
    return "val" if number % VALIDATION_EVERY == VALIDATION_EVERY - 1 else "train"


def sources_in(photos: Path, most: int) -> list[Path]:
    """The first photos of a folder that crops can be cut from.

    Raises:
        SystemExit: there are fewer than two.
    """
    files = sorted(path for path in photos.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
    large = (path for path in files if _is_large(path))
    sources = [path for path, _ in zip(large, range(most), strict=False)]
    if len(sources) < 2:
        width, height = SMALL_PHOTO
        raise SystemExit(f"{photos} has {len(sources)} photos over {width}x{height}: two classes need two")
    return sources


def cut_file(source: Path, number: int) -> bytes:
    """Crop `number` of a photo, a JPEG of 640x480: any part of it, shrunk if it is larger; crops may overlap."""
    random = np.random.default_rng(number)
    with Image.open(source) as image:
        photo = image.convert("RGB")
    width, height = SMALL_PHOTO
    zoom = random.uniform(1, min(photo.width / width, photo.height / height))
    left = random.uniform(0, photo.width - zoom * width)
    top = random.uniform(0, photo.height - zoom * height)
    box = (left, top, left + zoom * width, top + zoom * height)
    return as_jpeg(photo.resize(SMALL_PHOTO, Image.Resampling.LANCZOS, box=box), number)


def _is_large(path: Path) -> bool:
    with Image.open(path) as image:
        return image.width > SMALL_PHOTO[0] and image.height > SMALL_PHOTO[1]


def _classes_folder(work: Path, name: str, photos: Path | None, numbers: range, place: Place) -> Path:
    """Photos of these numbers, of all classes in turn, drawn or cut."""
    if photos is None:
        return _made(work / f"{name}-drawn", lambda folder: _drawn_jobs(folder, numbers, place))
    sources = sources_in(photos, len(TASK_KINDS))
    about = hashlib.sha256("\n".join(str(path.resolve()) for path in sources).encode()).hexdigest()[:8]
    return _made(work / f"{name}-cut-{about}", lambda folder: _cut_jobs(folder, numbers, sources, place))


def _drawn_jobs(folder: Path, numbers: range, place: Place) -> Iterator[Job]:
    for number in numbers:
        kind, of_its_kind = TASK_KINDS[number % len(TASK_KINDS)], number // len(TASK_KINDS)
        yield place(folder, kind.name, of_its_kind), partial(photo_file, kind, of_its_kind)


def _cut_jobs(folder: Path, numbers: range, sources: list[Path], place: Place) -> Iterator[Job]:
    for number in numbers:
        source, of_its_kind = number % len(sources), number // len(sources)
        yield place(folder, f"photo-{source}", of_its_kind), partial(cut_file, sources[source], of_its_kind)


def _split_place(folder: Path, name: str, number: int) -> Path:
    return _plain_place(folder / split_name(number), name, number)


def _plain_place(folder: Path, name: str, number: int) -> Path:
    return folder / name / f"{number:04d}.jpg"


def _made(folder: Path, jobs: Callable[[Path], Iterable[Job]]) -> Path:
    """The folder, filled unless it is there; it appears when it is whole."""
    if folder.is_dir():
        return folder
    print(f"making {folder}", file=sys.stderr, flush=True)
    unfinished = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for _ in pool.map(_write, jobs(unfinished), chunksize=4):
            pass
    return unfinished.rename(folder)


def _write(job: Job) -> None:
    path, make = job
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make())
