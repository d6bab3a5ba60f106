"""The same call again with more epochs. A real run: what is trained on has the state of real optimizers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import autofit
from autofit.config.learning_rates import RateFall
from autofit.runs.run_record import RunRecord
from tests.support.processes import kill_both
from tests.support.run_files import assert_each_epoch_once, committed
from tests.support.staged_runs import FINE_TUNED, NETWORK, TRAIN_COUNT, command_for, stage_photos, undisturbed_run

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers, pytest.mark.usefixtures("cache")]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stage_photos(tmp_path_factory)


def test_more_epochs_train_on_as_if_they_had_been_asked_for_at_once(
    photos: Path, weights: Path, tmp_path: Path
) -> None:
    """The run would be another one than was asked for: another order, an optimizer that begins anew, an old result."""

    def run(name: str, epochs: int) -> autofit.Result:
        return autofit.run(photos, run_dir=tmp_path / name, epochs=epochs, weights=weights, audit=True, **NETWORK)

    assert len(run("longer", 2).history["loss"]) == 2
    longer, whole = run("longer", 3), run("whole", 3)
    assert longer.status == "completed"
    assert longer.weights_sha256 == whole.weights_sha256
    assert longer.history == whole.history
    assert longer.record.best_epoch == whole.record.best_epoch
    assert longer.record.stages == whole.record.stages
    assert_each_epoch_once(longer.run_dir, 3, range(TRAIN_COUNT))
    assert json.loads((longer.run_dir / "run.json").read_text())["options"]["epochs"] == 3
    assert (longer.run_dir / "history.csv").read_text() == (whole.run_dir / "history.csv").read_text()
    with pytest.raises(autofit.UserError, match=r"has epochs 3, not 2, and cannot go on so \(3 epochs are trained"):
        run("longer", 2)


@pytest.mark.whole
def test_fine_tuning_follows_a_head_that_was_finished(
    photos: Path, weights: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The head would be made again, or its checkpoint not be where fine-tuning begins."""
    whole = autofit.Result(undisturbed_run(tmp_path_factory, photos, weights))
    request = {"run_dir": tmp_path / "run", "weights": weights, "audit": True, **NETWORK, **FINE_TUNED}
    head = autofit.run(photos, **request | {"fine_tune_epochs": None})
    assert [stage.name for stage in head.record.stages] == ["head"]
    longer = autofit.run(photos, **request)
    assert longer.weights_sha256 == whole.weights_sha256
    assert longer.record.stages[1:] == whole.record.stages[1:]
    assert longer.history == whole.history


@pytest.mark.whole
def test_from_scratch_a_kill_while_the_rate_falls_changes_nothing_and_more_epochs_train_at_the_full_rate(
    photos: Path, tmp_path: Path
) -> None:
    """A resumed run, or a replay, would make its last updates at another rate; or further epochs at none."""
    request = {"epochs": 3, "deterministic": True, "checkpoint_every": 1, "micro_batch_size": 8}
    again = {**NETWORK, **request, "weights": "none", "audit": True}
    whole = autofit.run(photos, run_dir=tmp_path / "whole", **again)
    assert RunRecord.load(whole.run_dir / "run.json").plan.rate_falls == (RateFall(begin=11, end=15),)

    killed = tmp_path / "killed"
    kill_both(command_for(photos, Path("none"), killed, **request), lambda: committed(killed) >= (2, 24))
    resumed = autofit.run(photos, run_dir=killed, **again)
    replay = autofit.run(photos, run_dir=tmp_path / "replay", replay=killed, **again)
    assert resumed.weights_sha256 == replay.weights_sha256 == whole.weights_sha256
    assert resumed.history == replay.history == whole.history

    longer = autofit.run(photos, run_dir=killed, **again | {"epochs": 4})
    assert longer.history["loss"][:3] == whole.history["loss"]
    falls = RunRecord.load(killed / "run.json").plan.rate_falls
    assert falls == (RateFall(begin=11, end=15), RateFall(begin=18, end=20))
