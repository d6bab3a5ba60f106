"""The head: the layers from pooled features to probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from autofit.config.backbones import ModelSpec


def head_of(spec: ModelSpec, num_classes: int, *, multi_label: bool) -> tuple[keras.Layer, ...]:
    """New layers for the head, in order.

    Args:
        spec: the description of the model.
        num_classes: the number of outputs.
        multi_label: whether each class has a probability of its own, by a sigmoid; else they sum to 1, by a softmax.
    """
    layers = []
    if spec.hidden_units:
        layers.append(keras.layers.Dense(spec.hidden_units, activation="relu", name="hidden"))
    if spec.dropout:
        layers.append(keras.layers.Dropout(spec.dropout, name="dropout"))
    # probabilities stay float32 in mixed precision too, since float16 rounds small ones to zero
    activation = "sigmoid" if multi_label else "softmax"
    begins = "zeros" if spec.head_from_zeros else "glorot_uniform"  # Keras's default
    last = {"activation": activation, "kernel_initializer": begins, "dtype": "float32", "name": "probabilities"}
    layers.append(keras.layers.Dense(num_classes, **last))
    return tuple(layers)


def chain(layers: tuple[keras.Layer, ...], x: keras.KerasTensor) -> keras.KerasTensor:
    """Call layers one after the other; returns the last output."""
    for layer in layers:
        x = layer(x)
    return x


def scoring_layer(layers: Sequence[keras.Layer]) -> keras.layers.Dense:
    """The last Dense of a head, whose weights are solved; in a user's network the softmax may be a layer after it."""
    return next(layer for layer in reversed(layers) if isinstance(layer, keras.layers.Dense))
