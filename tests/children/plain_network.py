"""A small network without BatchNormalization or dropout, whose training does not depend on how a batch is cut."""

from __future__ import annotations

from typing import Any

import keras


def network(input_shape: tuple[int, int, int], num_classes: int) -> Any:
    """From images `(n, height, width, 3)`, 0..255, to probabilities `(n, num_classes)`."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(16, 3, strides=2, activation="tanh"),
            keras.layers.Conv2D(16, 3, strides=2, activation="tanh"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(num_classes, activation="softmax"),
        ]
    )


def counting_network(input_shape: tuple[int, int, int], num_classes: int) -> Any:
    """The same with a layer that has a state of its own."""
    *lower, last = network(input_shape, num_classes).layers
    return keras.Sequential([keras.Input(input_shape), *lower, _Counting(), last])


def compiled_network(input_shape: tuple[int, int, int], num_classes: int) -> Any:
    """The same, compiled."""
    model = network(input_shape, num_classes)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def wide_network(input_shape: tuple[int, int, int], num_classes: int) -> Any:
    """The same on images that are made larger, with 2 MB of activations an image and layer.

    Without biases: the gradient of one is the sum of a million numbers of either sign, whose order is seen.
    """
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.UpSampling2D(4)]
    layers += [keras.layers.Conv2D(32, 3, activation="tanh", use_bias=False) for _ in range(2)]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(num_classes, activation="softmax")]
    return keras.Sequential([keras.Input(input_shape), *layers])


@keras.saving.register_keras_serializable()
class _Counting(keras.layers.Layer):  # type: ignore[misc]  # Keras is not typed
    """Counts the calls."""

    def build(self, input_shape: Any) -> None:
        """Make the count."""
        del input_shape
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs: Any) -> Any:
        """Count, and return the inputs."""
        self.calls.assign(self.calls + 1.0)
        return inputs
