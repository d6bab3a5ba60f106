"""How fast a folder is predicted, and in how much memory: `autofit predict`, a warm second call, and plain Keras.

Keras opens the same saved model and predicts `image_dataset_from_directory`, its own way to read a folder, which does
not smooth as it shrinks. Each contestant is a process of its own, in turn; memory is the peak of a process and its
workers, looked at five times a second. Photos are hard links of those in a folder.

    python benchmarks/predict.py RUN PHOTOS --work /tmp/predict --json predict.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

from machine import machine, today, versions
from markdown_table import markdown_table
from process_tree import TreeMemory
from whole_process import Finished, run_whole

MEGABYTE = 1e6
HEADER = ("what", "images", "seconds", "images/s", "peak, MB")

WARM = """
import json, sys, time, autofit
result, folder = autofit.Result(sys.argv[1]), sys.argv[2]
one = next(iter(__import__("pathlib").Path(folder).iterdir()))
seconds = []
for images in (folder, folder, one, one, one):
    began = time.perf_counter()
    found = result.predict(images, view=autofit.report.progress.progress_view(quiet=True))
    seconds.append(time.perf_counter() - began)
print(json.dumps(seconds))
"""
KERAS = """
import json, sys, time
began = time.perf_counter()
import keras
model = keras.models.load_model(sys.argv[1] + "/model.keras")
height, width = model.input_shape[1:3]
opened = time.perf_counter()
data = keras.utils.image_dataset_from_directory(
    sys.argv[2], labels=None, shuffle=False, batch_size=32, image_size=(height, width), verbose=False
)
rows = model.predict(data, verbose=0)
print(json.dumps([time.perf_counter() - began, time.perf_counter() - opened, len(rows)]))
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the table; no peak where it is that of a line above."""

    what: str
    images: int
    seconds: float
    peak_bytes: int | None


def links(photos: Path, folder: Path, count: int) -> Path:
    """A folder with so many hard links of photos."""
    found = sorted(path for path in photos.rglob("*") if path.suffix in {".jpg", ".png"})
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(islice(cycle(found), count)):
        target = folder / f"{number:06d}{path.suffix}"
        if not target.exists():
            os.link(path, target)
    return folder


def whole(command: list[str | Path], name: str, work: Path) -> tuple[Finished, int]:
    """Run a program; how it ended, and the peak of it and its workers.

    Raises:
        RuntimeError: it failed.
    """
    with TreeMemory() as memory:
        done = run_whole(command, {}, work)
    if done.exit_code:
        raise RuntimeError(f"{name}: {done.last_error}")
    return done, memory.peak_bytes


def measure(run: Path, photos: Path, work: Path, count: int, many: int) -> list[Measured]:
    """All contestants in turn."""
    few, lots = links(photos, work / str(count), count), links(photos, work / str(many), many)
    found = []
    autofit = [sys.executable, "-m", "autofit", "predict", run]
    for folder, images in ((few, count), (lots, many)):
        done, peak = whole([*autofit, folder, "--csv", work / "all.csv", "--quiet"], "autofit", work)
        found.append(Measured("`autofit predict --csv`, the whole command", images, done.seconds, peak))
    done, peak = whole([sys.executable, "-c", WARM, run, few], "warm", work)
    first, second, *single = done.answer("warm")
    found += [
        Measured("`result.predict`, the first call", count, first, peak),
        Measured("the second call", count, second, None),
        Measured("a third, of one image (the slowest of three)", 1, max(single), None),
    ]
    done, peak = whole([sys.executable, "-c", KERAS, run, few], "Keras", work)
    _, predicting, _ = done.answer("Keras")
    found += [
        Measured("plain Keras, the whole script", count, done.seconds, peak),
        Measured("of that, reading and predicting", count, predicting, None),
    ]
    return found


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run directory with a model")
    parser.add_argument("photos", type=Path, help="a folder of images")
    parser.add_argument("--work", type=Path, required=True, help="on the file system of the photos")
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--many", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    found = measure(given.run.absolute(), given.photos.absolute(), given.work.absolute(), given.images, given.many)
    if given.json:
        record = {
            "machine": machine(),
            "versions": versions(sys.executable, ("tensorflow", "keras", "numpy", "pillow")),
            "day": today(),
            "measured": [asdict(one) for one in found],
        }
        given.json.write_text(json.dumps(record, indent=2), encoding="utf-8")
    rows = [
        (
            one.what,
            f"{one.images:,}",
            f"{one.seconds:.2f}" if one.seconds < 1 else f"{one.seconds:.1f}",
            f"{one.images / one.seconds:.0f}",
            f"{one.peak_bytes / MEGABYTE:,.0f}" if one.peak_bytes else "",
        )
        for one in found
    ]
    print(markdown_table(HEADER, rows))


if __name__ == "__main__":
    main()
