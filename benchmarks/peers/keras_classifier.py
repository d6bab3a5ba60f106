"""What both Keras programs share, so that they differ in their data only: the network, the compilation, the report."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import keras

IMPORTED = time.monotonic()
"""When TensorFlow was there; what a program does comes after it."""

DROPOUT = 0.2
LEARNING_RATE = 1e-3


def arguments(description: str) -> argparse.ArgumentParser:
    """The options of both."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", type=Path, help="a folder with train/ and val/, each with a subfolder a class")
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--weights", type=Path, required=True, help="of the backbone")
    parser.add_argument("--model", type=Path, required=True, help="where to save what is trained, a .keras file")
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def classifier(backbone_name: str, image_size: int, classes: int, weights: Path) -> keras.Model:
    """A frozen backbone with a new head, compiled: raw images 0..255 to probabilities `(n, classes)`.

    The backbone is one that takes images of -1..1.
    """
    shape = (image_size, image_size, 3)
    backbone = getattr(keras.applications, backbone_name)(input_shape=shape, include_top=False, weights=None)
    backbone.load_weights(weights)
    backbone.trainable = False
    images = keras.Input(shape)
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    pooled = keras.layers.GlobalAveragePooling2D()(backbone(scaled, training=False))
    dropped = keras.layers.Dropout(DROPOUT)(pooled)
    model = keras.Model(images, keras.layers.Dense(classes, activation="softmax")(dropped))
    adam = keras.optimizers.Adam(LEARNING_RATE)
    model.compile(adam, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Clock(keras.callbacks.Callback):
    """When the first step and each epoch ended, validation included."""

    def __init__(self) -> None:
        super().__init__()
        self.first_step: float | None = None
        self.epoch_ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002  # Keras's
        """Note the first."""
        self.first_step = self.first_step or time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002  # Keras's
        """Note each."""
        self.epoch_ends.append(time.monotonic())


def report(clock: Clock, history: keras.callbacks.History) -> None:
    """Print the one line that the benchmark reads."""
    first, last = clock.epoch_ends[0], clock.epoch_ends[-1]
    print(
        json.dumps(
            {
                "later_seconds": last - first if last > first else None,
                "first_step_seconds": clock.first_step - IMPORTED if clock.first_step else None,
                "accuracy": history.history["val_accuracy"][-1],
            }
        )
    )
