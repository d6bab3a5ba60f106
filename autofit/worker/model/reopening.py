"""Checks before the training whether the model that it will save can be opened again.

Only parts that are not Keras's own can fail. So the model's configuration, without weights, is made, and those parts of
it that are the user's are built again.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import keras

from autofit.errors import UserError
from autofit.storage.model_file import is_lambda
from autofit.worker.model.registered_objects import missing_object
from autofit.worker.model.weights import first_sentence

REMEDY = "decorate its class or function with @keras.saving.register_keras_serializable()"


def check_reopens(model: keras.Model) -> None:
    """Check that a saved copy of a model can be opened.

    Raises:
        UserError: it cannot; the message names the part that is to blame, and the remedy.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns of a lambda, for which there is an error below
        try:
            config = keras.saving.serialize_keras_object(model)
        except Exception as error:  # whatever a layer's own get_config raises
            raise UserError(
                f"the model could not be saved ({first_sentence(error)[:250]}): give its own layers a get_config() "
                "that returns their arguments"
            ) from error
        if not model.compiled:
            config.pop("compile_config", None)
        for part in own_parts(config):
            _check_part(part)


def _check_part(part: dict[str, Any]) -> None:
    if is_lambda(part):
        raise UserError(
            "the model holds a lambda, and a saved one would not open again: write a function or a layer in its place "
            f"and {REMEDY}"
        )
    name = part["config"] if part["class_name"] == "function" else part["class_name"]
    try:
        keras.saving.deserialize_keras_object(part)
    except Exception as error:
        missing = missing_object(error)
        if missing:
            raise UserError(
                f"the saved model would not open again, for {missing} is not registered: {REMEDY}"
            ) from error
        raise UserError(
            f"the saved model would not open again, for {name} cannot be made from its get_config() "
            f"({type(error).__name__}: {first_sentence(error)[:200]}): let that return all arguments of __init__()"
        ) from error


def has_own_code(model: keras.Model) -> bool:
    """Whether a model that can be opened again has layers or functions that are not Keras's own."""
    return next(own_parts(keras.saving.serialize_keras_object(model)), None) is not None


def own_parts(config: Any) -> Iterator[dict[str, Any]]:
    """The outermost parts of a configuration that are not Keras's own, or are functions or lambdas."""
    if isinstance(config, dict):
        if _is_own(config):
            yield config
            return
        config = list(config.values())
    if isinstance(config, list | tuple):
        for item in config:
            yield from own_parts(item)


def _is_own(config: dict[str, Any]) -> bool:
    if is_lambda(config) or config.get("class_name") == "function":
        return True
    return "registered_name" in config and str(config.get("module")).split(".")[0] != "keras"
