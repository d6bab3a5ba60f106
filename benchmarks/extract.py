"""Processor time of `autofit extract` by one process and by several at a time, which share a cache.

    python benchmarks/extract.py --weights mobilenet.h5 --images 1000 5000 --processes 1 2 --json extract.json

For each number of images the same command is started once, twice and so on at a time, each time with an empty cache.
What is compared is processor time, parents and workers together: on one machine the processes share its cores, as they
would not on several. The efficiency of n processes is the processor time of one over that of n. What n cost more, over
n - 1, is what a process needs before its first image and after its last: it is the same for any number of images.

The photos are drawn, JPEGs of 224x224 pixels: every twentieth anew, those between are the same, shifted. All caches
have to have the same bytes, and every image is to be extracted once.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from drawn_photos import TASK_KINDS, as_jpeg, draw_photo
from machine import machine, today, versions
from markdown_table import markdown_table
from PIL import Image

PIXELS = 224
SHIFTED = 20
SHARDS = 32
"""About so many in each extraction: the last one is shared by none, and should be short."""
HEADER = ("images", "processes", "processor seconds", "seconds", "efficiency", "a further start, processor seconds")


@dataclass(frozen=True, slots=True)
class Measured:
    """What one extraction took.

    Attributes:
        images: that were extracted, each once.
        processes: that shared them.
        cpu_seconds: of all, with their workers.
        seconds: until the last had ended.
        rows_sha256: over names, rows and indexes of all entries.
    """

    images: int
    processes: int
    cpu_seconds: float
    seconds: float
    rows_sha256: str


def draw(folder: Path, images: int) -> None:
    """Draw so many photos, in a folder for each of two classes."""
    for start in range(0, images, SHIFTED):
        kind = TASK_KINDS[start // SHIFTED % 2]
        (folder / kind.name).mkdir(parents=True, exist_ok=True)
        pixels = np.asarray(draw_photo(kind, start, (PIXELS, PIXELS)))
        for number in range(start, min(start + SHIFTED, images)):
            shifted = Image.fromarray(np.roll(pixels, 11 * (number - start), axis=1))
            (folder / kind.name / f"{number:07d}.jpg").write_bytes(as_jpeg(shifted, number))


def digest(cache: Path) -> str:
    """SHA-256 over the names, rows and indexes of all entries."""
    sha256 = hashlib.sha256()
    for path in sorted(cache.glob("*-*/*.bin")):
        sha256.update(f"{path.parent.name}/{path.name}".encode())
        sha256.update(path.read_bytes())
    return sha256.hexdigest()


def measure(photos: Path, images: int, processes: int, key: Path, given: argparse.Namespace) -> Measured:
    """Extract with so many processes at a time.

    Args:
        photos: the folder.
        images: how many it has.
        processes: how many are started at once.
        key: of the caches, whose checksums then can be compared; made if it is not there.
        given: the command line.

    Raises:
        RuntimeError: a process has failed, or an image was extracted twice or not at all.
    """
    with tempfile.TemporaryDirectory(prefix="autofit-extract-", dir=photos.parent) as folder:
        cache = Path(folder) / "cache"
        cache.mkdir()
        if key.exists():
            shutil.copy2(key, cache / ".key")
        network = ["--backbone", given.backbone, "--weights", given.weights, "--image-size", str(PIXELS)]
        shared = ["--cache", str(cache), "--shard-images", str(max(1, images // SHARDS)), "--quiet"]
        answers = [Path(folder) / f"{number}.json" for number in range(processes)]
        began = time.perf_counter()
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "autofit", "extract", str(photos), *network, *shared, "--json", str(answer)],
                stdout=subprocess.DEVNULL,
            )
            for answer in answers
        ]
        ends = [os.wait4(process.pid, 0) for process in running]  # with the workers, for which each has waited
        seconds = time.perf_counter() - began
        extracted = sum(json.loads(answer.read_text(encoding="utf-8"))["extracted"] for answer in answers)
        if any(status for _, status, _ in ends) or extracted != images:
            raise RuntimeError(f"{extracted} of {images} images were extracted")
        if not key.exists():
            shutil.copy2(cache / ".key", key)
        cpu_seconds = sum(usage.ru_utime + usage.ru_stime for _, _, usage in ends)
        return Measured(images, processes, cpu_seconds, seconds, digest(cache))


def cells(one: Measured, alone: Measured) -> list[str]:
    """A line of the table."""
    others = one.processes - 1
    return [
        f"{one.images:,}",
        str(one.processes),
        f"{one.cpu_seconds:.1f}",
        f"{one.seconds:.1f}",
        f"{alone.cpu_seconds / one.cpu_seconds:.3f}" if others else "",
        f"{(one.cpu_seconds - alone.cpu_seconds) / others:.1f}" if others else "",
    ]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, help="a file of the backbone's weights")
    parser.add_argument("--backbone", default="MobileNet")
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4], help="the first has to be 1")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path, help="raw figures go here")
    given = parser.parse_args()
    if given.processes[0] != 1:
        parser.error("--processes begins with 1, to which the others are compared")
    lines, figures = [], []
    with tempfile.TemporaryDirectory(prefix="extract-", dir=given.folder) as folder:
        for images in given.images:
            photos = Path(folder) / str(images)
            draw(photos, images)
            of_size: list[Measured] = []
            for processes in given.processes:
                of_size.append(measure(photos, images, processes, Path(folder) / "key", given))
                print(of_size[-1], flush=True)
            if len({one.rows_sha256 for one in of_size}) > 1:
                raise RuntimeError("the caches differ")
            lines += [cells(one, of_size[0]) for one in of_size]
            figures += of_size
            if given.json:
                text = json.dumps([dataclasses.asdict(each) for each in figures], indent=1)
                given.json.write_text(text, encoding="utf-8")
    print(f"\n{machine()}; {versions(sys.executable, ['tensorflow', 'keras'])}; {today()}\n")
    print(markdown_table(HEADER, lines))


if __name__ == "__main__":
    main()
