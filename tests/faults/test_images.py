"""Damaged, lying and hostile image files: each is decoded, or refused with a reason, and nothing else happens.

Child processes decode them, so that an abort or a hang is seen and reported with the number of the mutation:
`tests/children/mutated_images.py` makes the same file from the same number.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autofit.input.batch_loader import BatchLoader
from autofit.input.decode import MAX_REASON_LENGTH
from tests.support.paths import CHILDREN, child_environment

ENVIRONMENT = child_environment()

THREADS = 2
A_CHILD = 2_500
"""Mutations that one process decodes one after another: memory that one corrupts shows in those after it."""

PATIENCE_SECONDS = 20.0
MOST_BYTES = 2 * 2**30
"""Less than the largest permitted image takes in the hungriest decoder: 2.4 GiB in JPEG 2000."""

Log = list[dict[str, Any]]


@pytest.fixture(scope="module")
def seed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good files of every mode and format that this Pillow writes, and their colours."""
    folder = tmp_path_factory.mktemp("seeds")
    subprocess.run([sys.executable, CHILDREN / "seed_images.py", folder], check=True, timeout=60)
    return folder


# Good files -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_seed_is_used_and_has_its_colors(seed_folder: Path, count: Callable[..., None]) -> None:
    """A valid image of some kind would be left out of the training, or be trained on in other colours."""
    expected = json.loads((seed_folder / "colors.json").read_text(encoding="utf-8"))
    assert len(expected) >= 60
    count(promise=11, cases=len(expected))
    paths = [str(seed_folder / "files" / name) for name in expected]
    with BatchLoader(paths, (24, 32), threads=THREADS, buffer_bytes=1) as loader:
        [batch] = loader.batches([range(len(paths))])
    assert [(paths[sample], reason) for sample, reason in batch.skipped] == []
    for name, pixels in zip(expected, batch.images, strict=True):
        off = np.abs(middles(pixels) - np.array(expected[name]["quarters"])).max()
        assert off <= expected[name]["tolerance"], name


def middles(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The mean colours (4, 3) of the four quarters of an image (24, 32, 3), off their borders."""
    quarters = pixels.reshape(2, 12, 2, 16, 3).swapaxes(1, 2).reshape(4, 12, 16, 3)
    means: np.ndarray[Any, Any] = quarters[:, 3:9, 4:12].mean((1, 2))
    return means


# Mutated files --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_mutated_files_end_in_pixels_or_in_a_reason(
    seed_folder: Path, tmp_path: Path, count: Callable[..., None], *, whole: bool
) -> None:
    """One damaged file among thousands would end the worker, hang it, or be left out silently."""
    total = 10_000 if whole else 1_000
    log: Log = []
    for first in range(0, total, A_CHILD):
        cases = min(A_CHILD, total - first)
        count(promise=11, cases=cases)
        log += decoded_mutations(seed_folder / "files", tmp_path, first, cases)
    assert_pixels_or_reasons(log, total)
    assert max(line["peak_bytes"] for line in log if "peak_bytes" in line) < MOST_BYTES
    summarize(log)


def decoded_mutations(files: Path, folder: Path, first: int, cases: int) -> Log:
    """Decode mutations in a process of their own until it ends or hangs; returns its log."""
    path = folder / f"{first}.log"
    arguments = [files, folder, path, first, cases, THREADS]
    with (folder / "errors").open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, CHILDREN / "mutated_images.py", *map(str, arguments)], env=ENVIRONMENT, stderr=errors
        )
    try:
        while child.poll() is None:
            time.sleep(0.2)
            held_up = unfinished(read_log(path), time.monotonic() - PATIENCE_SECONDS)
            assert held_up == [], f"more than {PATIENCE_SECONDS} s: {held_up}"
    finally:
        child.kill()
        child.wait()
    log = read_log(path)
    tail = (folder / "errors").read_bytes()[-2000:].decode(errors="replace")
    assert child.returncode == 0, f"ended with {child.returncode} while decoding {unfinished(log)}: {tail}"
    return log


def read_log(path: Path) -> Log:
    """The whole lines so far."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def unfinished(log: Log, begun_before: float = float("inf")) -> list[str]:
    """The files that were begun before this time and are not done: number and mutation."""
    done = {line["done"] for line in log if "done" in line}
    begun = [line for line in log if "begun" in line and line["begun"] not in done]
    return [f"{line['begun']}: {line['what']}" for line in begun if line["time"] < begun_before]


def assert_pixels_or_reasons(log: Log, total: int) -> None:
    """Assert that each file was decoded once, and that each unreadable one has a reason of one short line."""
    done = {line["done"]: line["skipped"] for line in log if "done" in line}
    assert sorted(done) == list(range(total))
    unread = {number: skipped for number, skipped in done.items() if skipped is not None}
    named = {line["named"]: line["reason"] for line in log if "named" in line}
    assert {number: f"UnreadableImageError: {reason}" for number, reason in named.items()} == unread
    assert [
        reason for reason in named.values() if not (reason.isprintable() and 0 < len(reason) <= MAX_REASON_LENGTH)
    ] == []
    assert 0.2 * total < len(unread) < 0.9 * total  # else the mutations would be too tame, or too wild


def summarize(log: Log) -> None:
    """Print the figures that docs/promises.md quotes; `pytest -rP` shows them."""
    what = {line["begun"]: line["what"] for line in log if "begun" in line}
    done = [line for line in log if "done" in line]
    slowest = max(done, key=lambda line: line["seconds"])
    unread = sum(line["skipped"] is not None for line in done)
    peak_bytes = max(line["peak_bytes"] for line in log if "peak_bytes" in line)
    sys.stdout.write(
        f"{len(done)} mutations, {unread} unreadable; the slowest {slowest['seconds']:.2f} s "
        f"({slowest['done']}: {what[slowest['done']]}); peak {peak_bytes / 2**20:.0f} MiB\n"
    )


def test_what_ends_or_holds_up_a_process_is_named() -> None:
    """A crash or a hang among ten thousand files would be seen, but not which file caused it."""
    log: Log = [
        {"begun": 7, "what": "cut_short of a.png", "time": 1.0},
        {"begun": 8, "what": "flipped_bits of b.gif", "time": 2.0},
        {"done": 7, "seconds": 0.1, "skipped": None},
        {"begun": 9, "what": "zero_filled of c.jpg", "time": 3.0},
    ]
    assert unfinished(log) == ["8: flipped_bits of b.gif", "9: zero_filled of c.jpg"]
    assert unfinished(log, 2.5) == ["8: flipped_bits of b.gif"]


# Headers that lie -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def liars(seed_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files whose headers claim a huge size."""
    folder = tmp_path_factory.mktemp("liars")
    arguments = [CHILDREN / "lying_images.py", seed_folder / "files", folder]
    subprocess.run([sys.executable, *arguments], check=True, timeout=60)
    return folder


@pytest.mark.slow
def test_an_oversized_header_is_refused_before_decoding(
    seed_folder: Path, liars: Path, count: Callable[..., None]
) -> None:
    """A file of a few kilobytes would take gigabytes of memory, in some format."""
    found = decoded_folder(seed_folder, liars / "oversized")
    count(promise=11, cases=len(found["reasons"]))
    assert len(found["reasons"]) >= 35
    assert {name: reason for name, reason in found["reasons"].items() if "pixels" not in (reason or "")} == {}
    assert found["grown_bytes"] < 16 * 2**20
    assert found["seconds"] < 2


@pytest.mark.slow
def test_sizes_that_lie_inside_a_file_take_no_memory(
    seed_folder: Path, liars: Path, count: Callable[..., None]
) -> None:
    """A header of modest size would let a frame, a tile, a strip, a table or a length take gigabytes."""
    found = decoded_folder(seed_folder, liars / "inside")
    count(promise=11, cases=len(found["reasons"]))
    assert len(found["reasons"]) >= 40
    assert "Expected to read" in found["reasons"]["box.jp2"]  # and no MemoryError
    assert found["grown_bytes"] < 64 * 2**20
    assert found["seconds"] < PATIENCE_SECONDS / 4


def decoded_folder(seed_folder: Path, folder: Path) -> dict[str, Any]:
    """The output of `decode_folder.py` for the files of a folder."""
    arguments = [CHILDREN / "decode_folder.py", seed_folder / "files" / "rgb.png", folder]
    done = subprocess.run(
        [sys.executable, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# A run ----------------------------------------------------------------------------------------------------------------


@pytest.mark.whole
@pytest.mark.slow
def test_a_run_uses_every_good_image_and_names_every_bad_one(
    seed_folder: Path, tmp_path: Path, count: Callable[..., None]
) -> None:
    """The decoder's reason would be lost between loader, training loop and result."""
    photos, run_dir = tmp_path / "photos", tmp_path / "run"
    good = {path.name for path in (seed_folder / "files").iterdir()}
    for label in ("a", "b"):
        shutil.copytree(seed_folder / "files", photos / label)
    bad = write_mutations(seed_folder, photos / "b")
    count(promise=11, cases=2 * len(good) + len(bad))

    arguments = ["--model", "survivor_network:network", "--image-size", "24x32", "--epochs", "1", "--batch-size", "16"]
    allowed = ["--max-bad-images", "1", "--validation", "0.2", "--audit", "--run-dir", str(run_dir)]
    command = [sys.executable, "-m", "autofit", "train", str(photos), *arguments, *allowed]
    done = subprocess.run(
        command, cwd=CHILDREN, env=ENVIRONMENT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

    quarantined = json.loads((run_dir / "result.json").read_text())["quarantined"]
    assert {Path(entry["path"]).name: entry["reason"] for entry in quarantined} == bad
    with (run_dir / "samples.csv").open(newline="") as lines:
        listed = {int(row["index"]): Path(row["path"]).name for row in csv.DictReader(lines) if row["split"] == "train"}
    updates = (run_dir / "audit.jsonl").read_text().splitlines()
    trained = [sample for line in updates for sample in json.loads(line)["samples"]]
    assert sorted(trained) == sorted(index for index, name in listed.items() if name not in bad)
    assert {listed[sample] for sample in trained} <= good


def write_mutations(seed_folder: Path, folder: Path) -> dict[str, str]:
    """Write the unreadable ones of the first 300 mutations into a folder; returns the reasons by name."""
    everything = folder.with_name("everything")
    everything.mkdir()
    arguments = [CHILDREN / "mutated_images.py", seed_folder / "files", everything]
    subprocess.run([sys.executable, *arguments, "300"], env=ENVIRONMENT, check=True, timeout=120)
    reasons = {n: r for n, r in decoded_folder(seed_folder, everything)["reasons"].items() if r is not None}
    for name in reasons:
        (everything / name).rename(folder / name)
    shutil.rmtree(everything)
    return reasons
