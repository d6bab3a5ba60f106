"""What callbacks are told, and which of them has set the weights in the end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from autofit.worker.execution.steps import Tally
from autofit.worker.training.evaluation import Evaluation
from autofit.worker.training.training_progress import TrainingProgress
from tests.worker.training.test_callbacks import Told, callbacks_of, epochs, restarted, saved

pytestmark = pytest.mark.slow  # loads Keras


@pytest.mark.parametrize("of_another_attempt", [False, True])
def test_the_end_is_told_with_the_metrics_of_the_last_epoch(of_another_attempt: bool) -> None:  # noqa: FBT001 - a parameter
    """A callback that reads `logs["val_accuracy"]` would end the run after all its epochs, and each resume of it."""
    seen: list[Any] = []
    callbacks = callbacks_of(keras.callbacks.LambdaCallback(on_train_end=lambda logs: seen.append(dict(logs))))
    callbacks.begin(TrainingProgress(), begins_stage=True)
    if not of_another_attempt:
        callbacks.epoch_ended(0, {"loss": 0.9, "val_accuracy": 0.1})
        callbacks.epoch_ended(1, {"loss": 0.7, "val_accuracy": 0.3})
    history = {"loss": [0.9, 0.7], "val_accuracy": [0.1, 0.3], "learning_rate": [0.5, 0.5]}
    callbacks.end(TrainingProgress(epoch=2, history=history))
    assert seen == [{"loss": 0.7, "val_accuracy": 0.3, "learning_rate": 0.5}]


def test_in_a_refit_a_callback_that_wants_a_validation_at_the_end_is_named() -> None:
    """A finished model would be lost where a callback prints the last validation's accuracy."""
    told = Told()
    prints = keras.callbacks.LambdaCallback(on_train_end=lambda logs: f"{logs['val_accuracy']}")
    callbacks = callbacks_of(prints, told=told, stage="refit")
    callbacks.begin(TrainingProgress(stage="refit"), begins_stage=True)
    callbacks.epoch_ended(0, {"loss": 0.5})
    with pytest.raises(IndexError):  # of a progress without stages, after the callbacks
        callbacks.end(TrainingProgress(stage="refit"))
    assert told.messages == ["callbacks that need a validation rest in the refit: LambdaCallback"]


class Follows(keras.callbacks.Callback):  # type: ignore[misc]
    """Reads the metrics after each batch of a validation."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Remember them."""
        self.seen.append((batch, logs))


@pytest.mark.parametrize("is_read", [True, False])
def test_metrics_are_told_after_a_batch_of_a_validation(is_read: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """`logs["loss"]` would end the run; and a checkpoint from inside a validation hold that one's metrics."""
    follows = Follows()
    given = [follows] if is_read else [keras.callbacks.History()]
    metric, set_to = keras.Variable(7.0), list[float]()

    def results_of(values: list[Any]) -> dict[str, float]:
        set_to.append(float(values[0]))
        return {"loss": set_to[-1]}

    session: Any = SimpleNamespace(
        evaluate_step=SimpleNamespace(variables=[metric]),
        fresh_tally=lambda **_: Tally([tf.constant(0.0)]),
        results_of=results_of,
        built=SimpleNamespace(model=SimpleNamespace(output_shape=(None, 2)), outputs="probabilities"),
    )
    source: Any = SimpleNamespace(
        batches=lambda *_: [SimpleNamespace(samples=np.arange(2), skipped=[])] * 2,
        evaluate=lambda _batch, _labels, tally: tally.add([tally.values[0] + 1], None),
    )
    plans: Any = SimpleNamespace(
        after_validation=lambda _: None, validation=lambda _: SimpleNamespace(count=4, first=0)
    )
    events: Any = SimpleNamespace(phase=lambda _: None, pause=lambda: None)
    targets: Any = SimpleNamespace(labels=lambda samples: samples)
    unused: Any = None
    callbacks = callbacks_of(*given)
    evaluation = Evaluation(session, plans, targets, None, unused, events, callbacks, lambda _: None)

    assert evaluation.validate(source, 0) == {"loss": 2.0}

    assert follows.seen == ([(0, {"loss": 1.0}), (1, {"loss": 2.0})] if is_read else [])
    assert set_to == [7.0, *([1.0, 7.0, 2.0, 7.0] if is_read else []), 2.0]


def test_of_several_early_stoppings_the_last_one_chooses() -> None:
    """The weights would be those of one epoch, and the accuracy that is shown that of another."""
    stoppings = [
        keras.callbacks.EarlyStopping(name, mode="min", restore_best_weights=True) for name in ("loss", "late")
    ]
    callbacks = callbacks_of(*stoppings)
    callbacks.begin(TrainingProgress(), begins_stage=True)
    for epoch, late in enumerate((3.0, 2.0, 1.0)):
        callbacks.list.callbacks[0].model.set_weights(
            [np.full_like(a, epoch) for a in stoppings[0].model.get_weights()]
        )
        callbacks.epoch_ended(epoch, {"loss": epoch, "late": late})
    stoppings[0].model.set_weights([array + 5 for array in stoppings[0].model.get_weights()])

    ended = callbacks.end(TrainingProgress(best_epoch=0, history={"loss": [0.0, 1.0, 2.0]}))

    assert ended.best_epoch == 2
    assert all((array == 2).all() for array in callbacks._state.best.values())


def test_weights_that_are_set_after_those_of_the_best_epoch_have_no_figures() -> None:
    """The figures of the best epoch would be shown for the weights of a callback that comes after it."""

    class Sets(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_end(self, logs: Any = None) -> None:
            del logs
            self.model.set_weights([np.full_like(array, 7) for array in self.model.get_weights()])

    told = Told()
    callbacks = callbacks_of(keras.callbacks.EarlyStopping(restore_best_weights=True), Sets(), told=told)
    callbacks.begin(TrainingProgress(), begins_stage=True)
    epochs(callbacks, range(3))
    ended = callbacks.end(TrainingProgress(best_epoch=0, history={"val_loss": [0.9, 0.7, 0.8]}))
    assert ended.best_epoch == 0
    assert told.messages == ["a callback has set other weights at the end: these are saved; the figures are older"]


def test_a_checkpoint_for_each_batch_goes_on_after_a_restart(tmp_path: Any) -> None:
    """Keras sets only at the end of an epoch which way a figure improves: the first save would raise a TypeError."""

    def made() -> Any:
        return keras.callbacks.ModelCheckpoint(tmp_path / "a.keras", monitor="loss", save_freq=1, save_best_only=True)

    callbacks = callbacks_of(made())
    callbacks.begin(TrainingProgress(), begins_stage=True)
    epochs(callbacks, range(1))
    callbacks.list.on_epoch_begin(1)
    callbacks.train_batch_ended(0, {"loss": 0.5})
    again = restarted(saved(callbacks), made())
    again.train_batch_ended(1, {"loss": 0.4})
    assert again.list.callbacks[0].best == 0.4
