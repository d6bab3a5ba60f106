"""A real training whose machine is lost, in `make test-faults` twice, and which goes on from its mirror alone."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import CHILDREN, child_environment
from tests.support.processes import kill_with_children
from tests.support.run_files import assert_each_epoch_once, committed, updates_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

TRAIN_COUNT, EPOCHS = 145, 2


@contextlib.contextmanager
def started(worker: str, photos: Path, run_dir: Path, mirror: Path) -> Iterator[subprocess.Popen[str]]:
    """`autofit.run` with a mirror in a process of its own; it and its worker do not outlive the test."""
    command = [sys.executable, str(CHILDREN / "mirrored_run.py"), worker, str(photos), str(run_dir), str(mirror)]
    environment = child_environment()
    with subprocess.Popen(command, cwd=CHILDREN, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            kill_with_children(process)


def lose_machine(photos: Path, run_dir: Path, mirror: Path, epoch: int) -> None:
    """`kill -9` of everything once the mirror has come into that epoch, and of the local disk nothing is left.

    The training goes no further than the epoch's middle, however late the mirror is, to which attempts come last.
    """
    with started(f"keras@{epoch}:10", photos, run_dir, mirror) as process:
        attempt = mirror / "attempts" / f"{epoch + 1:04d}" / "job.json"
        wait_until(
            lambda: committed(mirror) >= (epoch, 40) and attempt.exists(),
            "the mirror never came so far",
            process=process,
        )
    shutil.rmtree(run_dir)


def finish(photos: Path, run_dir: Path, mirror: Path) -> tuple[list[str], dict[str, Any]]:
    """Run to the end; returns what was told, and the content of `result.json`."""
    with started("keras", photos, run_dir, mirror) as process:
        told = process.communicate(timeout=240)[0].splitlines()
    assert json.loads(told[-1])[0] == "completed", told
    return told, json.loads((run_dir / "result.json").read_text())


@pytest.mark.whole
def test_a_training_whose_machine_is_lost_ends_with_the_same_weights(
    photos: Path, tmp_path: Path, *, whole: bool
) -> None:
    """A notebook that is disconnected, with its disk, would lose the run, or end it with other weights."""
    _, expected = finish(photos, tmp_path / "undisturbed", tmp_path / "undisturbed-mirror")
    mirror = tmp_path / "drive" / "flowers"
    losses = 2 if whole else 1
    for epoch in range(losses):
        lose_machine(photos, tmp_path / f"lost-{epoch}", mirror, epoch)

    told, result = finish(photos, tmp_path / "last", mirror)

    assert f"restoring the run in {mirror}" in told
    assert [attempt["verdict"] for attempt in result["attempts"]] == ["crashed"] * losses + ["completed"]
    assert result["weights_sha256"] == expected["weights_sha256"] is not None
    assert result["history"] == expected["history"]
    assert_each_epoch_once(tmp_path / "last", EPOCHS, range(TRAIN_COUNT))
    assert {line["epoch"] for line in updates_of(tmp_path / "last")} == set(range(EPOCHS))
    for name in ("model.keras", "result.json", "audit.jsonl", "labels.json", "validation.npy", "report.html"):
        assert (mirror / name).read_bytes() == (tmp_path / "last" / name).read_bytes()
