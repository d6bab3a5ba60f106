"""Keras callbacks in autofit's loop: the list of them, and their states in checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from autofit.errors import UserError
from autofit.worker.execution.session import Session


class Callbacks:
    """The callbacks of a training, called as `model.fit` calls them.

    Args:
        callbacks: the user's.
        session: whose model they act on.
        epochs: of the whole training.
        steps: of its first epoch.

    Attributes:
        list: Keras's list of them.
    """

    def __init__(
        self, callbacks: Sequence[keras.callbacks.Callback], session: Session, epochs: int, steps: int
    ) -> None:
        model = session.built.model
        model.stop_training = False  # what a callback sets to end the training, as in model.fit
        model.optimizer = session.objective.optimizer  # where callbacks look for the learning rate
        self._model = model
        self._read_batch_logs = any(map(_reads_batch_logs, callbacks))
        self.list = keras.callbacks.CallbackList(
            list(callbacks), add_history=True, model=model, epochs=epochs, steps=steps, verbose=0
        )

    @property
    def have_stopped_training(self) -> bool:
        """Whether a callback has asked to end the training."""
        return bool(self._model.stop_training)

    def train_batch_ended(self, step: int, logs: Mapping[str, Any]) -> None:
        """Tell them that a training step has ended, with the metrics if one of them may read these.

        Keras converts them to numbers before any callback is called, and that waits for the device.
        """
        self.list.on_train_batch_end(step, logs if self._read_batch_logs else None)

    def states(self) -> list[Any]:
        """The states of callbacks that offer `get_state()`, in their order; None for the others.

        Raises:
            UserError: JSON cannot hold one.
        """
        return [state_of(callback) if hasattr(callback, "get_state") else None for callback in self.list.callbacks]

    def set_states(self, states: Sequence[Any]) -> None:
        """Give each callback that offers `set_state()` its state back, by its place in the list."""
        for callback, state in zip(self.list.callbacks, states, strict=False):
            if state is not None and hasattr(callback, "set_state"):
                callback.set_state(state)


def state_of(callback: Any) -> Any:
    """The state of a callback, as JSON can hold it.

    Raises:
        UserError: JSON cannot hold it; names the callback.
    """
    try:
        return json.loads(json.dumps(callback.get_state()))
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{type(callback).__name__}.get_state() cannot be saved in a checkpoint ({error}): "
            "return numbers, text, lists and dicts"
        ) from error


def _reads_batch_logs(callback: Any) -> bool:
    """Whether a callback may read the metrics after a batch: one that overrides neither hook does not.

    A hook may also be an attribute of the object, as in `LambdaCallback`.
    """
    base = keras.callbacks.Callback
    hooks = ("on_train_batch_end", "on_batch_end")
    return any(getattr(getattr(callback, hook, None), "__func__", None) is not getattr(base, hook) for hook in hooks)
