"""Folds BatchNormalization into convolutions, so that a backbone in inference has less to compute.

In inference a BatchNormalization multiplies each channel by a constant and adds another one (Ioffe and Szegedy 2015,
section 3.1: arXiv:1502.03167). After a convolution, the factor can be multiplied into the kernel, and the summand can
be the bias. That saves two passes over the convolution's output, and TensorFlow fuses bias and activation with the
convolution. Only the last bits of a result differ (docs/decisions/0022).

A kernel is multiplied in each call, just before it is used. Compared with the convolution that takes no time, and there
is no second copy of the weights, which would need memory and could become outdated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from autofit.worker.model.layer_graph import calls_in, calls_of, has_graph

RECIPE = 1
"""The version of the computation. It has to be raised with each change of a feature's last bits, so that old cache
entries are no longer used."""

Convolution: TypeAlias = keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.SeparableConv2D


def folded(model: keras.Model) -> keras.Model:
    """A model that computes the same in inference, with the same weights; the model itself if nothing can be folded.

    Args:
        model: a functional model, perhaps with nested models. It is not changed.
    """
    pairs = _pairs_within(model)
    if not pairs:
        return model
    normalizations = set(pairs.values())

    def folded_layer(layer: keras.Layer) -> keras.Layer:
        if layer in pairs:
            return _FoldedConvolution(layer, pairs[layer])
        return _Identity(name=layer.name, dtype=layer.dtype_policy) if layer in normalizations else layer

    return keras.models.clone_model(model, clone_function=folded_layer, recursive=True)


def _pairs_within(model: keras.Model) -> dict[keras.Layer, keras.Layer]:
    """The BatchNormalization for each convolution that it can be folded into, also within nested models.

    Networks may share layers. A convolution stands for both layers in all of them, so all have to have the same pair.
    """
    networks = list(_networks_in(model))
    pairs = [_pairs(network) if not _nested(network) else {} for network in networks]
    found = {first: second for each in pairs for first, second in each.items()}
    for network, here in zip(networks, pairs, strict=True):
        inside = set(network.layers)
        for first, second in list(found.items()):
            if not inside.isdisjoint((first, second)) and here.get(first) is not second:
                del found[first]
    return found


def _nested(model: keras.Model) -> list[keras.Model]:
    return [layer for layer in model.layers if isinstance(layer, keras.Model)]


def _networks_in(model: keras.Model) -> Iterator[keras.Model]:
    """A model and the models nested in it; one that is nested in several is given several times."""
    yield model
    for inside in _nested(model):
        yield from _networks_in(inside)


def _pairs(model: keras.Model) -> dict[keras.Layer, keras.Layer]:
    """The pairs in a model without nested models, found by the connections in its configuration."""
    if isinstance(model, keras.Sequential) or not has_graph(model):
        return {}
    config = model.get_config()
    if "layers" not in config:
        return {}
    sources = {layer["name"]: [name for name, _ in calls_in(layer["inbound_nodes"])] for layer in config["layers"]}
    uses = Counter(name for names in sources.values() for name in names)
    uses.update(name for name, _ in calls_of(config["output_layers"]))
    layers = {layer.name: layer for layer in model.layers}
    pairs = {}
    for second in filter(_is_plain_normalization, model.layers):
        first = sources[second.name][0]
        are_used_once = len(sources[second.name]) == len(sources[first]) == uses[first] == 1
        # `first` may be an operation and not a layer
        if are_used_once and first in layers and _is_foldable(layers[first]):
            pairs[layers[first]] = second
    return pairs


def _is_foldable(layer: keras.Layer) -> bool:
    """Whether a layer is a convolution of Keras itself, not of a derived class, without an activation."""
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    if type(layer) not in kinds:
        return False
    return layer.activation is keras.activations.linear and layer.data_format == "channels_last"


def _is_plain_normalization(layer: keras.Layer) -> bool:
    if type(layer) is not keras.layers.BatchNormalization or getattr(layer, "renorm", False):
        return False
    return layer.axis in (-1, len(layer.input.shape) - 1)


class _FoldedConvolution(keras.Layer):
    """A convolution and the BatchNormalization after it, `(n, height, width, channels)` in and out."""

    def __init__(self, convolution: Convolution, normalization: keras.layers.BatchNormalization) -> None:
        super().__init__(name=convolution.name, dtype=convolution.dtype_policy)
        self._convolution, self._normalization = convolution, normalization

    def call(self, inputs: tf.Tensor, training: Any = None, mask: Any = None) -> tf.Tensor:
        """The output of both layers in inference. Keras passes `training` and `mask`, which are not used."""
        del training, mask
        factor, offset = self._factor_and_offset()
        factor = _after_inputs(inputs, factor)
        return tf.nn.bias_add(_convolved(self._convolution, inputs, factor), tf.cast(offset, inputs.dtype))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The convolution's output shape; without this method Keras would trace each layer to determine it."""
        return self._convolution.compute_output_shape(input_shape)

    def _factor_and_offset(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The factor of each channel, and the offset that is added afterwards: `(channels,)` each."""
        layer = self._normalization
        factor = tf.math.rsqrt(layer.moving_variance.value + layer.epsilon)
        if layer.gamma is not None:
            factor *= layer.gamma.value
        offset = -layer.moving_mean.value * factor
        if layer.beta is not None:
            offset += layer.beta.value
        if self._convolution.use_bias:
            offset += tf.cast(self._convolution.bias.value, factor.dtype) * factor
        return factor, offset


def _after_inputs(inputs: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """The factor, made to depend on the inputs; else all kernels would be multiplied, and kept, before any is used.

    The dependency is one of values, since TensorFlow 2.21 turns a control dependency into a cycle when it fuses a
    convolution with the addition after it (oneDNN, ResNet50).
    """
    return tf.where(tf.shape(inputs)[0] >= 0, factor, tf.zeros_like(factor))


def _convolved(layer: Convolution, inputs: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """The output of the convolution without its bias, with each channel multiplied by its factor."""
    shared = {
        "strides": layer.strides,
        "padding": layer.padding,
        "data_format": layer.data_format,
        "dilation_rate": layer.dilation_rate,
    }
    if isinstance(layer, keras.layers.SeparableConv2D):
        depthwise, pointwise = layer.depthwise_kernel.value, _scaled(layer.pointwise_kernel, factor, inputs.dtype)
        return keras.ops.separable_conv(inputs, tf.cast(depthwise, inputs.dtype), pointwise, **shared)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        factor = tf.reshape(factor, layer.kernel.shape[2:])  # the kernel is (height, width, channels, multiplier)
        return keras.ops.depthwise_conv(inputs, _scaled(layer.kernel, factor, inputs.dtype), **shared)
    return keras.ops.conv(inputs, _scaled(layer.kernel, factor, inputs.dtype), **shared)


def _scaled(kernel: keras.Variable, factor: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """A kernel times the factor of each channel, computed in the factor's precision and cast to that of the images."""
    return tf.cast(tf.cast(kernel.value, factor.dtype) * factor, dtype)


class _Identity(keras.Layer):
    """Replaces a BatchNormalization that was folded into the layer before it."""

    def call(self, inputs: tf.Tensor, training: Any = None, mask: Any = None) -> tf.Tensor:
        """The inputs. Keras passes `training` and `mask`, which are not used."""
        del training, mask
        return inputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the inputs."""
        return input_shape
