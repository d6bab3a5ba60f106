"""Options that are given as objects of Keras: kept as Keras's own configurations, which are JSON.

A caller who gives such an object has imported Keras; nothing here does. A class of the user's own is kept by the name
that it is registered under.
"""

from __future__ import annotations

import copy
import inspect
import math
import re
import sys
from collections.abc import Mapping
from typing import Any

from autofit.config.keras_objects import is_a
from autofit.config.option import Check
from autofit.config.option_checks import one_of
from autofit.config.validators import real_number
from autofit.errors import UserError

KerasConfig = dict[str, Any]
"""As `keras.saving.serialize_keras_object` gives it: `class_name`, `config`, `module`, `registered_name`."""

OPTIMIZERS = ("adam", "adamw", "adamax", "nadam", "sgd", "rmsprop", "adagrad", "adadelta", "adafactor", "ftrl", "lion")
"""The optimizers that Keras 3.13 and all later versions have."""

LOSSES = (
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "kl_divergence",
    "categorical_hinge",
    "mean_squared_error",
    "mean_absolute_error",
    "poisson",
)
"""Keras's losses of probabilities and classes."""

USUAL_RATE = 1e-3

WHICH = ("", "_pattern")
"""The ends of the names of the private attributes in which Keras keeps what `exclude_from_weight_decay` was given."""


def optimizer_choice(name: str, value: Any) -> tuple[str, KerasConfig | None]:
    """The name of an optimizer in lower case and, if it was given as an object, its configuration."""
    if not is_a(value, "optimizers.Optimizer"):
        _refuse_class(name, value, "keras.optimizers.SGD()")
        return one_of(*OPTIMIZERS)(name, value), None
    if is_a(value, "optimizers.LossScaleOptimizer"):
        value = value.inner_optimizer  # autofit scales the loss itself in float16
    refuse_kept_from_decay(name, value)
    if any(getattr(one, "use_ema", False) for one in _each_of(value)):  # its configuration need not hold it
        raise UserError(f"{name} has use_ema=True, whose averages are not supported: give an optimizer without it")
    config = keras_config(name, value)
    return str(config["class_name"]).lower(), config


def refuse_kept_from_decay(name: str, optimizer: Any) -> None:
    """Refuse an optimizer that excludes variables from weight decay: its configuration does not hold which ones.

    Keras 3.13 to 3.15 keeps them in private attributes.

    Raises:
        UserError: for such an optimizer.
    """
    kept = [getattr(one, f"_exclude_from_weight_decay{which}", None) for one in _each_of(optimizer) for which in WHICH]
    if any(kept):
        raise UserError(
            f"{name}: variables excluded by exclude_from_weight_decay() cannot be saved with it: give model= as a "
            "function that builds and compiles the network with this optimizer, in float32"
        )


def _each_of(optimizer: Any) -> list[Any]:
    """The optimizer, and those among which it divides the variables, as Keras's `MultiOptimizer` does."""
    return [optimizer, *getattr(optimizer, "optimizers", ())]


def rate_choice(name: str, value: Any) -> float | KerasConfig:
    """A learning rate over 0, or the configuration of a schedule."""
    if is_a(value, "optimizers.schedules.LearningRateSchedule"):
        return keras_config(name, value)
    if callable(value):
        raise UserError(f"{name} is a function: give a keras.optimizers.schedules object, or a LearningRateScheduler")
    return real_number(name, value, 0.0, exclusive=True)


def first_rate(schedule: KerasConfig) -> float:
    """The rate that a schedule begins with, or warms up to; 0.001 if its configuration does not tell it."""
    config = schedule.get("config", {})
    given = (config.get("warmup_target"), config.get("initial_learning_rate"), *(config.get("values") or ()))
    rates = [float(rate) for rate in given if isinstance(rate, int | float) and math.isfinite(rate) and rate > 0]
    return rates[0] if rates else USUAL_RATE


def loss_choice(name: str, value: Any) -> str | KerasConfig | None:
    """None, the name of a loss, or the configuration of a loss or function."""
    if value is None:
        return None
    _refuse_class(name, value, "keras.losses.CategoricalCrossentropy()")
    if is_a(value, "losses.Loss") or inspect.isfunction(value):
        reduction = getattr(value, "reduction", "sum_over_batch_size")  # likewise
        if reduction not in {"sum_over_batch_size", "mean"}:
            raise UserError(f"{name} has reduction={reduction!r}: leave it out, the mean over the samples is used")
        return keras_config(name, value)
    return str(one_of(*LOSSES)(name, value))


def metric_list(name: str, value: Any) -> tuple[str | KerasConfig, ...]:
    """Names, or the configurations of metrics and functions."""
    listed = value if isinstance(value, list | tuple) else [] if value is None else [value]
    return tuple(_metric(name, item) for item in listed)


def _metric(name: str, value: Any) -> str | KerasConfig:
    _refuse_class(name, value, "keras.metrics.AUC()")
    if isinstance(value, str) and value:
        return value
    if not (is_a(value, "metrics.Metric") or inspect.isfunction(value)):
        raise UserError(f"{name} must be names or objects of keras.metrics, not {value!r}")
    return keras_config(name, value)


def class_weights_or(*words: str) -> Check:
    """A check that accepts one of the words, None for the first of them, or weights by class name or number."""

    def check(name: str, value: Any) -> str | dict[str, float]:
        if not isinstance(value, Mapping):
            if value is not None and not isinstance(value, str | int):
                kind = type(value).__name__
                raise UserError(f"{name} must be a word or weights by class, such as {{0: 1.0, 1: 2.0}}, not a {kind}")
            return str(one_of(*words, none_means=words[0])(name, value))
        weights = {str(key): real_number(f"{name} of {key!r}", weight, 0.0) for key, weight in value.items()}
        if len(weights) < len(value) or not any(weights.values()):
            raise UserError(f"{name} must name each class once, and give one of them a weight over 0")
        return weights

    return check


def keras_config(name: str, value: Any) -> KerasConfig:
    """The configuration of an object, from which a worker can make the object again.

    Raises:
        UserError: a worker could not: its class or function is not registered, or its configuration is incomplete.
    """
    own = getattr(value, "__name__", type(value).__name__)
    if own == "<lambda>":
        raise UserError(f"{name} is a lambda, which cannot be kept with the run: give a function with a name")
    if "keras" not in sys.modules:  # so nothing is registered with it
        raise UserError(_not_kept(name, own))
    saving = sys.modules["keras"].saving
    try:
        config: KerasConfig = saving.serialize_keras_object(value)
        again = saving.deserialize_keras_object(copy.deepcopy(config))  # it puts objects into what it is given
    except Exception as error:  # whatever an object's own get_config or constructor raises
        raise UserError(_not_kept(name, own)) from error
    if inspect.isfunction(value) and again is not value:
        raise UserError(_not_kept(name, own))
    return named_alike(config)


def named_alike(config: KerasConfig) -> KerasConfig:
    """A configuration without the number that Keras appends to the name of a class's second object, as in `auc_1`."""
    inner = config["config"]
    plain = without_number(inner.get("name") or "") if isinstance(inner, dict) else ""
    if plain.replace("_", "") != config["class_name"].lower():
        return config
    return {**config, "config": {**inner, "name": plain}}


def without_number(name: str) -> str:
    """A name that Keras made, without the number at its end, if it has one."""
    return re.sub(r"_[0-9]+$", "", name)


def _not_kept(name: str, own: str) -> str:
    return (
        f"{name}: {own} cannot be kept with the run: decorate it with @keras.saving.register_keras_serializable() and "
        "give a class a get_config() with its arguments"
    )


def _refuse_class(name: str, value: Any, example: str) -> None:
    if isinstance(value, type):
        raise UserError(f"{name} is the class {value.__name__} itself: give an object of it, such as {example}")
