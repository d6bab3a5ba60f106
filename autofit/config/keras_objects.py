"""Tells objects of Keras from others, without importing Keras: a caller who gives one has imported it."""

from __future__ import annotations

import inspect
import sys
from typing import Any


def is_a(value: Any, kind: str) -> bool:
    """Whether a value is an instance of a class of Keras, such as `losses.Loss`; never where Keras is not imported."""
    found = sys.modules.get("keras")
    for part in kind.split("."):
        found = getattr(found, part, None)
    return isinstance(found, type) and isinstance(value, found)


def is_keras_model(value: Any) -> bool:
    """Whether a value is a Keras model itself, not a function that makes one."""
    return is_a(value, "Model")


def application_name(value: Any) -> str | None:
    """The name of a backbone that is given as its function, such as `keras.applications.ResNet50`; None for others."""
    module = str(getattr(value, "__module__", ""))
    is_one = inspect.isfunction(value) and module.startswith(("keras.src.applications.", "keras.applications."))
    return value.__name__ if is_one else None


def own_image_size(model: Any) -> tuple[int, int] | None:
    """The height and width of the images that a Keras model takes; None if it takes images of any size."""
    shape = getattr(model, "input_shape", None) if is_keras_model(model) else None
    sides = tuple(shape[1:3]) if isinstance(shape, tuple) and len(shape) == 4 else ()  # noqa: PLR2004 - of images
    return (sides[0], sides[1]) if sides and all(isinstance(side, int) for side in sides) else None
