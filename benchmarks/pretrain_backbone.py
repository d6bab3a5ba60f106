"""A backbone that has learned something, without a download: MobileNetV2 trained on drawn photos of other classes.

Its BatchNormalization is trained as well. A frozen backbone with random weights gives nearly the same features for all
images, and no head could tell them apart. Keras's momentum of 0.999 is meant for millions of steps; here it is 0.9.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from drawn_photos import OTHER_KINDS, draw_photo
from numpy.typing import NDArray
from PIL import Image

DRAWN = (320, 240)
PIXELS = 96
BATCH = 32
MOMENTUM = 0.9
LEARNING_RATE = 1e-3
VALIDATION_EVERY = 8

Samples = tuple[NDArray[np.uint8], NDArray[np.int64]]


def pictures(numbers: range) -> Samples:
    """Photos of these numbers, of every kind: uint8 (n, 96, 96, 3), and their classes."""
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        images = list(pool.map(_picture, _wanted(numbers), chunksize=16))
    return np.stack(images), np.array([label for label, _ in _wanted(numbers)])


def _wanted(numbers: range) -> Iterator[tuple[int, int]]:
    return ((label, number) for number in numbers for label in range(len(OTHER_KINDS)))


def _picture(wanted: tuple[int, int]) -> NDArray[np.uint8]:
    label, number = wanted
    photo = draw_photo(OTHER_KINDS[label], number, DRAWN)
    return np.asarray(photo.resize((PIXELS, PIXELS), Image.Resampling.BILINEAR))


def pretrain(train: Samples, validation: Samples, epochs: int, weights: Path) -> float:
    """Train, save the backbone's weights, and return the validation accuracy on the other classes."""
    import keras  # noqa: PLC0415 - after the drawing, whose processes are forks

    keras.utils.set_random_seed(0)
    shape = (PIXELS, PIXELS, 3)
    network = keras.applications.MobileNetV2(include_top=False, input_shape=shape, pooling="avg", weights=None)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = MOMENTUM
    images = keras.Input(shape)
    features = network(keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images))
    model = keras.Model(images, keras.layers.Dense(len(OTHER_KINDS), activation="softmax")(features))
    steps = epochs * (len(train[0]) // BATCH + 1)
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    model.compile(keras.optimizers.Adam(schedule), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(*train, validation_data=validation, batch_size=BATCH, epochs=epochs, verbose=2)
    unfinished = weights.with_name(f"part-{weights.name}")
    network.save_weights(unfinished)
    unfinished.rename(weights)
    return float(history.history["val_accuracy"][-1])


def main() -> None:
    """CropParameters, train, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, help="the .weights.h5 file to write")
    parser.add_argument("--images", type=int, required=True, help="photos of each of the other classes")
    parser.add_argument("--epochs", type=int, required=True)
    asked = parser.parse_args()
    train = pictures(range(asked.images))
    validation = pictures(range(asked.images, asked.images + max(1, asked.images // VALIDATION_EVERY)))
    accuracy = pretrain(train, validation, asked.epochs, asked.weights)
    print(f"pretrained on {len(train[0])} photos of {len(OTHER_KINDS)} other classes: accuracy {accuracy:.3f} on those")


if __name__ == "__main__":
    main()
