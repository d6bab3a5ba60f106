"""What scripts beside this one send to a worker, without importing Keras themselves."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import cloudpickle

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a worker does not find this module


class MadeThere:
    """Becomes what a function returns, in the process that unpickles it."""

    def __init__(self, function: Callable[..., Any], *given: Any) -> None:
        self.made_by = function, given

    def set_model(self, model: Any) -> None:
        """As Keras's callbacks have it: what is made there is one."""
        raise NotImplementedError(model)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """How it is pickled."""
        return self.made_by


def halting_at(moment: str) -> MadeThere:
    """A callback for a training that waits at EPOCH:BATCH to be killed or stopped, before that batch is committed.

    With EPOCH:BATCH:SECONDS it waits no longer than that.
    """
    epoch, batch, *seconds = moment.split(":")
    return MadeThere(_halting, int(epoch), int(batch), float(seconds[0]) if seconds else float("inf"))


def _halting(epoch: int, batch: int, seconds: float) -> Any:
    import keras  # noqa: PLC0415 - in the worker alone

    class Halting(keras.callbacks.Callback):  # type: ignore[misc]
        """Halts the training."""

        epoch = 0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            """Keep which one it is."""
            del logs
            self.epoch = epoch

        def on_train_batch_end(self, number: int, logs: Any = None) -> None:
            """Wait where it was asked for."""
            del logs
            until = time.monotonic() + seconds
            while (self.epoch, number) == (epoch, batch) and time.monotonic() < until:
                time.sleep(0.1)

    return Halting()
