"""A real training whose callback takes the host's memory: leaking_training.py PHOTOS RUN_DIR HOW RECOMPUTE PRECISION.

HOW is `calm`: it takes none; `drip`: 80 MB more with every batch; `burst`: all there is, in the sixth batch of the
first life. The network has BatchNormalization, so that its micro-batch is part of the result. The parent does without
Keras: what it sends is made in the worker.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from payloads import MadeThere  # type: ignore[import-not-found]  # lies beside this script

import autofit

MB = 10**6
BATCH_SECONDS = 0.3
BURST_AT = 5


def network(input_shape: tuple[int, int, int], num_classes: int) -> Any:
    """A small network with BatchNormalization."""
    import keras  # noqa: PLC0415 - in the worker alone

    layers = [keras.layers.Conv2D(8, 3, strides=2), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    ends = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(num_classes, activation="softmax")]
    return keras.Sequential([keras.Input(input_shape), keras.layers.Rescaling(1 / 255), *layers, *ends])


def leak(how: str, marker: Path) -> Any:
    """A callback that does what was asked for."""
    import keras  # noqa: PLC0415 - as above

    class Leak(keras.callbacks.Callback):  # type: ignore[misc]
        """Holds on to memory."""

        held: list[bytes] = []  # noqa: RUF012

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            """Take more; a burst comes once."""
            del logs
            time.sleep(BATCH_SECONDS)
            if how == "drip":
                self.held.append(b"x" * 80 * MB)
            if how == "burst" and batch == BURST_AT and not marker.exists():
                marker.touch()
                while True:
                    self.held.append(b"x" * MB)

    return Leak()


if __name__ == "__main__":
    photos, run_dir, how, recompute, precision = sys.argv[1:]
    autofit.run(
        photos,
        model=network,
        image_size=32,
        epochs=2,
        batch_size=16,
        checkpoint_every="60s",
        recompute=recompute,
        precision=precision,
        audit=True,
        run_dir=run_dir,
        callbacks=[MadeThere(leak, how, Path(run_dir).resolve().with_name("marker"))],
    )
