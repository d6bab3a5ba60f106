"""The demo's network: a model function as a user would write it."""

from __future__ import annotations

from typing import Any


def digit_network(input_shape: tuple[int, int, int], num_classes: int) -> Any:
    """A small convolutional network without BatchNormalization: `(n, height, width, 3)`, 0..255, to `(n, classes)`."""
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(16, 3, activation="relu", padding="same"),
            *(keras.layers.Conv2D(16, 1, activation="relu") for _ in range(4)),  # cheap, and most of the memory
            keras.layers.MaxPooling2D(4),
            keras.layers.Conv2D(32, 3, activation="relu", padding="same"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(64, 3, activation="relu", padding="same"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(num_classes, activation="softmax"),
        ]
    )
