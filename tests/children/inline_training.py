"""Trains again and again in this one process, `isolation="inline"`; started by `test_survival.py`.

inline_training.py PHOTOS FOLDER usual|more

FOLDER gets a run directory for each of the runs below. Of the usual ones it also gets `frozen`, with how many objects
the collector leaves alone after a training and after a prediction; of the others `interrupted`, with what `max_minutes`
ended the last with.
"""

# ruff: noqa: ARG002 - Keras gives callbacks their logs by name

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # as a worker has it, which reads it before TensorFlow is loaded

import keras
import survivor_network  # type: ignore[import-not-found]  # lies beside this script
import tensorflow as tf

import autofit
from autofit.errors import InterruptedRunError

PHOTOS, FOLDER, RUNS = sys.argv[1], Path(sys.argv[2]).resolve(), sys.argv[3]


class FailsOnce(keras.callbacks.Callback):  # type: ignore[misc]
    """Runs out of memory itself, once, after the fourth step of the second epoch.

    The class remembers that: what the object knows is, after a restart, what it knew at the checkpoint.
    """

    failed = False

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remember the epoch."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """What `model.predict` in a callback may raise."""
        if (self.epoch, batch) == (1, 3) and not self.failed:
            type(self).failed = True
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor of the callback")


class StopsAt(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the training inside an epoch, as `TerminateOnNaN` does, and then, once, runs out of memory."""

    failed = False

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remember the epoch."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """After the third step of the second epoch."""
        if (self.epoch, batch) == (1, 2):
            self.model.stop_training = True

    def on_test_begin(self, logs: Any = None) -> None:
        """Have the stopped epoch closed by another attempt."""
        if self.epoch == 1 and not self.failed:
            type(self).failed = True
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor of the callback")


class InterruptsValidation(keras.callbacks.Callback):  # type: ignore[misc]
    """Presses Ctrl-C when the first validation begins, and slows it down so that it is stopped before its end."""

    def on_test_begin(self, logs: Any = None) -> None:
        """The validation begins."""
        os.kill(os.getpid(), signal.SIGINT)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Longer than the parent looks away."""
        time.sleep(0.5)


class Slow(keras.callbacks.Callback):  # type: ignore[misc]
    """Takes its time over each step."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """A third of a second."""
        time.sleep(0.3)


def train(name: str, **settings: Any) -> autofit.Result:
    """The request of `test_survival.py`, inline, with some settings changed."""
    request: dict[str, Any] = {
        "model": survivor_network.network,
        "image_size": 32,
        "epochs": 3,
        "batch_size": 8,
        "checkpoint_every": 1,
        "audit": True,
        "isolation": "inline",
    }
    return autofit.run(PHOTOS, run_dir=FOLDER / name, **{**request, **settings})


def fall_and_rise(epoch: int) -> float:
    """Learning rates that learn for three epochs and then unlearn."""
    return 0.01 if epoch < 3 else -0.01


def interrupt_validation() -> None:
    """Stop with a whole epoch not yet committed, then go on."""
    with contextlib.suppress(InterruptedRunError):
        train("validation", checkpoint_every=1000, callbacks=[InterruptsValidation()])
    autofit.resume(FOLDER / "validation", model=survivor_network.network)


def count_frozen() -> None:
    """Count the objects that are frozen after a training, and after a prediction."""
    after_training = gc.get_freeze_count()
    photo = next(Path(PHOTOS).glob("*/*.png"))
    autofit.Result(FOLDER / "undisturbed").predict(photo)
    (FOLDER / "frozen").write_text(json.dumps({"training": after_training, "prediction": gc.get_freeze_count()}))


def run_out_of_minutes() -> None:
    """Run out of `max_minutes`, then go on, without the slow callback, until it is done."""
    try:
        train("max_minutes", max_minutes=0.08, callbacks=[Slow()])
    except InterruptedRunError as error:
        status = autofit.Result(FOLDER / "max_minutes").status
        (FOLDER / "interrupted").write_text(f"{status}\n{error}")
    autofit.resume(FOLDER / "max_minutes", model=survivor_network.network, max_minutes=30)


def usual_runs() -> None:
    """What `make test` looks at."""
    train("undisturbed")
    count_frozen()
    train("oom", callbacks=[FailsOnce()])
    train("replay", replay=FOLDER / "oom")
    train(
        "early",
        epochs=8,
        early_stopping=2,
        class_weight="balanced",
        callbacks=[keras.callbacks.LearningRateScheduler(fall_and_rise)],
    )


def more_runs() -> None:
    """What `make test-faults` looks at besides."""
    train("stopped", callbacks=[StopsAt()])
    interrupt_validation()
    run_out_of_minutes()


if __name__ == "__main__":
    {"usual": usual_runs, "more": more_runs}[RUNS]()
