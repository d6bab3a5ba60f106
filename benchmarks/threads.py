"""Images a second of autofit's loader, from a local disk and from a storage that lets wait for each file.

Beside each other: a thread for each core, and the number that the loader finds by measuring. The storage is simulated:
each decode sleeps first. One process, one loader after the other, round after round.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from drawn_photos import SMALL_PHOTO
from machine import machine, today, versions
from markdown_table import markdown_table
from numpy.typing import NDArray
from photo_folders import DEFAULT_WORK, plain_folder

from autofit.config.batch_schedule import EXTRACTION_BLOCK, image_buffer_bytes
from autofit.input.batch_loader import BatchLoader
from autofit.input.decode import decode_into
from autofit.runs.memory_budget import THREADS_BYTES

PHOTOS = 96
PIXELS = 224
BATCH = 32
BUFFER_BYTES = image_buffer_bytes(EXTRACTION_BLOCK["cpu"], (PIXELS, PIXELS))
CORES = len(os.sched_getaffinity(0))
LATENCIES = {"local files": 0.0, "20 ms a file": 0.02, "100 ms a file": 0.1}
HEADER = [
    "storage",
    f"{CORES} threads: images/s",
    "by measuring: images/s, from the start",
    "the second half",
    "threads",
    "x, from the start",
]


@dataclasses.dataclass(frozen=True, slots=True)
class Round:
    """One loader for some seconds. Speeds are images/s, from the start and in the second half of the time."""

    storage: str
    is_measuring: bool
    speed: float
    later_speed: float
    threads: int


def delayed(paths: Sequence[str], latency: float) -> Callable[[int, NDArray[np.uint8]], None]:
    """How a sample is decoded from a storage that answers after `latency` seconds."""

    def decode(sample: int, out: NDArray[np.uint8]) -> None:
        if latency:
            time.sleep(latency)
        decode_into(paths[sample], out)

    return decode


def one_round(paths: Sequence[str], storage: str, seconds: float, *, is_measuring: bool) -> Round:
    """Take batches as fast as they come."""
    groups = (np.arange(start, start + BATCH) % len(paths) for start in itertools.count(0, BATCH))
    most = None if is_measuring else CORES
    images, half_images, half_seconds = 0, 0, 0.0
    given = {"buffer_bytes": BUFFER_BYTES, "threads_bytes": THREADS_BYTES, "most_threads": most}
    with BatchLoader(paths, (PIXELS, PIXELS), threads=CORES, **given) as loader:
        began = time.monotonic()
        for batch in loader.batches(groups, delayed(paths, LATENCIES[storage])):
            images += len(batch.samples)
            taken = time.monotonic() - began
            if taken >= seconds / 2 and not half_images:
                half_images, half_seconds = images, taken
            if taken >= seconds and images > half_images:
                break
        threads = loader.threads
    return Round(storage, is_measuring, images / taken, (images - half_images) / (taken - half_seconds), threads)


def all_rounds(paths: Sequence[str], rounds: int, seconds: float) -> Iterator[Round]:
    """Each storage with both loaders, again and again; each is told as it ends."""
    for _, storage, is_measuring in itertools.product(range(rounds), LATENCIES, (False, True)):
        one = one_round(paths, storage, seconds, is_measuring=is_measuring)
        print(f"{storage}, {one.threads} threads at the end: {one.speed:.1f} images/s", flush=True)
        yield one


def table(rounds: Sequence[Round]) -> str:
    """A Markdown table of medians, a line a storage."""
    lines = []
    for storage in dict.fromkeys(one.storage for one in rounds):
        fixed, measuring = ([o for o in rounds if (o.storage, o.is_measuring) == (storage, m)] for m in (False, True))
        before, after = (statistics.median(one.speed for one in own) for own in (fixed, measuring))
        later = statistics.median(one.later_speed for one in measuring)
        numbers = sorted({one.threads for one in measuring})
        cells = [f"{before:.1f}", f"{after:.1f}", f"{later:.1f}", ", ".join(map(str, numbers)), f"{after / before:.2f}"]
        lines.append([storage, *cells])
    return markdown_table(HEADER, lines)


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each loader runs in a round")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="keeps the photos")
    parser.add_argument("--json", type=Path, help="keep the raw rounds in this file")
    return parser.parse_args()


def main() -> None:
    """Measure, and print what belongs in `docs/benchmarks.md`."""
    asked = options()
    paths = sorted(map(str, plain_folder(asked.work.resolve(), SMALL_PHOTO, PHOTOS).iterdir()))
    rounds = list(all_rounds(paths, asked.rounds, asked.seconds))
    width, height = SMALL_PHOTO
    print(f"\n{width}x{height} to {PIXELS}x{PIXELS}, {asked.rounds} rounds of {asked.seconds:g} s; {machine()};")
    print(f"{versions(sys.executable, ['autofit-keras', 'pillow', 'numpy'])}; {today()}\n\n{table(rounds)}")
    if asked.json:
        asked.json.write_text(json.dumps([dataclasses.asdict(one) for one in rounds], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
