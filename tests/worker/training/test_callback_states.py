"""What callbacks hold beside plain values: networks, objects that are called, objects around a function."""

from __future__ import annotations

import sys
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from autofit.worker.training import callback_states
from autofit.worker.training.training_progress import TrainingProgress
from tests.worker.training.test_callbacks import Told, callbacks_of, epochs, restarted, saved

pytestmark = pytest.mark.slow  # loads Keras


class Log:
    """Counts, by its method or when it is called."""

    def __init__(self) -> None:
        self.seen = 0

    def add(self, *_: Any) -> None:
        """Count."""
        self.seen += 1

    __call__ = add


class Holds(keras.callbacks.Callback):  # type: ignore[misc]
    """Has an object of its own, which it calls."""

    def __init__(self, log: Any) -> None:
        super().__init__()
        self.log = log

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Count."""
        self.log(epoch, logs)


@pytest.mark.parametrize(
    "made",
    [
        Holds,
        lambda log: Holds(log.add),
        lambda log: keras.callbacks.LambdaCallback(on_epoch_end=log.add),
        lambda log: keras.callbacks.LambdaCallback(on_epoch_end=log),
        lambda log: keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: log.add(epoch)),
    ],
    ids=["callable", "method", "lambda of a method", "lambda of a callable", "closure"],
)
def test_an_object_that_a_callback_calls_goes_on_where_it_was(made: Any) -> None:
    """Its counter would begin anew after a restart, without a word."""
    first, told, again = Log(), Told(), Log()
    killed = callbacks_of(made(first))
    killed.begin(TrainingProgress(), begins_stage=True)
    epochs(killed, range(3))
    after = restarted(saved(killed), made(again), told=told)
    epochs(after, range(3, 5))
    assert (again.seen, told.lost) == (5, [])


class Averages(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps a network, which the user gave or which it makes, and adds to its weights."""

    def __init__(self, network: Any = None, *, adds: float = 1.0) -> None:
        super().__init__()
        self.network, self.adds, self.watched = network, adds, None

    def on_train_begin(self, logs: Any = None) -> None:
        """Make the network."""
        del logs
        self.watched = self.model.layers[0]
        if self.network is None:
            self.network = keras.models.clone_model(self.model)
            self.network.set_weights([np.zeros_like(array) for array in self.network.get_weights()])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add."""
        del epoch, logs
        self.network.set_weights([array + self.adds for array in self.network.get_weights()])


def zeros() -> keras.Model:
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, kernel_initializer="zeros")])


@pytest.mark.parametrize("is_given", [True, False])
def test_a_network_that_a_callback_keeps_goes_on(is_given: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Averages of weights would begin anew after a restart, or in the next stage, without a word."""
    killed, told = callbacks_of(Averages(zeros() if is_given else None)), Told()
    killed.begin(TrainingProgress(), begins_stage=True)
    epochs(killed, range(3))
    kept = saved(killed)
    again = Averages(zeros() if is_given else None)
    restarted(kept, again, told=told)
    assert all((array == 3).all() for array in again.network.get_weights())
    next_stage = callbacks_of(Averages(zeros() if is_given else None), told=told)
    next_stage._state.callbacks = kept[1]
    next_stage.begin(kept[0], begins_stage=True)
    assert told.lost == []


def test_a_network_that_stays_as_it_was_given_is_not_written() -> None:
    """A teacher's weights would be in each checkpoint of its student."""
    callbacks = callbacks_of(Averages(zeros(), adds=0.0))
    callbacks.begin(TrainingProgress(), begins_stage=True)
    epochs(callbacks, range(2))
    progress, arrays = saved(callbacks)
    assert arrays == {}
    assert progress.callbacks[0]["lost"] == []


@pytest.mark.parametrize("held", ["large network", "averages", "object"])
def test_what_has_changed_and_cannot_be_kept_is_named(held: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result would differ and nobody know why."""

    class Keeps(Averages):
        def on_train_begin(self, logs: Any = None) -> None:
            super().on_train_begin(logs)
            self.variable = tf.Variable(1.0)
            if held == "averages":
                self.kept = tf.train.ExponentialMovingAverage(0.5)
                self.kept.apply([self.variable])
            elif held == "object":
                self.kept = Log()
                self.kept.file = sys.stdout

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if held == "averages":
                self.variable.assign_add(1.0)
                self.kept.apply([self.variable])
            elif held == "object":
                self.kept.add()
            else:
                super().on_epoch_end(epoch, logs)

    if held == "large network":
        monkeypatch.setattr(callback_states, "SPARE_ARRAY_BYTES", 0)
    made, told = keras.Sequential([keras.Input((99,)), keras.layers.Dense(99)]), Told()
    killed = callbacks_of(Keeps(made))
    killed.begin(TrainingProgress(), begins_stage=True)
    assert saved(killed)[0].callbacks[0]["lost"] == []
    epochs(killed, range(1))
    name = "network" if held == "large network" else "kept"
    restarted(saved(killed), Keeps(made), told=told)
    assert set(told.lost) == {f"a restart loses Keeps.{name} of the callbacks: give them get_state() and set_state()"}
