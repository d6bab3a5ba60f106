"""Seconds and memory of the solved head against the number of rows: from an entry of the feature cache to the weights.

    python benchmarks/head_at_scale.py --rows 100000 200000 400000 --folder /fast/disk --json scale.json

Each number of rows is an entry as an extraction writes it, of drawn features in ten classes with a tenth of the labels
wrong, a fifth for validation; and a process of its own that finds the rows in it, their checksums read, and solves the
head as a run does: strength, head, figures of both splits, refit. Memory is what the process adds to what it has with
TensorFlow loaded: `own` is its own (anonymous), `mapped` the pages of the entry that the kernel lends it and takes back
when they are wanted. With `--cold` the kernel forgets the entry before each pass, as it does where the rows are more
than the memory. The folder is removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, today
from markdown_table import markdown_table

from autofit.cache.entry_format import EntryRecord
from autofit.cache.store import CacheStore
from autofit.worker.features import head_solver, head_strength

BLOCK_ROWS = 4096
VALIDATION_SHARE = 0.2
WRONG_SHARE = 0.1
KEY = "0" * 64
PLENTY_BYTES = 10**15
SAMPLE_SECONDS = 0.02
MEGABYTE = 1e6
KIBIBYTE = 1024
HEADER = (
    "rows",
    "rows' size, GB",
    "found, s",
    "solved, s",
    "CPU s",
    "strengths",
    "passes for them",
    "own, MB",
    "own for each row, bytes",
    "mapped, MB",
    "validation accuracy",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one number of rows took.

    `find_seconds` is the look-up with all checksums, `solve_seconds` the rest.
    """

    rows: int
    width: int
    classes: int
    find_seconds: float
    solve_seconds: float
    cpu_seconds: float
    strengths: int
    passes: int
    own_bytes: int
    mapped_bytes: int
    accuracy: float


class MemoryWatch:
    """The most memory that this process has since it was begun, beyond what it had then."""

    def __init__(self) -> None:
        self._first, self.own_bytes, self.mapped_bytes = _resident(), 0, 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._is_over.wait(SAMPLE_SECONDS):
            own, mapped = _resident()
            self.own_bytes = max(self.own_bytes, own - self._first[0])
            self.mapped_bytes = max(self.mapped_bytes, mapped - self._first[1])

    def end(self) -> None:
        """Stop watching."""
        self._is_over.set()
        self._thread.join()


def _resident() -> tuple[int, int]:
    """The anonymous and the file-backed resident memory of this process."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    own, mapped = (KIBIBYTE * int(lines[name].split()[0]) for name in ("RssAnon", "RssFile"))
    return own, mapped


def drawn_rows(block: int, count: int, width: int, classes: int) -> tuple[Any, Any]:
    """A block of features, as after a ReLU, float32 (count, width), and its labels (count,)."""
    centres = np.random.default_rng(1).normal(0.0, 1.0, (classes, width)).astype(np.float32)
    random = np.random.default_rng([2, block])
    labels = random.integers(0, classes, count)
    features = random.standard_normal((count, width), np.float32)
    features *= 5.0
    features += centres[labels]
    np.maximum(features, 0.0, out=features)
    wrong = random.random(count) < WRONG_SHARE
    labels[wrong] = random.integers(0, classes, int(wrong.sum()))
    return features, labels


def identities(start: int, count: int) -> Any:
    """Of rows by their numbers, uint64 (count, 2), in no order: as hashes are."""
    numbers = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    return np.stack([numbers * np.uint64(0x9E3779B97F4A7C15), numbers], axis=1)


def record(width: int) -> EntryRecord:
    """Of the entry."""
    return EntryRecord(kind="features", key=KEY, about={}, dtype="float32", row_shape=(width,), created=0.0)


def write_entry(folder: Path, rows: int, width: int, classes: int) -> Any:
    """Write the rows; returns their labels."""
    labels = np.empty(rows, np.int32)
    with CacheStore(folder, PLENTY_BYTES).writer(record(width), None, 0) as writer:
        for block, start in enumerate(range(0, rows, BLOCK_ROWS)):
            count = min(BLOCK_ROWS, rows - start)
            features, labels[start : start + count] = drawn_rows(block, count, width, classes)
            writer.append(identities(start, count), features, np.arange(count) // 32 * 32)
    return labels


def measure(folder: Path, rows: int, width: int, classes: int, *, cold: bool) -> Measured:
    """Find the rows and solve the head, in this process."""
    from autofit.config.options import make_options  # noqa: PLC0415 - after the other process has written
    from autofit.dataset import ImageIndex  # noqa: PLC0415
    from autofit.input.views import ViewIndex  # noqa: PLC0415
    from autofit.machine.hardware import detect  # noqa: PLC0415
    from autofit.runs.plan import staged_plan  # noqa: PLC0415
    from autofit.worker.features.feature_cache import look_up  # noqa: PLC0415
    from autofit.worker.training.batch_sources import CachedFeatures  # noqa: PLC0415
    from autofit.worker.training.head_stage import HeadStage  # noqa: PLC0415
    from autofit.worker.training.stage_clock import StageClock  # noqa: PLC0415
    from autofit.worker.training.targets import Targets  # noqa: PLC0415

    training = rows - int(VALIDATION_SHARE * rows)
    labels = array("i", np.load(folder / "labels.npy").tolist())
    index = ImageIndex("/photos", ["x.jpg"] * rows, labels, tuple(f"class {n}" for n in range(classes)), training)
    plan = staged_plan(make_options(), training, classes, None, detect()).model_copy(
        update={"head": "solve", "refit_head": True, "threads": os.cpu_count() or 1}
    )
    chosen: list[Any] = []
    choose = head_strength.choose_l2

    def noted(*args: Any, **options: Any) -> Any:
        chosen.append(choose(*args, **options))
        return chosen[-1]

    head_strength.choose_l2 = noted
    own = identities(0, rows)
    watch, began, processor = MemoryWatch(), time.perf_counter(), time.process_time()
    found = look_up(CacheStore(folder, PLENTY_BYTES).open_entries(KEY), own)
    find_seconds = time.perf_counter() - began
    data = os.open(found.entries[0].folder / "rows.bin", os.O_RDONLY)

    def goes_on() -> None:
        if cold:
            os.posix_fadvise(data, 0, 0, os.POSIX_FADV_DONTNEED)

    unused: Any = None
    source = CachedFeatures(unused, found, ViewIndex(training, rows - training), {}, unused, unused, lambda _: None)
    solved = HeadStage(source, index, plan, Targets(index), goes_on, StageClock(None)).solve()
    watch.end()
    return Measured(
        rows,
        width,
        classes,
        find_seconds,
        time.perf_counter() - began - find_seconds,
        time.process_time() - processor,
        len(chosen[0].path),
        sum(point.passes for point in chosen[0].path),
        watch.own_bytes,
        watch.mapped_bytes,
        solved.metrics["val_accuracy"],
    )


def measured(folder: Path, rows: int, given: argparse.Namespace) -> Measured:
    """One number of rows, in a process of its own; its entry is removed."""
    place = folder / str(rows)
    place.mkdir()
    try:
        np.save(place / "labels.npy", write_entry(place, rows, given.width, given.classes))
        command = [sys.executable, __file__, "--child", str(place), "--rows", str(rows)]
        sizes = ["--width", str(given.width), "--classes", str(given.classes), *(["--cold"] if given.cold else [])]
        sizes += ["--held", str(given.held)] if given.held else []
        answer = subprocess.run([*command, *sizes], check=True, stdout=subprocess.PIPE, text=True).stdout
        return Measured(**json.loads(answer.splitlines()[-1]))
    finally:
        shutil.rmtree(place)


def cells(one: Measured) -> list[str]:
    """A line of the table."""
    return [
        f"{one.rows:,}",
        f"{4 * one.rows * one.width / 1e9:.2f}",
        f"{one.find_seconds:.1f}",
        f"{one.solve_seconds:.1f}",
        f"{one.cpu_seconds:.1f}",
        str(one.strengths),
        str(one.passes),
        f"{one.own_bytes / MEGABYTE:.0f}",
        f"{one.own_bytes / one.rows:.0f}",
        f"{one.mapped_bytes / MEGABYTE:.0f}",
        f"{one.accuracy:.3f}",
    ]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 200_000, 400_000])
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--held", type=int, help="bytes of rows that stay in memory; by default as in a run")
    parser.add_argument("--cold", action="store_true", help="the rows are read from the disk in each pass")
    parser.add_argument("--json", type=Path, help="raw figures go here")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.held:
        head_solver.HELD_BYTES = head_strength.HELD_BYTES = given.held
    if given.child:
        one = measure(given.child, given.rows[0], given.width, given.classes, cold=given.cold)
        print(json.dumps(asdict(one)))
        return
    figures: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="head-at-scale-", dir=given.folder) as folder:
        for rows in given.rows:
            figures.append(measured(Path(folder), rows, given))
            if given.json:
                given.json.write_text(json.dumps([asdict(each) for each in figures], indent=1), encoding="utf-8")
    print(f"{machine()}, {today()}; {given.width} features, {given.classes} classes{', cold' if given.cold else ''}\n")
    print(markdown_table(HEADER, map(cells, figures)))


if __name__ == "__main__":
    main()
