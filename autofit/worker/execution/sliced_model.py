"""How a batch goes through a network while it trains, slice by slice, so that the slices leave no trace in the result.

Dropout in the head is drawn once for the whole batch and cut to the slices: the micro-batch cannot change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import keras
import tensorflow as tf

from autofit.worker.model.keras_internals import all_layers, draws_random_numbers


class Network(Protocol):
    """What a training step needs of a network."""

    trainable: list[keras.Variable]
    state: list[keras.Variable]

    def draw(self, count: tf.Tensor) -> tf.Tensor:
        """What is random for a whole batch of `count` samples, one row a sample; called inside a stateless scope."""

    def __call__(self, inputs: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
        """Probabilities `(n, classes)` of `n` samples and their rows of what was drawn."""

    def penalty(self) -> tf.Tensor | float:
        """The regularization losses, for a whole batch."""


class WholeNetwork:
    """A model that cannot be taken apart: what it draws, it draws in each slice. See `Network`."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self.trainable = list(model.trainable_variables)
        self.state = list(model.non_trainable_variables)

    def draw(self, count: tf.Tensor) -> tf.Tensor:
        """Nothing: `(count, 0)`."""
        return tf.zeros((count, 0))

    def __call__(self, inputs: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
        """The model itself, in training."""
        del drawn
        return self._model(tf.cast(inputs, tf.float32), training=True)

    def penalty(self) -> tf.Tensor | float:
        """The model's own losses, computed inside a stateless scope."""
        return sum(self._model.losses)


class SplitNetwork:
    """A backbone (or nothing, where its features are the input) and a head whose layers are walked one by one."""

    def __init__(
        self, features: keras.Model | None, head: keras.Model, head_layers: Sequence[keras.layers.Layer]
    ) -> None:
        self._features = features
        self._head_layers = list(head_layers)
        self._dropout = next((x for x in self._head_layers if isinstance(x, keras.layers.Dropout)), None)
        self._dropout_width = _width_at(self._dropout, head, self._head_layers)
        parts = [part for part in (features, head) if part is not None]
        self.trainable = [variable for part in parts for variable in part.trainable_variables]
        self.state = [variable for part in parts for variable in part.non_trainable_variables]

    def draw(self, count: tf.Tensor) -> tf.Tensor:
        """The dropout mask `(count, width)`: dropout of ones, so that it is `model.fit`'s."""
        if self._dropout is None:
            return tf.zeros((count, 0))
        return self._dropout(tf.ones((count, self._dropout_width)), training=True)

    def __call__(self, inputs: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
        """The backbone and the head, in training, with the drawn rows where the head has its dropout."""
        flow = inputs
        if self._features is not None:
            flow = self._features(tf.cast(inputs, tf.float32), training=True)
        for layer in self._head_layers:
            flow = flow * drawn if layer is self._dropout else layer(flow)
        return flow

    def penalty(self) -> tf.Tensor | float:
        """None."""
        return 0.0  # neither keras.applications nor our head has regularizers


def _width_at(dropout: keras.layers.Layer | None, head: keras.Model, layers: Sequence[keras.layers.Layer]) -> int:
    """Features per sample where dropout stands in the head."""
    width = int(head.input_shape[-1])
    for layer in layers:
        if layer is dropout:
            break
        width = int(getattr(layer, "units", width))
    return width


def slices_decide(model: keras.Model, network: Network) -> str | None:
    """Why the micro-batch is part of this training's result; None where it is not.

    BatchNormalization that trains takes its statistics from a slice, and a layer that draws random numbers inside the
    slices draws others for other slices.
    """
    own_dropout = getattr(network, "_dropout", None)
    for layer in all_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            return "BatchNormalization trains on each micro-batch"
        if draws_random_numbers(layer) and layer is not own_dropout:
            return f"{layer.name} draws random numbers in each micro-batch"
    return None
