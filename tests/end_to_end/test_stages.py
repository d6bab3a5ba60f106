"""The stages of a run: the head solved, then fine-tuning; killed within the first. Real runs, real kills.

Kills within and between both are in `tests/faults/test_stage_kills.py`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autofit
from autofit.errors import UserError
from autofit.probing.records import ProbeReport
from autofit.protocol.job import ViewsPlan
from autofit.protocol.messages import EpochEnd, Phase, Verdict
from autofit.runs.run_record import RunRecord
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from tests.support.processes import kill_both
from tests.support.run_files import assert_each_epoch_once, committed, samples_of
from tests.support.staged_runs import FINE_TUNED, NETWORK, TRAIN_COUNT, command_for, stage_photos, undisturbed_run
from tests.support.views import RecordingView

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers, pytest.mark.usefixtures("cache")]

WEIGHTS_ABOVE_BYTES = 4 * 1_600_000
"""Of MobileNet above `conv_pw_11_relu`. With two slots of Adam and gradients it is four times as much."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stage_photos(tmp_path_factory)


@pytest.fixture(scope="module")
def fine_tuned(photos: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in both stages that nothing happened to."""
    return undisturbed_run(tmp_path_factory, photos, weights)


def assert_time_is_known(result: autofit.Result) -> None:
    """The parts are those of all attempts; what no part has is the end of processes, and this one."""
    spent, wall_seconds = result.record.time_spent, result.record.wall_seconds
    assert spent is not None
    assert sum(spent.model_dump().values()) == pytest.approx(wall_seconds, abs=0.1)
    assert 0 < spent.first_steps_seconds < wall_seconds
    assert 0 < spent.solving_seconds < wall_seconds
    assert spent.starts_seconds > 0
    assert "The time went into" in result.summary()


def test_a_request_without_options_solves_the_head(photos: Path, weights: Path, tmp_path: Path) -> None:
    """A head trained for ten epochs is worse than what the same features give; and a kill must not make it another."""
    result = autofit.run(photos, run_dir=tmp_path / "whole", weights=weights, audit=True, **NETWORK)
    (stage,) = result.record.stages
    assert (stage.name, stage.method, stage.refitted) == ("head", "solved", True)
    assert {name: len(values) for name, values in result.history.items()} == dict.fromkeys(result.history, 1)
    assert result.history["val_accuracy"][0] > 0.9
    assert "solved to its optimum" in result.summary()
    assert_each_epoch_once(result.run_dir, 1, range(TRAIN_COUNT))
    assert_time_is_known(result)

    killed = tmp_path / "killed"
    kill_both(command_for(photos, weights, killed), (killed / "features.json").exists)  # extracted, not solved
    assert committed(killed) == (0, 0)
    resumed = autofit.resume(killed)
    assert len(resumed.attempts) == 2
    assert_time_is_known(resumed)
    assert resumed.weights_sha256 == result.weights_sha256
    assert resumed.history == result.history
    assert resumed.predicted_images().accuracy == result.history["val_accuracy"][0]
    np.testing.assert_array_equal(last_layer(resumed), last_layer(result))


def test_a_head_on_views_that_is_no_better_leaves_the_first_one(photos: Path, weights: Path, tmp_path: Path) -> None:
    """Fine-tuning would begin with the worse of two heads."""
    files = RunDirectory(tmp_path / "run")
    autofit.run(photos, run_dir=files.path, weights=weights, **NETWORK)
    record, store = RunRecord.load(files.run), CheckpointStore(files.checkpoints)
    first = store.latest()
    assert first is not None
    views = ViewsPlan(count=2, augment="strong")
    record.model_copy(update={"plan": record.plan.model_copy(update={"views": views})}).save(files.run)
    store.save(first.groups, first.state | {"best_value": 0.0})  # no head has a lower loss
    files.result.unlink()

    result = autofit.resume(files.path)

    assert [(stage.name, stage.method) for stage in result.record.stages] == [("head", "solved"), ("views", "solved")]
    assert result.best_epoch == 0
    last = store.latest()
    assert last is not None
    for group in ("model", "best"):
        for name, array in first.groups[group].items():
            np.testing.assert_array_equal(last.groups[group][name], array)


def test_fine_tuning_that_helped_is_done_once_more_on_all_images(photos: Path, fine_tuned: Path) -> None:
    """The model would never see the images it was validated with, or its figures be those of images it has seen."""
    result = autofit.Result(fine_tuned)
    stages = [(stage.name, stage.epochs, stage.refitted) for stage in result.record.stages]
    assert stages == [("head", 1, True), ("fine-tune", 2, False), ("refit", 2, True)]
    assert {len(values) for values in result.history.values()} == {3}
    assert result.epoch_stages == ["head", "fine-tune", "fine-tune"]
    rows = (fine_tuned / "history.csv").read_text().splitlines()
    assert [row.rpartition(",")[2] for row in rows] == ["stage", *result.epoch_stages]
    best = result.best_epoch
    assert best in {1, 2}
    predicted = result.predicted_images()  # by the model from before the refit
    assert predicted.accuracy == pytest.approx(result.history["val_accuracy"][best])
    assert predicted.loss == pytest.approx(result.history["val_loss"][best], rel=1e-4)
    paths = [photos / path for path in samples_of(fine_tuned, "validation").values()]
    scores = result.evaluate(paths, [path.parent.name for path in paths])
    assert scores.loss < 0.9 * result.history["val_loss"][best]  # it has learned them
    assert "once more, on the training and validation images together" in result.summary()


def test_a_calibrated_model_is_saved_with_its_temperature(fine_tuned: Path, tmp_path: Path) -> None:
    """The figures would be of a model whose confidence was corrected, and the file of another."""
    from autofit.worker.training.calibration import calibrated, calibration  # noqa: PLC0415 - imports TensorFlow

    before = autofit.Result(fine_tuned)
    files = RunDirectory(tmp_path / "run")
    shutil.copytree(fine_tuned, files.path)
    store = CheckpointStore(files.checkpoints)
    last, labels = store.latest(), before.predicted_images().labels
    assert last is not None
    told = np.eye(3, dtype=np.float32)[labels] * 0.98 + 0.01
    told[:6] = told[:6, [1, 2, 0]]  # a third is wrong, and as certain as the others
    expected = calibration(told, labels)
    assert expected is not None
    state = last.state | {"calibration": expected.model_dump()}
    store.save(last.groups | {"validation": {"probabilities": told}}, state)
    files.result.unlink()
    files.model.unlink()  # else nothing is left to do

    result = autofit.resume(files.path)

    assert result.record.calibration == expected
    assert f"by a temperature of {expected.temperature:.2f}, with which" in " ".join(result.summary().split())
    assert result.weights_sha256 == before.weights_sha256  # those that a longer training goes on with
    np.testing.assert_allclose(last_layer(result), last_layer(before) / expected.temperature, rtol=1e-6)
    of_saved = calibrated(told, expected.temperature)
    np.testing.assert_allclose(result.predicted_images().probabilities, of_saved, rtol=1e-6)


class ReplacesTheWeights(RecordingView):
    """A view whose user saves other weights into the file when the head is done."""

    def __init__(self, file: Path, weights: Path) -> None:
        super().__init__()
        self.file, self.weights = file, weights

    def epoch_done(self, end: EpochEnd, *, epochs: int) -> None:
        """Replace the file."""
        super().epoch_done(end, epochs=epochs)
        self.file.write_bytes(self.weights.read_bytes() + b"other weights")


def test_weights_that_are_replaced_between_two_stages_end_the_run_until_they_are_back(
    photos: Path, weights: Path, tmp_path: Path
) -> None:
    """Other weights would be fine-tuned, below a head that was solved on those from before."""
    file, run_dir = tmp_path / "my.weights.h5", tmp_path / "run"
    file.write_bytes(weights.read_bytes())
    request = {**NETWORK, **FINE_TUNED, "fine_tune_epochs": 1, "weights": file, "run_dir": run_dir}
    said = rf"^weights file {file} has another content than when the run began: .*, then resume$"
    with pytest.raises(UserError, match=said):
        autofit.run(photos, view=ReplacesTheWeights(file, weights), **request)
    file.write_bytes(weights.read_bytes())

    result = autofit.resume(run_dir)

    assert [attempt.verdict for attempt in result.record.attempts][:2] == [Verdict.COMPLETED, Verdict.USER_ERROR]
    assert [stage.name for stage in result.record.stages][:2] == ["head", "fine-tune"]


def assert_model_is_from_before_the_refit(result: autofit.Result) -> None:
    """Check that a refit was ended after one of its two epochs, and dropped."""
    stages = [(stage.name, stage.epochs, stage.refitted, stage.cut_short) for stage in result.record.stages]
    assert stages == [("head", 1, False, ""), ("fine-tune", 2, False, ""), ("refit", 1, False, "1 of 2 epochs")]
    assert (best := result.best_epoch) in {1, 2}
    assert result.predicted_images().accuracy == pytest.approx(result.history["val_accuracy"][best])


def test_a_refit_that_a_callback_ends_is_not_the_model(photos: Path, weights: Path, tmp_path: Path) -> None:
    """The model from before would be told to have learned the validation images."""
    import keras

    class Ends(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch >= 3 and "val_loss" not in logs

    request = {**NETWORK, **FINE_TUNED, "epochs": 1, "batch_size": 32}
    result = autofit.run(photos, run_dir=tmp_path, weights=weights, callbacks=[Ends()], **request)
    assert_model_is_from_before_the_refit(result)
    assert "dropped after 1 of 2 epochs." in result.summary()


BY_EPOCHS: dict[str, Any] = {**NETWORK, **FINE_TUNED, "epochs": 1, "batch_size": 32}


def run_with_ruined_weights(
    photos: Path, weights: Path, run_dir: Path, *, at_epoch: int, at_batch: int = 0, **more: Any
) -> autofit.Result:
    """Run a head and its fine-tuning by epochs; what trains becomes NaN at the beginning of a batch, from zero."""
    import keras

    class Ruins(keras.callbacks.Callback):  # type: ignore[misc]
        epoch = 0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            del logs
            self.epoch = epoch

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            del logs
            if (self.epoch, batch) == (at_epoch, at_batch):
                for variable in self.model.trainable_variables:
                    variable.assign(variable * np.nan)

    result = autofit.run(photos, run_dir=run_dir, weights=weights, callbacks=[Ruins()], **BY_EPOCHS | more)
    newest = CheckpointStore(run_dir / "checkpoints").latest()
    assert newest is not None
    assert all(np.isfinite(array).all() for array in newest.groups["model"].values())
    return result


def test_a_refit_that_diverges_is_dropped(
    photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run would fail in its last stage, although the model from before is as good as it was."""
    result = run_with_ruined_weights(photos, weights, tmp_path, at_epoch=4)  # the second one of the refit
    assert_model_is_from_before_the_refit(result)
    summary, shown = (" ".join(text.split()) for text in (result.summary(), capsys.readouterr().err))
    assert "dropped after 1 of 2 epochs: its loss is nan in epoch 2." in summary
    assert "diverged (its loss is nan in epoch 2): the best model from before is kept" in shown


def test_a_fine_tuning_that_diverges_ends_with_the_head(
    photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run whose head is good would fail, for a learning rate that autofit chose itself."""
    result = run_with_ruined_weights(photos, weights, tmp_path, at_epoch=1)
    stages = [(stage.name, stage.epochs, stage.cut_short) for stage in result.record.stages]
    assert stages == [("head", 1, ""), ("fine-tune", 0, "0 of 2 epochs")]
    assert (result.status, result.best_epoch) == ("completed", 0)
    assert result.predicted_images().accuracy == pytest.approx(result.history["val_accuracy"][0])
    summary, shown = (" ".join(text.split()) for text in (result.summary(), capsys.readouterr().err))
    assert "Fine-tuning ended after 0 of 2 epochs: its loss is nan in epoch 1." in summary
    assert "fine-tuning has diverged (its loss is nan in epoch 1): the best model from before is kept" in shown


def test_without_validation_a_fine_tuning_that_diverges_later_ends_with_the_head(
    photos: Path, weights: Path, tmp_path: Path
) -> None:
    """The result would be an epoch of a training that was about to fail, which nothing has shown to be any better."""
    result = run_with_ruined_weights(photos, weights, tmp_path / "a", at_epoch=2, validation=0)
    assert [(stage.name, stage.epochs) for stage in result.record.stages] == [("head", 1), ("fine-tune", 1)]
    assert result.best_epoch == 0
    request = BY_EPOCHS | {"fine_tune_epochs": 0}
    alone = autofit.run(photos, run_dir=tmp_path / "b", weights=weights, validation=0, **request)
    np.testing.assert_allclose(result.predict(photos), alone.predict(photos), atol=1e-5)


def test_a_replay_of_a_fine_tuning_that_diverged_within_an_epoch_ends_as_it_did(
    photos: Path, weights: Path, tmp_path: Path
) -> None:
    """The replay of a run with a time budget would close that epoch, and have a loss of NaN in its history."""
    ruined: dict[str, Any] = {"at_epoch": 2, "at_batch": 1, "validation": 0}  # there is no refit
    run_with_ruined_weights(photos, weights, tmp_path / "a", audit=True, **ruined)
    record = RunRecord.load(tmp_path / "a" / "run.json")
    options = record.options.model_copy(update={"time_budget_seconds": 3600.0})
    record.model_copy(update={"options": options}).save(tmp_path / "a" / "run.json")
    ruined |= {"replay": tmp_path / "a", "checkpoint_every": 99}  # at whose commits it would be found anyway
    replayed = run_with_ruined_weights(photos, weights, tmp_path / "b", **ruined)
    assert [(stage.name, stage.epochs) for stage in replayed.record.stages] == [("head", 1), ("fine-tune", 1)]
    assert replayed.record.stages[-1].diverged == "its loss is nan in epoch 2"
    assert np.isfinite(replayed.history["loss"]).all()


def test_a_refit_of_a_fine_tuning_that_ended_early_has_as_many_epochs_as_its_best(
    photos: Path, weights: Path, tmp_path: Path
) -> None:
    """A user's `EarlyStopping` would be undone: the model would train on to where the validation got worse."""
    import keras

    rates: list[list[float]] = [[], []]  # of the fine-tuning and of its refit

    class EndsAfterTwo(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            is_refit = "val_loss" not in logs
            rates[is_refit] += [logs["learning_rate"]] if epoch else []
            self.model.stop_training = epoch == 2 and not is_refit

    request = {**NETWORK, **FINE_TUNED, "epochs": 1, "batch_size": 32, "fine_tune_epochs": 4}
    result = autofit.run(photos, run_dir=tmp_path, weights=weights, callbacks=[EndsAfterTwo()], **request)
    assert (best := result.best_epoch) in {1, 2}
    stages = [(stage.name, stage.epochs, stage.refitted, stage.cut_short) for stage in result.record.stages]
    assert stages == [("head", 1, False, ""), ("fine-tune", 2, False, ""), ("refit", best, True, "")]
    assert rates[1] == pytest.approx(rates[0][:best])  # three updates an epoch in both


def test_callbacks_that_need_a_validation_rest_in_a_refit(photos: Path, weights: Path, tmp_path: Path) -> None:
    """The run would end in a KeyError after all but its last stage, and again whenever it is resumed."""
    import keras

    seen: list[tuple[int, float]] = []
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=5)
    callbacks = [
        stopping,
        keras.callbacks.ModelCheckpoint(str(tmp_path / "w-{epoch}-{val_loss:.2f}.weights.h5"), save_weights_only=True),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append((epoch, logs["val_loss"]))),
    ]
    request = {**NETWORK, **FINE_TUNED, "epochs": 1, "batch_size": 32}
    view = RecordingView()
    result = autofit.run(photos, run_dir=tmp_path / "a", weights=weights, callbacks=callbacks, view=view, **request)
    assert [(stage.name, stage.refitted) for stage in result.record.stages][-1] == ("refit", True)
    assert [epoch for epoch, _ in seen] == [0, 1, 2]
    assert len(list(tmp_path.glob("w-*.h5"))) == 3
    resting = "callbacks that need a validation rest in the refit: "
    named = [message.removeprefix(resting) for message in view.messages if message.startswith(resting)]
    assert named == ["EarlyStopping", "ModelCheckpoint, LambdaCallback"]
    assert stopping.best == pytest.approx(min(result.history["val_loss"][1:]))


def test_callbacks_that_set_the_learning_rate_rest_in_fine_tuning(photos: Path, weights: Path, tmp_path: Path) -> None:
    """Its rate has a schedule, which Keras lets nobody set: the run would end in a TypeError after its head."""
    import keras

    class Halves(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            del logs
            if epoch > 1:  # in fine-tuning
                self.model.optimizer.learning_rate = float(self.model.optimizer.learning_rate) / 2
                self.model.optimizer.learning_rate.assign(9.0)

    callbacks = [
        Halves(),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate),
        keras.callbacks.ReduceLROnPlateau("val_loss", patience=0, min_delta=9.0),
    ]
    request = {**NETWORK, **FINE_TUNED, "epochs": 2, "batch_size": 32, "learning_rate": 0.01}
    view = RecordingView()
    result = autofit.run(photos, run_dir=tmp_path, weights=weights, callbacks=callbacks, view=view, **request)
    assert [(stage.name, stage.epochs) for stage in result.record.stages][:2] == [("head", 2), ("fine-tune", 2)]
    assert result.history["learning_rate"][1] == pytest.approx(0.005)
    assert max(result.history["learning_rate"][2:]) < 0.001
    resting, *staying = [message for message in view.messages if "schedule of its own" in message]
    assert resting == (
        "callbacks rest in fine-tuning, whose learning rate has a schedule of its own: LearningRateScheduler, "
        "ReduceLROnPlateau"
    )
    (line,) = set(staying)  # once in an attempt
    assert line.startswith("a callback has set the learning rate, which stays as it is: ")


def test_fine_tuning_was_probed_by_its_own_work(fine_tuned: Path) -> None:
    """A trial that leaves out the updates, or of another size, would say nothing about what follows."""
    report = ProbeReport.load(fine_tuned / "probe-fine-tune.json")
    assert (report.largest_feasible_batch, report.workload.cut) == (32, FINE_TUNED["fine_tune_from"])
    if report.source == "measured":  # and not by another test of this process
        (trial,) = report.trials
        assert (trial.batch_size, trial.verdict, trial.fresh) == (32, Verdict.FITS, True)
        assert trial.step_seconds > 0
        assert trial.peak_bytes > 4 * WEIGHTS_ABOVE_BYTES


@pytest.mark.whole  # `test_out_of_memory.py` has the same of a head and of a whole network
def test_running_out_in_fine_tuning_changes_nothing_and_its_refit_begins_with_what_fitted(
    photos: Path, weights: Path, outside_bytes: int, tmp_path: Path
) -> None:
    """Promise 1 in the stages after the head: against a replay without a limit. The refit would run out again."""
    request = {
        **NETWORK,
        **FINE_TUNED,
        "fine_tune_from": "conv_pw_3_relu",
        "batch_size": 64,
        "epochs": 1,
        "image_size": 96,
        "fine_tune_epochs": 1,
    }
    limit = outside_bytes + 180 * 10**6
    ran_out = autofit.run(photos, run_dir=tmp_path / "a", weights=weights, audit=True, memory_limit=limit, **request)
    assert [stage.name for stage in ran_out.record.stages] == ["head", "fine-tune", "refit"]
    assert {(event.phase, event.epoch) for event in ran_out.oom_events} == {(Phase.TRAIN, 1)}
    replay = autofit.run(photos, run_dir=tmp_path / "b", weights=weights, replay=ran_out.run_dir, **request)
    assert not replay.oom_events
    assert replay.weights_sha256 == ran_out.weights_sha256


def last_layer(result: autofit.Result) -> np.ndarray:
    import keras

    return np.asarray(keras.models.load_model(result.model_path).get_layer("probabilities").get_weights()[0])
