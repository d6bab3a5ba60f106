"""How fast a folder becomes an index, and how little memory that takes: at 10,000, 100,000 and 1,000,000 images.

The images are empty, since a scan opens none, in a hundred class folders. Each measurement is a process of its own. The
parent loads what `autofit.run` loads before it looks at the data, then does what that does with them: scan,
fingerprint, samples.csv. The worker reads that file back. Memory is the peak of a whole process, resident.

    python benchmarks/index.py --work /tmp/million

The trees stay under `--work`, to be used again. They are hard links, so a million images take a minute and 50 MB.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from machine import machine, today, versions
from markdown_table import markdown_table
from whole_process import run_whole

COUNTS = (10_000, 100_000, 1_000_000)
CLASSES = 100
MEGABYTE = 1e6
KIBIBYTE = 1024

HEADER = (
    "images",
    "scan, s",
    "files/s",
    "fingerprint, s",
    "samples.csv written, s",
    "parent's peak, MB",
    "of that before the scan",
    "samples.csv read, s",
    "worker's growth, MB",
)


@dataclass(frozen=True, slots=True)
class Parent:
    """What one parent took. Memory is resident, of the whole process."""

    scan_seconds: float
    fingerprint_seconds: float
    write_seconds: float
    before_bytes: int
    peak_bytes: int
    reports: int


@dataclass(frozen=True, slots=True)
class Worker:
    """What one process took that reads samples.csv."""

    read_seconds: float
    before_bytes: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Row:
    """One number of images, measured several times."""

    images: int
    parents: tuple[Parent, ...]
    workers: tuple[Worker, ...]


def tree(work: Path, images: int) -> Path:
    """A folder of so many empty images in 100 classes, which is made where it is not there yet."""
    require(images % CLASSES == 0, f"{images} images cannot be shared out evenly over {CLASSES} classes")
    folder = work / f"{images}-images"
    if not folder.exists():
        unfinished = work / f".{folder.name}"
        shutil.rmtree(unfinished, ignore_errors=True)
        for number in range(CLASSES):
            fill(unfinished / f"class_{number:03}", images // CLASSES)
        unfinished.rename(folder)
    return folder


def fill(folder: Path, images: int) -> None:
    """Make so many links to one empty file: an inode each would take minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / "IMG_20240000.JPG"
    first.touch()
    for number in range(1, images):
        (folder / f"IMG_{20240000 + number}.JPG").hardlink_to(first)


def measure(images: int, folder: Path, samples: Path) -> tuple[Parent, Worker]:
    """One parent and one worker, each in a process of its own.

    Raises:
        RuntimeError: one of them failed, or the index has another number of images.
    """
    parent = Parent(**child("parent", images, folder, samples))
    worker = Worker(**child("worker", images, folder, samples))
    return parent, worker


def child(role: str, images: int, folder: Path, samples: Path) -> dict[str, Any]:
    """Run this file in the role of a parent or a worker, and return what it says."""
    ended = run_whole([sys.executable, __file__, "--role", role, *map(str, (images, folder, samples))], {}, folder)
    if ended.exit_code:
        raise RuntimeError(f"the {role} of {images} images: {ended.last_error}")
    return json.loads(ended.output)


def as_parent(images: int, folder: Path, samples: Path) -> dict[str, float]:
    """What `autofit.run` does with the data."""
    import autofit.api  # noqa: F401, PLC0415 - what a parent has loaded counts
    from autofit import dataset  # noqa: PLC0415

    before_bytes = peak_bytes()
    reports: list[int] = []
    index, scan_seconds = timed(lambda: dataset.scan(folder, on_progress=reports.append))
    _, fingerprint_seconds = timed(index.fingerprint)
    _, write_seconds = timed(lambda: index.write_csv(samples))
    require(len(index.paths) == images, f"{len(index.paths)} images were found")
    return {
        "scan_seconds": scan_seconds,
        "fingerprint_seconds": fingerprint_seconds,
        "write_seconds": write_seconds,
        "before_bytes": before_bytes,
        "peak_bytes": peak_bytes(),
        "reports": len(reports),
    }


def as_worker(images: int, folder: Path, samples: Path) -> dict[str, float]:
    """What the worker does with samples.csv; without TensorFlow, whose own memory is another matter."""
    from autofit.dataset import ImageIndex  # noqa: PLC0415

    before_bytes = peak_bytes()
    names = sorted(path.name for path in folder.iterdir())
    index, read_seconds = timed(lambda: ImageIndex.read_csv(samples, str(folder), names))
    require(len(index.paths) == images, f"{len(index.paths)} images were read")
    return {"read_seconds": read_seconds, "before_bytes": before_bytes, "peak_bytes": peak_bytes()}


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and the seconds it took."""
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def require(holds: bool, problem: str) -> None:  # noqa: FBT001 - it is the statement itself
    """End with the problem where something does not hold."""
    if not holds:
        raise SystemExit(problem)


def peak_bytes() -> int:
    """The most that this process had resident up to now. `ru_maxrss` would count whoever started it.

    https://man7.org/linux/man-pages/man5/proc_pid_status.5.html, VmHWM.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) * KIBIBYTE for line in status.splitlines() if line.startswith("VmHWM"))


def table(rows: Iterable[Row]) -> str:
    """Medians in Markdown; of memory the highest."""
    return markdown_table(HEADER, map(cells, rows))


def cells(row: Row) -> tuple[str, ...]:
    """One line of the table."""
    scan_seconds = median(parent.scan_seconds for parent in row.parents)
    return (
        f"{row.images:,}",
        f"{scan_seconds:.2f}",
        f"{row.images / scan_seconds:,.0f}",
        f"{median(parent.fingerprint_seconds for parent in row.parents):.2f}",
        f"{median(parent.write_seconds for parent in row.parents):.2f}",
        f"{max(parent.peak_bytes for parent in row.parents) / MEGABYTE:.0f}",
        f"{max(parent.before_bytes for parent in row.parents) / MEGABYTE:.0f}",
        f"{median(worker.read_seconds for worker in row.workers):.2f}",
        f"{max(worker.peak_bytes - worker.before_bytes for worker in row.workers) / MEGABYTE:.0f}",
    )


def measured(images: int, work: Path, rounds: int) -> Row:
    """One row: the same measurement so many times."""
    folder = tree(work, images)
    parents, workers = [], []
    with tempfile.TemporaryDirectory(dir=work) as beside:
        for number in range(1, rounds + 1):
            parent, worker = measure(images, folder, Path(beside) / "samples.csv")
            print(f"{images} images, round {number}: {parent}, {worker}", flush=True)
            parents.append(parent)
            workers.append(worker)
    return Row(images, tuple(parents), tuple(workers))


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("index-work"), help="where the trees are made and kept")
    parser.add_argument("--images", type=int, action="append", help="only this many; may be given several times")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="keep the raw figures in this file")
    parser.add_argument("--role", nargs=4, metavar=("ROLE", "IMAGES", "FOLDER", "SAMPLES"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, and print what belongs in `docs/benchmarks.md`."""
    asked = options()
    if asked.role:
        role, images, folder, samples = asked.role
        play = as_parent if role == "parent" else as_worker
        print(json.dumps(play(int(images), Path(folder), Path(samples))))
        return
    asked.work.mkdir(parents=True, exist_ok=True)
    work = asked.work.resolve()
    rows = [measured(images, work, asked.rounds) for images in asked.images or COUNTS]
    print(f"\n{machine()}; {versions(sys.executable, ['autofit-keras', 'pydantic'])}; {today()}\n")
    print(table(rows))
    if asked.json:
        asked.json.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
