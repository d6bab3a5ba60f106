"""Runs with a time budget that is over before they begin: what there must be is made, and nothing else. Real runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import autofit
from autofit.runs.run_record import RunRecord
from tests.support.drawn import draw_tinted
from tests.support.run_files import result_of, samples_of, updates_of
from tests.support.shared import made_once
from tests.support.staged_runs import FINE_TUNED, stage_photos

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers, pytest.mark.usefixtures("cache")]

TRAIN_COUNT, CLASSES = 168, 3
STEPS_OF_ALL_STAGES = 3 + 3 + 3
"""An epoch of the head, of fine-tuning and of its refit, in batches of 32."""
NETWORK: dict[str, Any] = {"backbone": "MobileNet", "image_size": 32, "audit": True}
OVER_AT_ONCE = "0.1s"
EPOCHS_WITHOUT_A_BUDGET = 10


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos: 70 of each of three classes, more than two blocks of an extraction."""
    return made_once(tmp_path_factory, "budget-photos", lambda folder: draw_tinted(folder, 70))


def test_a_head_for_which_not_all_images_can_be_read_is_solved_on_a_part_and_replayed(
    photos: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run would end without a model, hours late, or with one that knows some classes only; a replay with another."""
    run_dir = tmp_path / "run"
    result = autofit.run(photos, run_dir=run_dir, weights=weights, time_budget=OVER_AT_ONCE, **NETWORK)
    assert result.status == "completed"
    (stage,) = result.record.stages
    assert stage.cut_short == "128 of 210 images"  # two blocks of 64: 104 images to train on, and 24 to validate
    assert "The head was trained with 128 of 210 images: the time budget." in result.summary()
    (update,) = updates_of(run_dir)
    assert (len(update["samples"]), len(update["skipped"])) == (104, TRAIN_COUNT - 104)
    trained = samples_of(run_dir, "train")
    classes = [Path(trained[sample]).parts[0] for sample in update["samples"]]
    assert all(classes.count(name) in range(33, 37) for name in set(classes))
    assert len(set(classes)) == CLASSES

    monkeypatch.setenv("AUTOFIT_CACHE", str(tmp_path / "another"))
    replayed = autofit.run(photos, run_dir=tmp_path / "replay", weights=weights, replay=run_dir, **NETWORK)
    assert replayed.weights_sha256 == result.weights_sha256
    assert replayed.history == result.history


@pytest.mark.whole
def test_a_training_ends_in_its_first_epoch_and_its_replay_does_too(
    photos: Path, weights: Path, tmp_path: Path
) -> None:
    """A training by epochs would go on after its budget, be left without a model, or be replayed to its last epoch."""
    request = {**NETWORK, "weights": weights, "epochs": 3, "batch_size": 16, "feature_cache": "off"}
    result = autofit.run(photos, run_dir=tmp_path / "run", time_budget=OVER_AT_ONCE, **request)
    assert result.status == "completed"
    assert [len(line["samples"]) for line in updates_of(tmp_path / "run")] == [16]
    assert [stage["cut_short"] for stage in result_of(tmp_path / "run")["stages"]] == [
        "a part of the first of 3 epochs"
    ]
    replayed = autofit.run(photos, run_dir=tmp_path / "replay", replay=tmp_path / "run", **request)
    assert replayed.weights_sha256 == result.weights_sha256
    assert len(updates_of(tmp_path / "replay")) == 1


@pytest.mark.whole
def test_a_training_from_scratch_has_the_epochs_for_which_there_is_time_and_is_replayed(
    photos: Path, tmp_path: Path
) -> None:
    """Half of a minute would be left, the learning rate would not have fallen, or a replay would have ten epochs."""
    request = {**NETWORK, "weights": "none", "trainable": "all", "micro_batch_size": 16, "deterministic": True}
    result = autofit.run(photos, run_dir=tmp_path / "run", time_budget="60s", **request)
    planned = RunRecord.load(tmp_path / "run" / "run.json").plan
    assert planned.epochs_by_budget == "decided"
    assert planned.epochs > EPOCHS_WITHOUT_A_BUDGET
    assert len(result.history["loss"]) == planned.epochs
    (stage,) = result.record.stages
    assert (stage.epochs, stage.cut_short) == (planned.epochs, "")
    replayed = autofit.run(photos, run_dir=tmp_path / "replay", replay=tmp_path / "run", **request)
    assert replayed.weights_sha256 == result.weights_sha256


def test_a_refit_whose_time_is_over_with_its_last_batch_is_whole(
    weights: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be thrown away, although nothing is left to be done but to save a model."""
    import keras

    steps: list[int] = []

    class Counts(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            del logs
            steps.append(batch)

    clock = "autofit.worker.training.stage_clock.StageClock"
    monkeypatch.setattr(f"{clock}.is_over", lambda _: len(steps) == STEPS_OF_ALL_STAGES)
    request: dict[str, Any] = {**NETWORK, **FINE_TUNED, "epochs": 1, "batch_size": 32, "fine_tune_epochs": 1}
    request |= {"weights": weights, "time_budget": "1h", "isolation": "inline", "callbacks": [Counts()]}
    result = autofit.run(stage_photos(tmp_path_factory), run_dir=tmp_path / "run", **request)
    assert len(steps) == STEPS_OF_ALL_STAGES
    assert [(stage.name, stage.refitted) for stage in result.record.stages][-1] == ("refit", True)
