"""Recalibrates trained BatchNormalization: sets its averages to statistics of training images for the present weights.

In training a BatchNormalization normalizes with the statistics of a batch; for inference it keeps moving averages of
them. With Keras's momentum of 0.99 or 0.999 these averages lag hundreds or thousands of updates behind the weights, and
until they have caught up a validation says nothing about the network. So before each validation they are computed anew
from some training images: the mean over all of these and the variance around it, while every BatchNormalization that
trains normalizes with the statistics of the batch (Wu and Johnson, Rethinking "Batch" in BatchNorm, 2021, section 3:
arXiv:2105.07576).

No training step reads the averages, so a recalibration does not change the training. The averages depend only on the
weights and the images, not on earlier averages: after a restart the same values result.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from autofit.input.aligned_array import aligned
from autofit.protocol.job import TrainingPlan
from autofit.worker.execution.microbatch import MicroBatcher
from autofit.worker.execution.steps import tensors_of
from autofit.worker.model.builder import BuiltModel
from autofit.worker.model.keras_internals import all_layers
from autofit.worker.model.layer_graph import has_graph

Call = Callable[..., Any]
Totals = list[tf.Tensor]
"""For each layer two sums over the images, of the batch's mean and of its mean square, float64 `(channels,)` each."""


class BatchNormRecalibration:
    """The averages of all BatchNormalization layers that train, accumulated over batches of images and then set.

    Args:
        model: takes float images `(n, height, width, 3)`.
        layers: the layers to recalibrate.
    """

    def __init__(self, model: keras.Model, layers: Sequence[keras.layers.BatchNormalization]) -> None:
        self._model, self._layers = model, layers
        self._totals: Totals = []
        self._count = 0
        height, width = self._model.input_shape[1:3]
        signature = [
            tf.TensorSpec((None, height, width, 3), tf.uint8),
            [tf.TensorSpec(layer.moving_mean.shape, tf.float64) for layer in self._layers for _ in range(2)],
        ]
        self._add = tf.function(self._add_eagerly, input_signature=signature, autograph=False)

    def begin(self) -> None:
        """Forget the images so far."""
        zeros = [np.zeros(layer.moving_mean.shape) for layer in self._layers]
        self._totals = [tf.constant(array) for array in zeros for _ in range(2)]
        self._count = 0

    def add(self, images: np.ndarray, micro: MicroBatcher) -> None:
        """Add uint8 images `(n, height, width, 3)`, in slices of the training's micro-batch size.

        Raises:
            OutOfDeviceMemoryError: not even a single image fits.
        """

        def one_slice(start: int, stop: int) -> None:
            self._totals = self._add(aligned(images[start:stop]), self._totals)

        micro.slices(len(images), one_slice)
        self._count += len(images)

    def finish(self) -> None:
        """Set the averages to the statistics of the images that were added; without images they stay."""
        if not self._count:
            return
        for layer, mean_sum, square_sum in zip(self._layers, self._totals[::2], self._totals[1::2], strict=True):
            mean = mean_sum / self._count
            layer.moving_mean.assign(tf.cast(mean, tf.float32))
            layer.moving_variance.assign(tf.cast(tf.maximum(square_sum / self._count - mean**2, 0.0), tf.float32))

    def _add_eagerly(self, images: tf.Tensor, totals: Totals) -> Totals:
        count = tf.cast(tf.shape(images)[0], tf.float64)
        statistics = batch_statistics(self._model, self._layers, tf.cast(images, tf.float32))
        return [total + count * value for total, value in zip(totals, statistics, strict=True)]


def recalibration_for(built: BuiltModel, plan: TrainingPlan) -> BatchNormRecalibration | None:
    """The recalibration that a plan asks for; None if it asks for none, or if no BatchNormalization trains.

    A head that autofit adds is not searched: it has no BatchNormalization.
    """
    model = built.features or built.model
    layers = training_layers(model)
    return BatchNormRecalibration(model, layers) if layers and plan.recalibration_images else None


def training_layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The BatchNormalization layers that normalize with a batch's statistics in training, and keep averages of them.

    Left out are layers that use their averages in training: with renormalization, or called with `training=False` by a
    layer of the user's. Left out are also layers with a momentum of 1, whose averages never change.
    """
    layers = [layer for layer in all_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    training = [
        layer for layer in layers if layer.trainable and not getattr(layer, "renorm", False) and layer.momentum < 1
    ]
    # a functional or sequential model passes `training` on to all of its layers
    by_others = set(map(id, training)).difference(map(id, _called_by_graphs(model)))
    with_averages = _called_for_inference(model, training) if by_others else set()
    return [layer for layer in training if id(layer) not in with_averages]


def _called_by_graphs(network: keras.Model) -> Iterator[keras.Layer]:
    """The layers of a functional or sequential network, and of those in it."""
    if has_graph(network):
        for layer in network.layers:
            yield layer
            yield from _called_by_graphs(layer)


def _called_for_inference(model: keras.Model, layers: Sequence[keras.layers.BatchNormalization]) -> set[int]:
    """The ids of those layers that normalize with their averages although the model is called with `training=True`."""
    found: set[int] = set()

    def noting(layer: keras.layers.BatchNormalization) -> Call:
        call = layer.call

        def call_and_note(inputs: Any, training: Any = None, mask: Any = None) -> Any:
            if not training:
                found.add(id(layer))
            return call(inputs, training=training, mask=mask)

        return call_and_note

    def in_training(images: tf.Tensor) -> None:
        with keras.StatelessScope():
            model(images, training=True)

    with _called_by([(layer, noting(layer)) for layer in layers]):  # traced, and never run
        traced = tf.function(in_training, autograph=False)
        traced.get_concrete_function(tf.TensorSpec((None, *model.input_shape[1:]), tf.float32))
    return found


def batch_statistics(
    model: keras.Model, layers: Sequence[keras.layers.BatchNormalization], images: tf.Tensor
) -> Totals:
    """For each layer the mean and the mean square of its input over a batch, float64 `(channels,)` each.

    The layers normalize with the batch's statistics; all other layers are called for inference, since a dropout would
    change the variances. The statistics are read from the moving averages: one that starts at zero is the batch's
    statistic times `1 - momentum` after one call. After several, of a layer that has several places in the network, it
    is about the mean of theirs times `1 - momentum^calls`.
    """
    averages = [variable for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]
    zeros = [tf.zeros_like(value) for value in tensors_of(averages)]
    with (
        _normalizing_with_the_batch(layers) as calls,
        keras.StatelessScope(state_mapping=list(zip(averages, zeros, strict=True))) as scope,
    ):
        model(images, training=False)
    moved = [tf.cast(tf.convert_to_tensor(scope.get_current_value(average)), tf.float64) for average in averages]
    found: Totals = []
    for layer, mean, variance in zip(layers, moved[::2], moved[1::2], strict=True):
        factor = 1.0 / (1.0 - layer.momentum ** max(calls[id(layer)], 1))
        found += [mean * factor, variance * factor + (mean * factor) ** 2]
    return found


@contextlib.contextmanager
def _normalizing_with_the_batch(layers: Sequence[keras.layers.BatchNormalization]) -> Iterator[Counter[int]]:
    """Have these layers called with `training=True` while the model is called for inference.

    Yields:
        How often each of them is called, by its `id`.
    """
    calls = Counter[int]()

    def in_training(layer: keras.layers.BatchNormalization) -> Call:
        call = layer.call

        def call_in_training(inputs: tf.Tensor, training: Any = None, mask: Any = None) -> Any:
            del training
            calls[id(layer)] += 1
            return call(inputs, training=True, mask=mask)

        return call_in_training

    with _called_by([(layer, in_training(layer)) for layer in layers]):
        yield calls


@contextlib.contextmanager
def _called_by(calls: Sequence[tuple[keras.layers.BatchNormalization, Call]]) -> Iterator[None]:
    """Have the `call` of each of these layers replaced by the one beside it."""
    for layer, call in calls:
        layer.call = call
    try:
        yield
    finally:
        for layer, _ in calls:
            del layer.call
