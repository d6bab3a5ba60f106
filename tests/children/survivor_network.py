"""The network of `test_survival.py`: small, with moving statistics and seeds, which a resume could lose."""

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
