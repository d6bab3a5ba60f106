"""The losses that layers add, in float32 also where the layers compute in 16 bits.

A regularizer of a layer's output sums over the output, in the numbers of the output. That sum is often larger than
65,504, the largest number of float16, and the loss would be infinite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import keras
import tensorflow as tf

from autofit.worker.model.keras_internals import all_layers


def summed(losses: Sequence[tf.Tensor]) -> tf.Tensor | float:
    """The sum, in float32, of the losses that layers add, which may be in 16 bits."""
    return sum((tf.cast(loss, tf.float32) for loss in losses), 0.0)


def regularized(model: keras.Model) -> list[keras.Layer]:
    """The model itself and its layers, if their outputs are regularized."""
    return [layer for layer in [model, *all_layers(model)] if layer.activity_regularizer is not None]


@contextmanager
def regularized_in_float32(layers: Sequence[keras.Layer]) -> Iterator[None]:
    """In a graph that is traced inside of the block, outputs of these layers in 16 bits are regularized in float32."""
    given = [(layer, layer.activity_regularizer) for layer in layers]
    for layer, regularizer in given:
        vars(layer)["activity_regularizer"] = partial(_in_float32, regularizer)
    try:
        yield
    finally:
        for layer, regularizer in given:
            vars(layer)["activity_regularizer"] = regularizer


def _in_float32(regularizer: Callable[[tf.Tensor], tf.Tensor], output: tf.Tensor) -> tf.Tensor:
    return regularizer(tf.cast(output, tf.float32) if output.dtype in {tf.float16, tf.bfloat16} else output)
