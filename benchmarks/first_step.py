"""How long a frozen run takes until its first step, beside a plain `import tensorflow` and one convolution.

Both are whole processes, in turn, from the launch of the command on. The run is `autofit train` on 250 photos; its
features are cleared from the cache before each round, and what CUDA has compiled for a card stays, but for the first
round. Its seconds are broken down by what its worker's heartbeat says: the first images are through the network at the
first line that has the seconds of a first step, known to a quarter of a second.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autofit_run import Line, heartbeat_lines
from machine import machine, today, versions
from markdown_table import markdown_table
from photo_folders import DEFAULT_WORK, task_folder
from whole_process import run_whole

HERE = Path(__file__).parent
BUILDS = ("weights", "build", "trace")


@dataclass(frozen=True, slots=True)
class Start:
    """The seconds of one run, in their order, and when what a user waits for was there.

    Attributes:
        parent: from the launch of the command to that of its worker: the options, the scan of the images.
        launch_and_import: from there until TensorFlow is imported and its device set.
        build: the network, its weights, what was trained before.
        first_steps: the first run of each step with each number of images: tracing, tuning, computing.
        extraction: the rest of the extraction, the waiting for images included.
        solving: the head.
        rest: saving and the end of the worker.
        to_first_images: from the launch of the command until images have gone through the network.
        to_first_step: until the head was solved, or took its first step.
        whole: until the command had ended.
        processor: seconds of the processor, of all its processes; they say more on a busy machine.
    """

    parent: float
    launch_and_import: float
    build: float
    first_steps: float
    extraction: float
    solving: float
    rest: float
    to_first_images: float
    to_first_step: float
    whole: float
    processor: float


def start_of(run: Path, launched: float, whole: float, processor: float = 0.0) -> Start:
    """Break a run down.

    Args:
        run: its directory.
        launched: when its command was launched, by the monotonic clock.
        whole: how long that took.
        processor: how much of the processor.

    Raises:
        ValueError: it has no heartbeat of a first step.
    """
    lines = heartbeat_lines(run)
    job = json.loads((min(run.glob("attempts/*")) / "job.json").read_text(encoding="utf-8"))
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    worker_launched = job["work"]["launched_at"]
    first = next((line for line in lines if line["first_steps_seconds"] > 0), None)
    if first is None:
        raise ValueError(f"{run} has made no step")
    spent = lines[-1]["phase_seconds"]
    known = {
        "parent": worker_launched - launched,
        "launch_and_import": spent["start"],
        "build": sum(spent.get(phase, 0.0) for phase in BUILDS),
        "first_steps": lines[-1]["first_steps_seconds"],
        "extraction": spent.get("extract", 0.0),
        "solving": spent.get("solve", 0.0) + spent.get("train", 0.0) + spent.get("validate", 0.0),
    }
    return Start(
        **known,
        rest=whole - sum(known.values()),
        to_first_images=first_images(lines) - launched,
        to_first_step=worker_launched + result["seconds_to_first_step"] - launched,
        whole=whole,
        processor=processor,
    )


def first_images(lines: Sequence[Line]) -> float:
    """When the first images were through the network, by the monotonic clock."""
    return float(next(line["monotonic_seconds"] for line in lines if line["first_steps_seconds"] > 0))


def plain(python: str) -> dict[str, float]:
    """Seconds from the launch of a process: TensorFlow imported, one convolution done."""
    launched = time.monotonic()
    done = run_whole([python, HERE / "peers" / "first_convolution.py"], {}, HERE)
    readings = done.answer("first_convolution.py")
    return {**{name: seconds - launched for name, seconds in readings.items()}, "processor": done.cpu_seconds}


def autofit_run(asked: argparse.Namespace, photos: Path, folder: Path, number: int) -> Start:
    """One run, with its features extracted anew."""
    environment = {"AUTOFIT_CACHE": str(folder / "cache"), "AUTOFIT_PROFILES": str(folder / "profiles")}
    cleared = [sys.executable, "-m", "autofit", "cache", "clear"]
    subprocess.run(cleared, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, check=False)
    run = folder / f"run-{number}"
    command = [sys.executable, "-m", "autofit", "train", photos, "--run-dir", run, "--backbone", asked.backbone]
    command += ["--weights", asked.weights, "--image-size", str(asked.image_size), *asked.options]
    launched = time.monotonic()
    done = run_whole(command, environment, folder)
    if done.exit_code:
        raise RuntimeError(f"autofit train: {done.last_error or done.exit_code}")
    return start_of(run, launched, done.seconds, done.cpu_seconds)


def table(starts: Sequence[Start], plains: Sequence[dict[str, float]]) -> str:
    """Medians and ranges of all rounds, a row a part."""
    rows = [
        ("plain TensorFlow: imported", [one["imported"] for one in plains]),
        ("plain TensorFlow: one convolution done", [one["convolved"] for one in plains]),
        ("plain TensorFlow: processor", [one["processor"] for one in plains]),
        *((name.replace("_", " "), [getattr(one, name) for one in starts]) for name in asdict(starts[0])),
        (
            "first images after the plain convolution",
            [one.to_first_images - other["convolved"] for one, other in zip(starts, plains, strict=True)],
        ),
        (
            "first step after the plain convolution",
            [one.to_first_step - other["convolved"] for one, other in zip(starts, plains, strict=True)],
        ),
    ]
    return markdown_table(
        ["seconds", "median", "range"],
        [[name, f"{statistics.median(all_):.1f}", f"{min(all_):.1f} to {max(all_):.1f}"] for name, all_ in rows],
    )


def main() -> None:
    """Measure in rounds and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="a folder with a subfolder for each class; else 250 are drawn")
    parser.add_argument("--count", type=int, default=250, help="photos that are drawn")
    parser.add_argument("--backbone", default="MobileNet")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--json", type=Path, help="where all readings go")
    asked, asked.options = parser.parse_known_args()
    photos = (asked.photos or task_folder(asked.work, asked.count, None)).resolve()
    plains: list[dict[str, float]] = []
    starts: list[Start] = []
    asked.work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=asked.work))
    try:
        for number in range(asked.rounds):
            plains.append(plain(sys.executable))
            starts.append(autofit_run(asked, photos, folder, number))
            print(json.dumps({"plain": plains[-1], "autofit": asdict(starts[-1])}), file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    about: dict[str, Any] = {
        "machine": machine(),
        "versions": versions(sys.executable, ("tensorflow", "keras")),
        "date": today(),
    }
    if asked.json:
        readings = {**about, "plain": plains, "autofit": [asdict(one) for one in starts]}
        asked.json.write_text(json.dumps(readings, indent=1), encoding="utf-8")
    print(json.dumps(about))
    print(table(starts, plains))


if __name__ == "__main__":
    main()
