"""A training whose worker kills itself at the moments named, once at each; started by `test_survival.py`.

mortal_training.py PHOTOS FOLDER MOMENT...

The model function and the callbacks stand in this script, as in a notebook's cell. FOLDER gets the run directory
`run`, a file for each moment, `begun` and `seen`, where the callback writes what it was told, `log.csv`, `added.csv`,
which has a row before the run, `saved/`, `kept.json`, what the callbacks of the script itself hold at the end, and
`board.json`, the figures that TensorBoard shows, where that is installed.
"""

# ruff: noqa: ARG002 - Keras gives callbacks their logs by name

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import keras
import survivor_network  # type: ignore[import-not-found]  # lies beside this script

import autofit

PHOTOS, FOLDER, MOMENTS = sys.argv[1], Path(sys.argv[2]).resolve(), sys.argv[3:]


def die_once(moment: str) -> None:
    """`kill -9` of this process, where this moment was asked for and has not come yet."""
    marker = FOLDER / moment
    if moment in MOMENTS and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def network(input_shape: tuple[int, int, int], num_classes: int) -> Any:
    """The survivor's network, built by a function that may not live to return it."""
    die_once("build")
    return survivor_network.network(input_shape, num_classes)


class Mortal(keras.callbacks.Callback):  # type: ignore[misc]
    """Dies at the moments named, and counts in its state the batches that it was told of."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0
        self.epoch = 0

    def get_state(self) -> dict[str, int]:
        """Asked for in the middle of a save: the audit log is durable, the checkpoint not begun."""
        if (self.epoch, self.batches % 19) == (1, 7):
            die_once("save")
        return {"batches": self.batches}

    def set_state(self, state: dict[str, int]) -> None:
        """Take the count up where the checkpoint has it."""
        self.batches = state["batches"]

    def on_train_begin(self, logs: Any = None) -> None:
        """Start anew, as Keras's own callbacks do."""
        self.batches = 0
        with (FOLDER / "begun").open("a") as begun:
            begun.write(f"{os.getpid()}\n")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Between epochs."""
        self.epoch = epoch
        die_once(f"before-epoch-{epoch}")

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a step."""
        die_once(f"before-step-{self.epoch}-{batch}")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a step, before it is committed."""
        self.batches += 1
        die_once(f"after-step-{self.epoch}-{batch}")

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Inside a validation."""
        die_once(f"validation-{self.epoch}-{batch}")

    def on_train_end(self, logs: Any = None) -> None:
        """After the last step, before the outcome."""
        die_once("end")
        (FOLDER / "seen").write_text(str(self.batches))


SEEN: list[float] = []
STOPPING = keras.callbacks.EarlyStopping("val_accuracy", patience=9, restore_best_weights=True)
PLATEAU = keras.callbacks.ReduceLROnPlateau("val_loss", patience=1, min_delta=10.0)


class Records(keras.callbacks.Callback):  # type: ignore[misc]
    """Records in a list of this script, and in one of its own, without a word about its state."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Record the loss and the rate."""
        SEEN.append(logs["val_loss"])
        self.rates.append(logs["learning_rate"])


def kept(records: Records) -> dict[str, Any]:
    """What the callbacks of this process hold at the end."""
    stopping = {name: getattr(STOPPING, name) for name in ("wait", "stopped_epoch", "best", "best_epoch")}
    plateau = {name: getattr(PLATEAU, name) for name in ("wait", "cooldown_counter", "best")}
    return {"stopping": stopping, "plateau": plateau, "seen": SEEN, "rates": records.rates}


def shown_by_tensorboard() -> dict[str, list[tuple[int, float]]]:
    """The steps and values of the epochs' figures, as TensorBoard reads them from the files of all attempts."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415 - may be missing
    from tensorboard.util.tensor_util import make_ndarray  # noqa: PLC0415

    found = {}
    for split, prefix in (("train", ""), ("validation", "val_")):
        events = EventAccumulator(str(FOLDER / "logs" / split)).Reload()
        for name in ("loss", "accuracy"):
            values = events.Tensors(f"epoch_{name}")
            found[prefix + name] = [(one.step, float(make_ndarray(one.tensor_proto))) for one in values]
    return found


HAS_TENSORBOARD = importlib.util.find_spec("tensorboard") is not None


if __name__ == "__main__":
    os.chdir(FOLDER)
    Path("added.csv").write_text("epoch,loss\n0,1.5\n")
    own = Records()
    autofit.run(
        PHOTOS,
        model=network,
        image_size=32,
        epochs=3,
        batch_size=8,
        checkpoint_every=1,
        audit=True,
        run_dir=FOLDER / "run",
        # compounds: told of an epoch's beginning twice, it would halve the rate twice
        callbacks=[
            keras.callbacks.LearningRateScheduler(lambda _, rate: rate * 0.5),
            Mortal(),
            STOPPING,
            PLATEAU,
            keras.callbacks.CSVLogger("log.csv"),
            keras.callbacks.CSVLogger("added.csv", append=True),
            keras.callbacks.ModelCheckpoint("saved/{epoch}.keras"),
            *([keras.callbacks.TensorBoard("logs")] if HAS_TENSORBOARD else []),
            own,
        ],
    )
    if HAS_TENSORBOARD:
        (FOLDER / "board.json").write_text(json.dumps(shown_by_tensorboard()))
    (FOLDER / "kept.json").write_text(json.dumps(kept(own)))
