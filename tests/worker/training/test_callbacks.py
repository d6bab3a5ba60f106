"""Keras callbacks in autofit's loop."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import pytest

from autofit.worker.training.callbacks import Callbacks

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


def callbacks_of(*callbacks: keras.callbacks.Callback) -> Callbacks:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    session: Any = SimpleNamespace(
        built=SimpleNamespace(model=model), objective=SimpleNamespace(optimizer=keras.optimizers.SGD())
    )
    return Callbacks(callbacks, session, epochs=1, steps=1)


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
