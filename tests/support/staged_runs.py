"""Runs in two stages, the head solved and then fine-tuning, on drawn photos: what their tests share."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import autofit
from autofit.protocol.job import ViewsPlan
from autofit.runs.run_record import RunRecord
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from tests.support.drawn import draw_tinted
from tests.support.processes import autofit_command, forking
from tests.support.shared import made_once

IMAGES, TRAIN_COUNT = 90, 72
NETWORK: dict[str, Any] = {"backbone": "MobileNet", "image_size": 64}
FINE_TUNED: dict[str, Any] = {
    "fine_tune_epochs": 2,
    "fine_tune_from": "conv_pw_11_relu",
    "checkpoint_every": 1,
    "deterministic": True,
}
"""A batch of 32, so three updates an epoch, each of them committed. Runs are compared bit by bit: the size of an
extraction must not follow from how busy the machine is."""


def stage_photos(factory: pytest.TempPathFactory) -> Path:
    """Drawn photos: 30 of each of three classes, told apart by their colour."""
    return made_once(factory, "stage-photos", lambda folder: draw_tinted(folder, IMAGES // 3))


def undisturbed_run(factory: pytest.TempPathFactory, photos: Path, weights: Path, **rung: Any) -> Path:
    """The directory of a run in both stages that nothing happened to; `rung` are options of the request."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("AUTOFIT_CACHE", str(folder / "cache"))
            autofit.run(photos, run_dir=folder / "run", weights=weights, audit=True, **NETWORK, **FINE_TUNED, **rung)

    return made_once(factory, "-".join(["stages-fine-tuned", *rung.values()]), make) / "run"


def before_views(head: Path, run_dir: Path) -> Path:
    """A copy of a run whose head is solved, whose plan goes on with the head on two views, as a time budget's does."""
    shutil.copytree(head, run_dir)
    files = RunDirectory(run_dir)
    record, views = RunRecord.load(files.run), ViewsPlan(count=2, augment="light")
    record.model_copy(update={"plan": record.plan.model_copy(update={"views": views})}).save(files.run)
    files.result.unlink()
    return run_dir


def command_for(photos: Path, weights: Path, run_dir: Path, **more: Any) -> list[str]:
    """The same request on the command line; its workers are forked, but for trials."""
    flags = []
    for name, value in {**NETWORK, **more}.items():
        flags += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
    return forking(autofit_command("train", photos, "--weights", weights, "--audit", "--run-dir", run_dir, *flags))


def stages_finished(run_dir: Path) -> int:
    """The stages that the newest checkpoint says are finished."""
    state = CheckpointStore(run_dir / "checkpoints").latest_state() or {"stages": []}
    return len(state["stages"])
