"""Loads the weights of a whole classifier into a backbone without its top: finds the top in the file and omits it."""

from __future__ import annotations

import io
import math
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import h5py
import keras

from autofit.config.backbones import Backbone
from autofit.worker.model.copied_weights import set_weights

IMAGENET_CLASSES = 1000

Shape = tuple[int, ...]


def classes_of_top(path: Path, features: int) -> int | None:
    """The number of classes of the classifier whose weights are in a file; None if the file has no top.

    Args:
        path: a `.h5`, `.weights.h5` or `.keras` file.
        features: the number of the backbone's pooled features, which are the inputs of a top.

    Raises:
        OSError, ValueError, KeyError, zipfile.BadZipFile: the file cannot be read.
    """
    groups = _shapes_by_group(path)
    biases = Counter(shape[0] for shapes in groups for shape in shapes if len(shape) == 1)
    kernels = [shape for shapes in groups for shape in shapes if len(shape) > 1 and (shape[-1],) in shapes]
    if any(shape[-1] == IMAGENET_CLASSES for shape in kernels):
        return IMAGENET_CLASSES
    # a number of channels occurs in several layers of a backbone, the number of classes only in the top
    tops = {shape[-1] for shape in kernels if _inputs(shape) in {features, *_FLAT_TOPS} and biases[shape[-1]] == 1}
    return tops.pop() if len(tops) == 1 else None


def _inputs(kernel: Shape) -> int:
    return math.prod(kernel[:-1])


_FLAT_TOPS = (4096,)
"""The top of VGG has the 4,096 outputs of a fully connected layer as inputs, and not the pooled features."""


def _shapes_by_group(path: Path) -> list[list[Shape]]:
    """The shapes of the arrays in each group of the file."""
    found: dict[str, list[Shape]] = {}

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer"):
            found.setdefault(name.rpartition("/")[0], []).append(tuple(item.shape))

    with h5py.File(hdf5_of(path), "r") as file:
        file.get("model_weights", file).visititems(note)
    return list(found.values())


def hdf5_of(path: Path) -> Path | io.BytesIO:
    """The HDF5 file that a `.keras` file holds, in memory; for any other file its own path."""
    if path.suffix != ".keras":
        return path
    with zipfile.ZipFile(path) as archive:
        return io.BytesIO(archive.read("model.weights.h5"))


def load_without_top(model: keras.Model, backbone: Backbone, path: Path, classes: int) -> None:
    """Load a classifier's weights into a backbone without its top, by way of a whole classifier that fits the file.

    Raises:
        ValueError: they do not fit.
        Exception: the errors of Keras's `load_weights`.
    """
    side = backbone.default_size  # only the weights of VGG's top depend on the image size
    function = getattr(keras.applications, backbone.name)
    whole = function(weights=None, include_top=True, classes=classes, input_shape=(side, side, 3))
    whole.load_weights(path)
    for to, source in zip(weighted_layers(model), weighted_layers(whole), strict=False):
        if [w.shape for w in to.weights] != [w.shape for w in source.weights]:
            raise ValueError(f"layer {source.name} has other shapes than {to.name}")
        set_weights(to, source.get_weights())


def weighted_layers(model: keras.Model) -> Sequence[keras.Layer]:
    """The layers of a backbone that have weights, in order."""
    return [layer for layer in model.layers if layer.weights]
