"""Networks of `test_survival.py` and others: small, with what a resume or a smaller micro-batch could lose."""

from __future__ import annotations

from typing import Any

import keras


def network(input_shape: tuple[int, int, int], num_classes: int) -> Any:
    """From images `(n, height, width, 3)`, 0..255, to probabilities `(n, num_classes)`."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.BatchNormalization(momentum=0.8),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(num_classes, activation="softmax"),
        ]
    )


def overflowing_network(input_shape: tuple[int, int, int], num_classes: int) -> Any:
    """The same function, with a gradient inside that is a thousand times as large: too large for the first scale."""
    *lower, dropout, last = network(input_shape, num_classes).layers
    there_and_back = [keras.layers.Rescaling(1e-3), keras.layers.ReLU(), keras.layers.Rescaling(1e3)]
    return keras.Sequential([keras.Input(input_shape), *lower, *there_and_back, dropout, last])


def hungry_network(input_shape: tuple[int, int, int], num_classes: int) -> Any:
    """Few weights, and four megabytes of activations for an image of 96 pixels: memory soon runs out."""
    convolutions = [keras.layers.Conv2D(24, 1, activation="relu") for _ in range(4)]
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Rescaling(1 / 255),
            *convolutions,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(num_classes, activation="softmax"),
        ]
    )


def branched_network(input_shape: tuple[int, int, int], num_classes: int) -> Any:
    """Four branches from images of 96 pixels to the output, with 31 MB of weights each, which cannot be cut."""
    images = keras.Input(input_shape)
    values = keras.layers.Flatten()(keras.layers.AveragePooling2D(3)(images))
    wide = [keras.layers.Dense(2500, activation="relu")(values) for _ in range(4)]
    images_again = keras.layers.GlobalAveragePooling2D()(images)
    ends = [keras.layers.Dense(num_classes, activation="softmax")(branch) for branch in [*wide, images_again]]
    return keras.Model(images, keras.layers.Average()(ends))
