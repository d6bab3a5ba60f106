"""Machines that are lost at any instant, with their disk or without it, and runs that go on from the mirror alone."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autofit.api.result import Result
from autofit.storage.checkpoints import CheckpointStore
from tests.support.paths import CHILDREN
from tests.support.processes import kill_with_children
from tests.support.run_files import assert_each_epoch_once

MIRRORED_RUN = CHILDREN / "mirrored_run.py"
IMAGES, EPOCHS, KILLS = 24, 2, 3

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("autofit_is_found")]


def start(worker: str, photos: Path, run_dir: Path, mirror: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(MIRRORED_RUN), worker, str(photos), str(run_dir), str(mirror)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def lose(chance: random.Random, photos: Path, run_dir: Path, mirror: Path) -> None:
    """Kill a run after a while, and at random delete its local disk or damage a generation in the mirror."""
    process = start("slow", photos, run_dir, mirror)
    while process.poll() is None and not (mirror / "run.json").exists():
        time.sleep(0.01)
    time.sleep(chance.uniform(0.0, 1.0))
    kill_with_children(process)
    process.communicate()
    if chance.random() < 0.7:
        shutil.rmtree(run_dir, ignore_errors=True)
    generations = CheckpointStore(mirror / "checkpoints").manifests()
    if len(generations) > 1 and chance.random() < 0.3:
        arrays = generations[0][0] / "model.safetensors"
        arrays.write_bytes(arrays.read_bytes()[:-1] + b"x")


def finished(photos: Path, run_dir: Path, mirror: Path) -> str | None:
    """Run to the end; asserts that each epoch has each image once, and returns the hash of the weights."""
    process = start("complete", photos, run_dir, mirror)
    lines = process.communicate(timeout=300)[0].splitlines()
    assert json.loads(lines[-1])[0] == "completed", lines
    assert_each_epoch_once(run_dir, EPOCHS, range(IMAGES))
    assert (mirror / "audit.jsonl").read_bytes() == (run_dir / "audit.jsonl").read_bytes()
    return Result(mirror).weights_sha256


def test_a_run_goes_on_from_its_mirror_after_any_loss(
    count: Callable[..., None], tmp_path: Path, *, whole: bool
) -> None:
    """Some instant would leave a mirror that cannot be resumed, or repeats or misses an image, or ends differently."""
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(IMAGES // 2):
            (tmp_path / "photos" / label / f"{number}.jpg").write_bytes(b"x")
    photos = tmp_path / "photos"
    expected = finished(photos, tmp_path / "undisturbed", tmp_path / "undisturbed-mirror")
    for case in range(60 if whole else 1):
        chance = random.Random(case)
        run_dir, mirror = tmp_path / f"run-{case}", tmp_path / f"mirror-{case}"
        for _ in range(KILLS):
            count(promise=2)
            lose(chance, photos, run_dir, mirror)
        count(promise=3)
        assert finished(photos, run_dir, mirror) == expected is not None, f"case {case}"
        for folder in (run_dir, mirror):
            shutil.rmtree(folder)
