"""Hashes that distinguish networks: by the classes, settings and weight shapes of their layers.

A second hash distinguishes compiled models by what they are compiled with.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import keras

from autofit.config.given_objects import named_alike


def network_sha256(model: keras.Model) -> str:
    """SHA-256 (hex) over the layers of a network, in order, without the values of the weights and without names.

    Names are left out since Keras numbers layers by what was built before in the process. A layer that cannot describe
    its settings counts by its class and the shapes of its weights.
    """
    return hashlib.sha256(json.dumps(_described(model), sort_keys=True).encode()).hexdigest()


def compiled_sha256(model: keras.Model) -> str:
    """SHA-256 (hex) over the optimizer, loss and metrics that a model is compiled with; empty if it is not compiled.

    Objects count by their settings, the user's own functions by their names. The number that Keras gives a metric in
    this process does not count.
    """
    if not model.compiled:
        return ""
    try:
        config = model.get_compile_config()
    except Exception:  # noqa: BLE001 - whatever an object's own get_config raises
        config = {}
    found = {name: _plain(config.get(name)) for name in ("optimizer", "loss", "metrics")}
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A configuration as JSON."""
    if isinstance(value, dict):
        alike = named_alike(value) if {"class_name", "config"} <= value.keys() else value
        return {str(key): _plain(item) for key, item in alike.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else type(value).__name__


def _described(layer: keras.layers.Layer) -> list[Any]:
    parts = getattr(layer, "layers", None)
    if isinstance(parts, list) and parts:
        return [type(layer).__name__, [_described(part) for part in parts]]
    return [type(layer).__name__, _config(layer), [list(weight.shape) for weight in layer.weights]]


def _config(layer: keras.layers.Layer) -> Any:
    try:
        return _without_names(layer.get_config())
    except Exception:  # noqa: BLE001 - a layer of the user's own may raise anything
        return None


def _without_names(value: Any) -> Any:
    """A configuration as JSON without the names of layers; a name that is the whole configuration (a dtype) is kept."""
    if isinstance(value, dict):
        return {str(key): _without_names(item) for key, item in value.items() if key != "name" or len(value) == 1}
    if isinstance(value, list | tuple):
        return [_without_names(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else type(value).__name__
