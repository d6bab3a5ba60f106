"""Whether a long run grows: memory, open files, threads and disk of one training of 200,000 steps at a tiny size.

The images are 32 x 32 noise in two classes and the network has a few thousand weights, so that a step takes a
millisecond; parent and worker are looked at from outside. Of each tenth of the steps, the table has the last look.

    python benchmarks/soak.py --work /tmp/soak --json soak.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from machine import machine, today, versions
from markdown_table import markdown_table
from PIL import Image

IMAGES, PIXELS = 2500, 32
"""Four fifths of them are trained on: 2,000 steps an epoch, one image a step."""
STEPS_AN_EPOCH = 2000
LOOK_EVERY_SECONDS = 1.0
TENTHS = 10
MEGABYTE = 1e6

HEADER = (
    "steps",
    "minutes",
    "parent, MB",
    "worker, MB",
    "open files",
    "threads",
    "audit.jsonl, bytes a step",
    "rest of the run, MB",
)
PROGRAM = """
import sys, autofit
autofit.run(sys.argv[1], model="soak:tiny_network", image_size=32, epochs=int(sys.argv[2]), batch_size=1, audit=True,
            run_dir=sys.argv[3])
"""


class Look(NamedTuple):
    """What there is at one moment; open files and threads are those of both processes together."""

    steps: int
    seconds: float
    parent_bytes: int
    worker_bytes: int
    open_files: int
    threads: int
    audit_bytes: int
    other_bytes: int


def tiny_network(input_shape: tuple[int, int, int], num_classes: int) -> object:
    """The network that trains: pooled pixels and one dense layer."""
    import keras  # noqa: PLC0415 - the program that looks on does without

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Rescaling(1 / 255),
            layers.AveragePooling2D(4),
            layers.Flatten(),
            layers.Dense(num_classes, activation="softmax"),
        ]
    )


def draw(folder: Path) -> None:
    """Noise in two classes, which differ in their mean colour."""
    random = np.random.default_rng(0)
    for channel, name in enumerate(("blue", "red")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(IMAGES // 2):
            pixels = random.integers(0, 200, (PIXELS, PIXELS, 3))
            pixels[..., 2 - 2 * channel] += 55
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number:04}.png")


def looks(process: subprocess.Popen[bytes], run: Path) -> Iterator[Look]:
    """Look at parent and worker until they end."""
    started = time.monotonic()
    while process.poll() is None:
        time.sleep(LOOK_EVERY_SECONDS)
        try:
            yield look(psutil.Process(process.pid), run, time.monotonic() - started)
        except (psutil.Error, OSError, IndexError):  # between two processes, or before there are lines
            continue


def look(parent: psutil.Process, run: Path, seconds: float) -> Look:
    """What there is now."""
    children = parent.children(recursive=True)
    both = [parent, *children]
    files = [path for path in run.rglob("*") if path.is_file()]
    audit = sum(path.stat().st_size for path in files if path.name == "audit.jsonl")
    return Look(
        steps=steps_done(run),
        seconds=seconds,
        parent_bytes=parent.memory_info().rss,
        worker_bytes=sum(child.memory_info().rss for child in children),
        open_files=sum(one.num_fds() for one in both),
        threads=sum(one.num_threads() for one in both),
        audit_bytes=audit,
        other_bytes=sum(path.stat().st_size for path in files) - audit,
    )


def steps_done(run: Path) -> int:
    """How many updates the audit log has, from the last of its lines."""
    with (run / "audit.jsonl").open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - 4096))
        lines = file.read().split(b"\n")[:-1]
    last = json.loads(lines[-1])
    return int(last["epoch"] * STEPS_AN_EPOCH + last["step"] + 1)


def a_tenth_each(seen: list[Look], steps: int) -> list[Look]:
    """The last look of each tenth of the steps."""
    last: dict[int, Look] = {}
    for one in seen:
        last[min(TENTHS - 1, one.steps * TENTHS // steps)] = one
    return [last[tenth] for tenth in sorted(last)]


def row(one: Look) -> list[str]:
    """A row of the table."""
    return [
        f"{one.steps:,}",
        f"{one.seconds / 60:.1f}",
        f"{one.parent_bytes / MEGABYTE:.0f}",
        f"{one.worker_bytes / MEGABYTE:.0f}",
        str(one.open_files),
        str(one.threads),
        f"{one.audit_bytes / max(1, one.steps):.0f}",
        f"{one.other_bytes / MEGABYTE:.2f}",
    ]


def main() -> None:
    """Train, look, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a folder that is not there yet")
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    photos, run = given.work / "photos", given.work / "run"
    draw(photos)
    arguments = [str(photos.resolve()), str(given.steps // STEPS_AN_EPOCH), str(run.resolve())]
    with (given.work / "output.log").open("wb") as log:
        folder = Path(__file__).parent
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], cwd=folder, stdout=log, stderr=log)
        seen: list[Look] = []
        try:
            for one in looks(process, run):
                seen.append(one)  # noqa: PERF402 - what was seen before Ctrl-C counts
        except KeyboardInterrupt:  # the table of what was seen so far; the training hears of Ctrl-C as well
            process.wait()
    if seen and given.json:
        given.json.write_text(json.dumps([one._asdict() for one in seen]) + "\n")
    if not seen:
        sys.exit(f"the training failed: {(given.work / 'output.log').read_text()[-2000:]}")
    print(markdown_table(HEADER, [row(one) for one in a_tenth_each(seen, given.steps)]))
    print(f"\n{today()}: {machine()}; {versions(sys.executable, ['tensorflow', 'keras'])}")


if __name__ == "__main__":
    main()
