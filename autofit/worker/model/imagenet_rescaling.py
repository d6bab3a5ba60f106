"""The rescaling of the inputs that belongs to the ImageNet weights of EfficientNet B0 to B7.

Their Normalization divides by the square root of ImageNet's deviation; the network was trained on inputs that were
divided by the deviation itself. Keras adds a Rescaling that makes up for it, but only with `weights="imagenet"`: a
network into which the same weights come from a file sees inputs that are half as large as they should be
(keras/src/applications/efficientnet.py).
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import h5py
import keras
import numpy as np

from autofit.config.backbones import Backbone
from autofit.worker.model.classifier_weights import hdf5_of
from autofit.worker.model.copied_weights import set_weights

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
"""Of the colours of ImageNet's images. Keras's files have the deviation where the Normalization has its variance."""


def lacks_rescaling(network: keras.Model, backbone: Backbone, path: Path) -> bool:
    """Whether the weights that were loaded from a file into this network need the rescaling.

    A file that Keras 3 has written names all layers of the network that it was saved from. Keras's own files are older
    and from a time without the Rescaling: what they hold is known by ImageNet's mean and deviation.

    Raises:
        OSError, KeyError, zipfile.BadZipFile: the file cannot be read.
    """
    if not re.fullmatch("EfficientNetB[0-7]", backbone.name):
        return False
    named, is_of_keras_3 = _named_rescalings(path)
    return named > 1 or (not is_of_keras_3 and _has_imagenet_statistics(network))


def is_unscaled(network: keras.Model) -> bool:
    """Whether a network has the statistics of Keras's ImageNet weights and not their rescaling."""
    rescalings = [layer for layer in network.layers if isinstance(layer, keras.layers.Rescaling)]
    return len(rescalings) == 1 and _has_imagenet_statistics(network)


def _has_imagenet_statistics(network: keras.Model) -> bool:
    """Whether a Normalization of the network has the mean and deviation of Keras's ImageNet weights."""
    return any(
        np.allclose(layer.adapt_mean, _MEAN, atol=1e-3) and np.allclose(layer.adapt_variance, _DEVIATION, atol=1e-3)
        for layer in _normalizations(network)
    )


def with_rescaling(network: keras.Model) -> keras.Model:
    """A copy of an EfficientNet, with its weights, that is the network which Keras makes with `weights="imagenet"`."""

    def called(layer: keras.Layer, *args: keras.KerasTensor, **kwargs: object) -> keras.KerasTensor:
        flow = layer(*args, **kwargs)
        if not isinstance(layer, keras.layers.Normalization):
            return flow
        return keras.layers.Rescaling([1.0 / math.sqrt(deviation) for deviation in _DEVIATION])(flow)

    copy = keras.models.clone_model(network, call_function=called)
    set_weights(copy, network.get_weights())
    return copy


def _normalizations(network: keras.Model) -> list[keras.layers.Normalization]:
    """The Normalization layers of a network whose mean and variance are weights of three colours."""
    return [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.Normalization) and [tuple(w.shape) for w in layer.weights[:2]] == [(3,), (3,)]
    ]


def _named_rescalings(path: Path) -> tuple[int, bool]:
    """How many Rescaling layers a file of weights names, and whether it is in the format of Keras 3."""
    with h5py.File(hdf5_of(path), "r") as file:
        is_of_keras_3 = "layers" in file
        layers = file["layers"] if is_of_keras_3 else file.get("model_weights", file)
        return sum(re.fullmatch(r"rescaling(_\d+)?", name) is not None for name in layers), is_of_keras_3
