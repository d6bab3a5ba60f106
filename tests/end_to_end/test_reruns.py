"""The same call again with more epochs. A real run: what is trained on has the state of real optimizers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import autofit
from tests.support.run_files import assert_each_epoch_once
from tests.support.staged_runs import FINE_TUNED, NETWORK, TRAIN_COUNT, stage_photos, undisturbed_run

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
