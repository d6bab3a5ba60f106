"""Keras callbacks in autofit's loop."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import keras
import numpy as np
import pytest

from autofit.errors import UserError
from autofit.protocol.messages import StageName, StageRecord
from autofit.protocol.payload import Payload
from autofit.worker.model.objective import Objective
from autofit.worker.training.callbacks import Callbacks
from autofit.worker.training.train_state import TrainState
from autofit.worker.training.training_progress import TrainingProgress

pytestmark = pytest.mark.slow  # loads Keras


class Metric:
    """A value that counts how often its number is read."""

    read = 0

    def __float__(self) -> float:
        self.read += 1
        return 0.5


class Reads(keras.callbacks.Callback):  # type: ignore[misc]
    """Acts after each batch."""

    seen: Any = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Remember the metrics."""
        del batch
        self.seen = logs


class ReadsAsOld(Reads):
    """The same, under the hook's older name."""

    on_train_batch_end = keras.callbacks.Callback.on_train_batch_end

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """Remember the metrics."""
        del batch
        self.seen = logs


class Told:
    """What is reported of the result."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self.messages: list[str] = []

    def result_changed(self, why: str) -> None:
        """Remember it."""
        self.lost.append(why)

    def message(self, text: str) -> None:
        """Remember it."""
        self.messages.append(text)

    def message_once(self, text: str) -> None:
        """Remember it, once."""
        self.messages += [] if text in self.messages else [text]


def callbacks_of(
    *callbacks: Any, told: Any = None, trains: bool = True, optimizer: Any = None, **more: Any
) -> Callbacks:
    """Callbacks of a new process: a network of its own, of the same layers."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(2, activation="softmax")])
    model.layers[0].trainable = trains
    objective = Objective(
        optimizer=optimizer or keras.optimizers.SGD(0.5),
        loss_function=keras.losses.SparseCategoricalCrossentropy(),
        loss=keras.metrics.Mean(name="loss"),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        one_hot_classes=0,
    )
    objective.optimizer.build(model.trainable_variables)
    parts = {"features": None if trains else model.layers[0], "head_layers": (), "below_head": None}
    built = SimpleNamespace(model=model, compiled=False, frozen=not trains, **parts)
    reports: Any = told or Told()
    session: Any = SimpleNamespace(built=built, objective=objective)
    return Callbacks(callbacks, session, TrainState(session), reports, epochs=9, steps=1, **more)


def saved(callbacks: Callbacks) -> tuple[TrainingProgress, dict[str, Any]]:
    """What a checkpoint holds of them, through JSON."""
    states = json.loads(json.dumps(callbacks.states()))
    return TrainingProgress(callbacks=states), dict(callbacks._state.callbacks)


def restarted(kept: tuple[TrainingProgress, dict[str, Any]], *callbacks: Any, told: Any = None) -> Callbacks:
    """The same callbacks, made anew in another process, with what a checkpoint holds."""
    progress, arrays = kept
    found = callbacks_of(*callbacks, told=told)
    found._state.callbacks = arrays
    progress = found.begin(progress, begins_stage=False)
    found.restore(progress)
    return found


def test_a_figure_that_no_metric_gives_is_refused_by_the_name_that_was_given() -> None:
    """A person would look for `acc` in a call that has `val_acc`."""
    said = "monitor 'val_acc' is none of the metrics here: accuracy, loss, val_accuracy, val_loss"
    with pytest.raises(UserError, match=said):
        callbacks_of(monitor="val_acc")
    callbacks_of(monitor="val_accuracy")


LOSSES = (0.9, 0.7, 0.8, 0.75, 0.85, 0.95, 0.9)


def epochs(callbacks: Callbacks, numbers: range) -> None:
    """Tell of some epochs, as far as the training goes on."""
    for epoch in numbers:
        if not callbacks.have_stopped_training:
            callbacks.list.on_epoch_begin(epoch)
            logs = {"loss": LOSSES[epoch], "val_loss": LOSSES[epoch], "val_accuracy": 1 - LOSSES[epoch]}
            callbacks.list.on_epoch_end(epoch, callbacks.logs(logs))


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="this Keras has none")
def test_an_optimizer_that_divides_the_variables_has_no_rate_to_log() -> None:
    """Any callback would end the first epoch in an AttributeError of Keras's."""
    optimizers = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.5), {".*bias": keras.optimizers.Adam(0.1)})
    callbacks = callbacks_of(Reads(), optimizer=keras.optimizers.MultiOptimizer(optimizers))
    callbacks.begin(TrainingProgress(), begins_stage=True)
    assert callbacks.logs({"loss": 0.5}) == callbacks.history_logs({"loss": 0.5}, {}) == {"loss": 0.5}


class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
    """A user's own: a list that its caller holds, an array, an object, and a file that is made anew."""

    def __init__(self, seen: list[float], log: Any = None) -> None:
        super().__init__()
        self.seen, self.log = seen, log
        self.total = np.zeros(2)
        self.best: dict[str, Any] = {}
        self.tally = SimpleNamespace(count=0)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note the loss, in each way."""
        self.seen.append(logs["loss"])
        self.total += logs["loss"]
        self.best[str(epoch)] = (epoch, {"lr": logs["learning_rate"]})
        self.tally.count += 1


def as_values(callback: Any) -> dict[str, Any]:
    """Everything that a callback holds and that changes."""
    own = {name: value for name, value in vars(callback).items() if name not in {"_model", "model", "monitor_op"}}
    own.pop("best_weights", None)
    values = {name: value for name, value in own.items() if isinstance(value, int | float | str | list | dict)}
    return {**values, "total": getattr(callback, "total", np.zeros(1)).tolist()}


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.callbacks.EarlyStopping("val_accuracy", patience=4, min_delta=0.01, restore_best_weights=True),
        lambda: keras.callbacks.EarlyStopping(patience=3),
        lambda: keras.callbacks.ReduceLROnPlateau(patience=2, cooldown=1, min_delta=0.01),
        lambda: keras.callbacks.ModelCheckpoint("best.keras", save_best_only=True),
        lambda: keras.callbacks.LearningRateScheduler(lambda _, rate: rate * 0.9),
        keras.callbacks.TerminateOnNaN,
        lambda: Recorder([]),
    ],
    ids=["stopping-accuracy", "stopping", "plateau", "checkpoint", "scheduler", "nan", "own"],
)
def test_a_callback_goes_on_in_another_process_where_it_was(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would stop later, lower the rate later, overwrite a better model, or lack the epochs from before."""
    monkeypatch.chdir(tmp_path)
    whole, first, second = make(), make(), make()
    undisturbed = callbacks_of(whole)
    undisturbed.begin(TrainingProgress(), begins_stage=True)
    epochs(undisturbed, range(len(LOSSES)))
    killed = callbacks_of(first)
    killed.begin(TrainingProgress(), begins_stage=True)
    epochs(killed, range(3))

    after = restarted(saved(killed), second)
    epochs(after, range(3, len(LOSSES)))

    assert after.have_stopped_training == undisturbed.have_stopped_training
    rates = [float(one.logs({})["learning_rate"]) for one in (undisturbed, after)]
    if not isinstance(whole, keras.callbacks.LearningRateScheduler | keras.callbacks.ReduceLROnPlateau):
        assert rates[0] == rates[1]  # those two have set the rate before, which the optimizer's own checkpoint holds
    if not isinstance(whole, Recorder):
        assert as_values(second) == as_values(whole)
        return
    assert second.seen == whole.seen
    assert second.total.tolist() == whole.total.tolist()
    assert second.best.keys() == whole.best.keys()
    assert second.best["2"] == first.best["2"]
    assert second.tally.count == len(LOSSES)


def test_the_best_weights_go_on_without_those_of_a_frozen_backbone() -> None:
    """They would be lost over a restart, or each checkpoint be as large as the backbone."""
    stopping = keras.callbacks.EarlyStopping(restore_best_weights=True)
    killed = callbacks_of(stopping, trains=False)
    killed.begin(TrainingProgress(), begins_stage=True)
    epochs(killed, range(2))
    _, arrays = saved(killed)
    again = keras.callbacks.EarlyStopping(restore_best_weights=True)

    progress = TrainingProgress(callbacks=killed.states())
    after = callbacks_of(again, trains=False)
    after._state.callbacks = arrays
    after.begin(progress, begins_stage=False)
    after.restore(progress)

    assert len(arrays) == 2
    for mine, held in zip(again.best_weights[2:], stopping.best_weights[2:], strict=True):
        np.testing.assert_array_equal(mine, held)
    np.testing.assert_array_equal(again.best_weights[0], again.model.get_weights()[0])


def test_a_csv_logger_has_each_epoch_once(tmp_path: Path) -> None:
    """After a restart it would begin anew, or have the epochs twice that are trained again."""
    file = tmp_path / "log.csv"
    killed = callbacks_of(keras.callbacks.CSVLogger(file))
    killed.begin(TrainingProgress(), begins_stage=True)
    epochs(killed, range(2))
    kept = saved(killed)
    epochs(killed, range(2, 4))  # after the checkpoint: trained again
    killed.list.callbacks[0].csv_file.close()
    logger = keras.callbacks.CSVLogger(file)

    after = restarted(kept, logger)
    epochs(after, range(2, 5))
    after.list.on_train_end()

    rows = [row.split(",") for row in file.read_text().splitlines()]
    assert [row[0] for row in rows] == ["epoch", "0", "1", "2", "3", "4"]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert "learning_rate" in rows[0]
    assert not logger.append


def test_a_csv_logger_has_the_same_columns_in_a_refit(tmp_path: Path) -> None:
    """Keras makes others for a training without a validation: pandas would refuse the file."""
    file = tmp_path / "log.csv"
    before = callbacks_of(keras.callbacks.CSVLogger(file), stage="fine-tune")
    before.begin(TrainingProgress(), begins_stage=True)
    before.epoch_ended(0, {"accuracy": 0.8, "loss": 0.5, "val_accuracy": 0.7, "val_loss": 0.6})
    progress, arrays = saved(before)
    before.list.on_train_end()

    refit = callbacks_of(keras.callbacks.CSVLogger(file), stage="refit")
    refit._state.callbacks = arrays
    refit.begin(progress, begins_stage=True)
    refit.epoch_ended(1, {"accuracy": 0.9, "loss": 0.25})
    refit.list.on_train_end()

    rows = [row.split(",") for row in file.read_text().splitlines()]
    assert rows[0] == ["epoch", "accuracy", "learning_rate", "loss", "val_accuracy", "val_loss"]
    assert rows[2] == ["1", "0.9", "0.5", "0.25", "NA", "NA"]


def test_a_csv_logger_that_appends_has_the_first_epoch_once(tmp_path: Path) -> None:
    """Killed before the first epoch's checkpoint, it would have that epoch twice; the rows before it are the user's."""
    file = tmp_path / "log.csv"
    file.write_text("epoch,loss\n0,1.5\n")
    killed = callbacks_of(keras.callbacks.CSVLogger(file, append=True))
    killed.begin(TrainingProgress(), begins_stage=True)
    assert killed.append_to_files
    kept = saved(killed)  # what the trainer commits where a logger appends
    epochs(killed, range(1))
    killed.list.callbacks[0].csv_file.close()

    after = restarted(kept, keras.callbacks.CSVLogger(file, append=True))
    epochs(after, range(2))
    after.list.on_train_end()

    assert [row.split(",")[0] for row in file.read_text().splitlines()] == ["epoch", "0", "0", "1"]
    assert not callbacks_of(keras.callbacks.CSVLogger(file)).append_to_files


def test_states_wait_for_a_resume_that_has_the_callbacks_again() -> None:
    """Resumed once without its callbacks, a run would have lost their states for good."""
    first = callbacks_of(keras.callbacks.EarlyStopping(patience=6, restore_best_weights=True))
    first.begin(TrainingProgress(), begins_stage=True)
    epochs(first, range(4))
    best = first.list.callbacks[0].best_weights

    without = restarted(saved(first))
    epochs(without, range(4, 5))
    again = keras.callbacks.EarlyStopping(patience=6, restore_best_weights=True)
    restarted(saved(without), again)

    assert (again.wait, again.best, again.best_epoch) == (2, 0.7, 1)
    for mine, held in zip(again.best_weights, best, strict=True):
        np.testing.assert_array_equal(mine, held)


def test_a_lambda_keeps_the_list_around_it() -> None:
    """`losses.append` in a lambda is how most users record: over a restart half of it would be gone."""

    def make() -> tuple[list[float], keras.callbacks.Callback]:
        losses: list[float] = []
        return losses, keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: losses.append(logs["loss"]))

    (_, first), (again, second) = make(), make()
    killed = callbacks_of(first)
    killed.begin(TrainingProgress(), begins_stage=True)
    epochs(killed, range(3))
    after = restarted(saved(killed), second)
    epochs(after, range(3, 5))
    assert again == list(LOSSES[:5])


def test_what_cannot_be_kept_is_named_once() -> None:
    """A result would differ and nobody know why; a file or a model that is there from the start is no such thing."""

    class Draws(Recorder):
        def on_train_begin(self, logs: Any = None) -> None:
            del logs
            self.sizes = iter([1, 2, 3])

    told = Told()
    killed = callbacks_of(Draws([], log=sys.stdout))
    killed.begin(TrainingProgress(), begins_stage=True)
    epochs(killed, range(1))
    progress, arrays = saved(killed)
    after = restarted((progress, arrays), Draws([], log=sys.stdout), told=told)
    after.restore(after.restore(progress))

    assert set(told.lost) == {"a restart loses Draws.sizes of the callbacks: give them get_state() and set_state()"}
    assert after.restore(progress).result_changed
    assert len(told.lost) == 3  # once for each progress that does not say so yet


def test_a_state_that_is_asked_for_and_cannot_be_kept_is_named() -> None:
    """An error out of the depths of a save would not say whose state it was."""

    class Unkeepable(keras.callbacks.Callback):  # type: ignore[misc]
        def get_state(self) -> object:
            return {"model": object()}

    with pytest.raises(UserError, match=r"Unkeepable\.get_state\(\) cannot be saved"):
        callbacks_of(Unkeepable()).states()


def test_the_model_of_a_callback_evaluates_and_predicts() -> None:
    """`self.model.evaluate` would fail in a worker, whose model was never compiled; the saved model stays as it was."""
    images, labels = np.ones((4, 2), np.float32), np.array([0, 1, 0, 1])
    found: dict[str, Any] = {}

    class Evaluates(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            del epoch, logs
            found.update(self.model.evaluate(images, labels, return_dict=True, verbose=0))
            found["shape"] = self.model.predict(images, verbose=0).shape

    callbacks = callbacks_of(Evaluates())
    callbacks.begin(TrainingProgress(), begins_stage=True)
    epochs(callbacks, range(1))
    callbacks.detach()
    assert found["accuracy"] == 0.5
    assert found["loss"] > 0
    assert found["shape"] == (4, 2)
    assert not callbacks.list.callbacks[0].model.compiled


@pytest.mark.parametrize("restores", [True, False])
def test_weights_set_at_the_end_are_the_model(restores: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """What `on_train_end` sets would be lost, and `restore_best_weights` mean another epoch than in Keras."""

    class Sets(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_end(self, logs: Any = None) -> None:
            del logs
            self.model.set_weights([np.full_like(array, 7) for array in self.model.get_weights()])

    told = Told()
    one = keras.callbacks.EarlyStopping(restore_best_weights=True) if restores else Sets()
    callbacks = callbacks_of(one, told=told)
    callbacks.begin(TrainingProgress(), begins_stage=True)
    epochs(callbacks, range(2))
    best = [array.copy() for array in one.model.get_weights()]
    one.model.set_weights([array + 1 for array in best])
    epochs(callbacks, range(2, 4))

    ended = callbacks.end(TrainingProgress(best_epoch=3, history={"val_loss": list(LOSSES[:4])}))

    expected = best if restores else [np.full_like(array, 7) for array in best]
    kept = callbacks._state.best
    for array, wanted in zip([kept[name] for name in sorted(kept)], expected, strict=True):
        np.testing.assert_array_equal(array, wanted)
    assert (ended.best_epoch, len(told.messages)) == ((1, 0) if restores else (3, 1))


def test_what_is_set_after_a_fine_tuning_that_diverged_is_not_the_model() -> None:
    """A moving average of its weights would be saved, in which one update of NaN is enough to spoil all."""

    class Averages(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_end(self, logs: Any = None) -> None:
            del logs
            self.model.set_weights([array * np.nan for array in self.model.get_weights()])

    callbacks = callbacks_of(Averages(), stage="fine-tune")
    callbacks.begin(TrainingProgress(), begins_stage=True)
    best = callbacks._state.best = callbacks._state.weights()
    ended = StageRecord(
        name="fine-tune", method="epochs", epochs=1, cut_short="1 of 2 epochs", diverged="its loss is nan"
    )
    assert callbacks.end(TrainingProgress(stage="fine-tune", best_epoch=0, stages=[ended])).callbacks_ended
    assert callbacks._state.best is best
    assert all(np.isfinite(array).all() for array in callbacks._state.weights().values())


@pytest.mark.parametrize(("best", "chosen"), [(1, 1), (2, 3)], ids=["the head", "fine-tuning"])
def test_weights_that_fine_tuning_restores_are_the_model_only_where_it_was_better(best: int, chosen: int) -> None:
    """`restore_best_weights` would hand over a fine-tuned model that is worse than the head alone, and refit it."""
    head, tuned = [StageRecord(name=name, method="epochs", epochs=2) for name in ("head", "fine-tune")]
    callbacks = callbacks_of(keras.callbacks.EarlyStopping(restore_best_weights=True), stage="fine-tune")
    callbacks.begin(TrainingProgress(), begins_stage=True)
    before = callbacks._state.best = {"weights": np.zeros(2)}
    epochs(callbacks, range(2, 4))
    progress = TrainingProgress(stage="fine-tune", best_epoch=best, stages=[head, tuned])

    ended = callbacks.end(progress.moved(history={"val_loss": list(LOSSES[:4])}))

    assert (ended.best_epoch, ended.callbacks_ended) == (chosen, True)
    assert (callbacks._state.best is before) == (chosen == 1)


@pytest.mark.parametrize("is_whole", [True, False])
def test_the_end_of_a_refit_leaves_the_figures_as_they_are(is_whole: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """The best epoch would be one that the history does not have; or a refit that was dropped be handed over."""
    one = keras.callbacks.EarlyStopping("loss", restore_best_weights=True)
    callbacks = callbacks_of(one)
    refit = StageRecord(name="refit", method="epochs", epochs=2, refitted=is_whole)
    progress = TrainingProgress(stage="refit", best_epoch=1, best_predicted=[3, 1], stages=[refit])
    callbacks.begin(progress, begins_stage=True)
    before = callbacks._state.best = {"weights": np.zeros(2)}
    callbacks._state.probabilities = np.ones((4, 2), np.float32)
    epochs(callbacks, range(4, 6))

    ended = callbacks.end(progress)

    assert (ended.best_epoch, ended.best_predicted, ended.callbacks_ended) == (1, [3, 1], True)
    assert callbacks._state.probabilities is not None
    assert (callbacks._state.best is before) == (not is_whole)


def test_metrics_are_read_in_each_step_only_for_callbacks_that_act_in_each_step() -> None:
    """Without such a callback each step would wait for the device."""
    metric = Metric()
    callbacks_of(keras.callbacks.ReduceLROnPlateau()).train_batch_ended(0, {"loss": metric})
    assert metric.read == 0


@pytest.mark.parametrize("kind", [Reads, ReadsAsOld])
def test_a_callback_that_acts_in_each_step_is_given_numbers(kind: type[Reads]) -> None:
    """It could not compare a loss, as `TerminateOnNaN` does."""
    reads = kind()
    callbacks = callbacks_of(reads)
    callbacks.list.on_train_begin()
    callbacks.train_batch_ended(0, {"loss": Metric()})
    callbacks.list.on_train_end()
    assert reads.seen == {"loss": 0.5}


def test_a_lambda_callback_for_each_step_is_given_numbers() -> None:
    """Keras sets its hooks on the object, not on the class: without metrics it would fail on `logs["loss"]`."""
    seen: list[dict[str, float]] = []
    hook = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: seen.append(logs))
    callbacks = callbacks_of(hook)
    callbacks.list.on_train_begin()
    callbacks.train_batch_ended(0, {"loss": Metric()})
    callbacks.list.on_train_end()
    assert seen == [{"loss": 0.5}]


@pytest.mark.parametrize("kind", ["CSVLogger", "TensorBoard", "EarlyStopping"])
def test_a_callback_that_fit_has_used_can_be_sent(kind: str, tmp_path: Path) -> None:
    """A closed file or a writer of summaries cannot leave a process, and the network of that `fit` would go with it."""
    made = getattr(keras.callbacks, kind)(*([] if kind == "EarlyStopping" else [str(tmp_path / "log")]))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(500)])
    model.compile(loss="mse")
    model.fit(np.zeros((4, 2)), np.zeros((4, 500)), validation_split=0.5, verbose=0, callbacks=[made])
    sent = cloudpickle.dumps(Payload(callbacks=(made,)))
    assert len(sent) < 4 * model.count_params()
    (arrived,) = cloudpickle.loads(sent).callbacks
    assert (type(arrived), arrived.model) == (type(made), None)
    assert made.model is model


@pytest.mark.parametrize(
    "reads",
    [
        lambda logs: logs["val_loss"],
        lambda logs: logs.get("val_accuracy") > 0.9,
        lambda logs: f"{logs.get('val_loss'):.2f}",
        lambda logs: "{val_loss}".format(**logs),
    ],
    ids=["missing", "compared", "formatted", "unpacked"],
)
def test_in_a_refit_a_callback_rests_however_it_misses_the_validation(reads: Any) -> None:
    """A finished model would be lost in its last stage, for a comparison of None with a number."""
    told = Told()
    callbacks = callbacks_of(
        keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: reads(logs)), told=told, stage="refit"
    )
    callbacks.begin(TrainingProgress(), begins_stage=True)
    for epoch in (1, 2):
        callbacks.epoch_ended(epoch, {"loss": 0.5})
    assert told.messages == ["callbacks that need a validation rest in the refit: LambdaCallback"]


def test_in_a_refit_another_error_of_a_callback_is_an_error() -> None:
    """A mistake in it would be taken for a missing validation, and never be found."""
    callbacks = callbacks_of(
        keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: logs["los"]), told=Told(), stage="refit"
    )
    callbacks.begin(TrainingProgress(), begins_stage=True)
    with pytest.raises(KeyError, match="los"):
        callbacks.epoch_ended(1, {"loss": 0.5})


def test_in_a_refit_callbacks_that_need_a_validation_rest(recwarn: pytest.WarningsRecorder) -> None:
    """Keras warns in each of its epochs; a callback that reads `logs["val_loss"]` would end the run."""
    calls: list[int] = []

    def reads(epoch: int, logs: Any) -> None:
        calls.append(epoch)
        assert logs["val_loss"]

    history = keras.callbacks.History()
    given = [
        keras.callbacks.EarlyStopping("val_loss"),
        keras.callbacks.ModelCheckpoint("{val_loss}.keras"),
        history,
        keras.callbacks.LambdaCallback(on_epoch_end=reads, on_train_end=lambda _: calls.append(-1)),
    ]
    told = Told()
    callbacks = callbacks_of(*given, told=told, stage="refit")
    given[0].best_epoch = 7
    callbacks.begin(TrainingProgress(), begins_stage=True)
    for epoch in (1, 2):
        callbacks.epoch_ended(epoch, {"loss": 0.5})
    callbacks.end(TrainingProgress(stage="refit", stages=[StageRecord(name="refit", method="epochs", epochs=2)]))
    assert calls == [1, -1]
    assert history.history["loss"] == [0.5, 0.5]
    assert given[0].best_epoch == 7  # as the fine-tuning has left it
    assert told.messages == [
        "callbacks that need a validation rest in the refit: EarlyStopping",
        "callbacks that need a validation rest in the refit: ModelCheckpoint, LambdaCallback",
    ]
    assert not [warning for warning in recwarn if "not available" in str(warning.message)]


def test_another_key_that_a_callback_lacks_in_a_refit_ends_it() -> None:
    """A mistake of the user's would be taken for one that the stage has made."""
    lacks = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: logs["f1"])
    callbacks = callbacks_of(lacks, stage="refit")
    callbacks.begin(TrainingProgress(), begins_stage=True)
    with pytest.raises(KeyError, match="f1"):
        callbacks.epoch_ended(0, {"loss": 0.5})


@pytest.mark.parametrize("stage", ["training", "head", "fine-tune", "refit"])
def test_callbacks_that_set_the_rate_rest_where_it_has_a_schedule(stage: StageName) -> None:
    """Keras raises where somebody sets the rate of a schedule: after its head the run would end."""
    given = [
        keras.callbacks.ReduceLROnPlateau("loss", patience=0, factor=0.5, min_delta=9.0),
        keras.callbacks.History(),
        keras.callbacks.LearningRateScheduler(lambda _, rate: rate),
    ]
    told = Told()
    callbacks = callbacks_of(*given, told=told, stage=stage)
    rests = stage in {"fine-tune", "refit"}
    assert [one in callbacks.list.callbacks for one in given] == [not rests, True, not rests]
    callbacks.begin(TrainingProgress(), begins_stage=True)
    assert len(told.messages) == (stage == "fine-tune")
    states, _ = saved(callbacks)
    assert [state["class"] for state in states.callbacks[:3]] == [type(one).__name__ for one in given]
