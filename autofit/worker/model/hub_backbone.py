"""Builds a backbone of KerasHub from a preset, as a network like those of `keras.applications`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from autofit.config.hub_presets import preset_of
from autofit.config.precisions import Precision
from autofit.errors import UserError
from autofit.printable import printable
from autofit.worker.model.classifier_weights import weighted_layers
from autofit.worker.model.weights import first_sentence

IMAGE_CONVERTER = "image_converter.json"
FEATURE_MAPS, TOKENS = 4, 3
"""The ranks of an output of feature maps `(n, height, width, d)`, and of an output of tokens `(n, tokens, d)`."""


@dataclass(frozen=True, slots=True, eq=False)
class HubBackbone:
    """The network of a preset, and its preprocessing.

    Attributes:
        network: a functional network, from preprocessed images `(n, height, width, 3)` to pooled features `(n, d)`.
        scale: the factor for images of 0 to 255, one number or one for each channel.
        offset: the number that is added afterwards, likewise.
    """

    network: keras.Model
    scale: Any
    offset: Any


def load_hub_backbone(
    name: str, image_size: tuple[int, int], precision: Precision, *, loads: bool, on_message: Callable[[str], None]
) -> HubBackbone:
    """Build the backbone of a preset, with average pooling over positions or tokens.

    The network is made of the backbone's layers, without KerasHub's class, so that a model of plain Keras layers can be
    opened without KerasHub.

    Args:
        name: `hub:` and a preset.
        image_size: (height, width) in pixels.
        precision: the precision of its layers.
        loads: whether to load the weights; a preset that is not on this machine is downloaded in any case.
        on_message: called with a line for the user.

    Raises:
        UserError: the preset cannot be loaded, or is not for images, or not for images of this size.
    """
    hub = _keras_hub(name)
    if Path(preset_of(name)).is_absolute() and not Path(preset_of(name)).is_dir():
        raise UserError(
            f"backbone {name!r}: there is no such folder: correct its name; if it was there, bring it back, or "
            "give the call with the backbone's object again"
        )
    try:
        backbone = hub.models.Backbone.from_preset(preset_of(name), load_weights=loads, dtype=precision)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise  # running out of memory has its own verdict
    except Exception as error:
        raise UserError(
            f"backbone {name!r} cannot be loaded ({type(error).__name__}: {first_sentence(error)}): check its name and "
            "the network, or give the folder of a preset"
        ) from error
    _require_images(name, backbone, image_size)
    output = backbone.outputs[0]
    is_map = len(output.shape) == FEATURE_MAPS
    pooling = keras.layers.GlobalAveragePooling2D if is_map else keras.layers.GlobalAveragePooling1D
    network = keras.Model(backbone.inputs[0], pooling(dtype=precision, name="pooling")(output), name=backbone.name)
    if loads:
        on_message(f"weights of {len(weighted_layers(network)):,} layers loaded from {printable(name)}")
    scale, offset = _preprocessing(hub, name, on_message if loads else lambda _: None)
    return HubBackbone(network, scale, offset)


def _keras_hub(name: str) -> Any:
    try:
        return importlib.import_module("keras_hub")
    except ImportError as error:
        raise UserError(f"backbone {name!r} needs KerasHub ({first_sentence(error)}): pip install keras-hub") from error


def _require_images(name: str, backbone: Any, image_size: tuple[int, int]) -> None:
    """Refuse a backbone that is not a functional one from images of this size to feature maps or tokens."""
    inputs, outputs = getattr(backbone, "inputs", None) or [], getattr(backbone, "outputs", None) or []
    shape = tuple(inputs[0].shape) if len(inputs) == 1 else ()
    if len(shape) != FEATURE_MAPS or shape[3] != len("RGB") or len(outputs) != 1:
        raise UserError(f"backbone {name!r} is not from one RGB image to one output: give a preset for images")
    if len(outputs[0].shape) not in {FEATURE_MAPS, TOKENS}:
        raise UserError(f"backbone {name!r} gives outputs of shape {tuple(outputs[0].shape)}: give another preset")
    if any(have not in {None, need} for have, need in zip(shape[1:3], image_size, strict=True)):
        raise UserError(
            f"backbone {name!r} takes images of {shape[1]}x{shape[2]} only, not {image_size[0]}x{image_size[1]}: "
            f"give image_size {shape[1]}x{shape[2]}"
        )


def _preprocessing(hub: Any, name: str, on_message: Callable[[str], None]) -> tuple[Any, Any]:
    """The preset's scale and offset for images; its resizing and cropping are not used.

    Raises:
        UserError: the preset has an image converter in a file of its own, which cannot be loaded.
    """
    try:
        converter = hub.layers.ImageConverter.from_preset(preset_of(name))
    except Exception as error:
        if (Path(preset_of(name)) / IMAGE_CONVERTER).is_file():
            raise UserError(
                f"the image converter of backbone {name!r} cannot be loaded ({type(error).__name__}: "
                f"{first_sentence(error)}): save the preset again"
            ) from error
        on_message(
            f"{printable(Path(preset_of(name)).name)} does not say how images are to be scaled: its network gets "
            "values of 0 to 255; give an ImageClassifier of KerasHub, which has its preprocessing, if it needs others"
        )
        return 1.0, 0.0
    scale, offset = _numbers(converter.scale), _numbers(converter.offset)
    return 1.0 if scale is None else scale, 0.0 if offset is None else offset


def _numbers(value: Any) -> Any:
    """A scale or offset as numbers: KerasHub saves an array as an object of Keras, and does not convert it back."""
    found = keras.saving.deserialize_keras_object(value) if isinstance(value, dict) else value
    return found if found is None else np.asarray(found, np.float64).tolist()
