"""Hashes that distinguish networks: by the classes, settings and weight shapes of their layers.

Another hash also distinguishes them by how their layers are connected; checkpoints and runs of the first versions have
the one without. A third distinguishes compiled models by what they are compiled with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import keras

from autofit.config.given_objects import named_alike

OF_NO_LAYER = frozenset({"name", "compile_config"})
"""What does not count in the configuration of a layer: its name, and what a network inside it was compiled with."""

REFERENCES = ("keras_history", "input_layers", "output_layers")
"""Where Keras's configurations refer to layers by their names."""


def network_sha256(model: keras.Model) -> str:
    """SHA-256 (hex) over the layers of a network, in order, without the values of the weights and without names.

    Names are left out since Keras numbers layers by what was built before in the process. A layer that cannot describe
    its settings counts by its class and the shapes of its weights.
    """
    return hashlib.sha256(json.dumps(_described(model), sort_keys=True).encode()).hexdigest()


def graph_sha256(model: keras.Layer, *, with_modules: bool = True) -> str:
    """SHA-256 (hex) as `network_sha256`, and over the operations between the layers and how these are connected.

    In place of its name, which Keras numbers, a layer or operation counts by its place. A model of the user's own class
    may not tell how its layers are connected. `with_modules` says whether the modules of the layers' classes count: a
    file of one's own may be renamed, or be the script that is started.
    """
    left_out = OF_NO_LAYER if with_modules else OF_NO_LAYER | {"module"}
    return hashlib.sha256(json.dumps(_connected(model, left_out), sort_keys=True).encode()).hexdigest()


def _connected(layer: keras.Layer, left_out: frozenset[str]) -> list[Any]:
    parts = getattr(layer, "layers", None)
    try:
        config = {key: item for key, item in layer.get_config().items() if key != "name"}
        found = _placed(config, {}, left_out)
    except Exception:  # noqa: BLE001 - a layer of the user's own may raise anything
        found = None
    inner = [_connected(part, left_out) for part in parts] if isinstance(parts, list) else []
    return [type(layer).__name__, found, [list(weight.shape) for weight in layer.weights], inner]


def _places(config: dict[str, Any]) -> dict[str, str]:
    """The places of the layers and operations in the configuration of a network, by their names."""
    parts = config.get("layers")
    parts = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return {str(part["name"]): f"#{place}" for place, part in enumerate(parts) if "name" in part}


def _placed(value: Any, places: Mapping[str, str], left_out: frozenset[str]) -> Any:
    """A configuration as JSON, with places for the names of layers, and without other names.

    Args:
        value: the configuration, or a part of it.
        places: those of the layers in the innermost network that the part belongs to.
        left_out: the keys that do not count.
    """
    if isinstance(value, list | tuple):
        return [_placed(item, places, left_out) for item in value]
    if not isinstance(value, dict):
        return value if isinstance(value, str | int | float | bool | None) else type(value).__name__
    if value.keys() == {"name"}:  # of an operation, or the whole configuration of a dtype
        return {"name": places.get(value["name"], value["name"])}
    if isinstance(value.get("layers"), list):
        places = _places(value)
    found = {str(key): _placed(item, places, left_out) for key, item in value.items() if key not in left_out}
    return found | {key: _references(value[key], places) for key in REFERENCES if key in value}


def _references(value: Any, places: Mapping[str, str]) -> Any:
    """The layers that a part of a configuration refers to, by their places."""
    if isinstance(value, dict):
        return {str(key): _references(item, places) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_references(item, places) for item in value]
    return places.get(value, value) if isinstance(value, str) else value


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
