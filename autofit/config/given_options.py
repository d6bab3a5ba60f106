"""Which options a user has to give for a request: the way back from `Options` to the arguments of a call. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from autofit.config import backbones
from autofit.config.hub_presets import PRESET_WEIGHTS, is_preset
from autofit.config.option_checks import GIVEN_FUNCTION, GIVEN_TABLE
from autofit.config.option_table import REQUEST
from autofit.config.options import (
    DEFAULT_IMAGE_SIZE,
    Options,
    has_optimizer_object,
    may_fine_tune_unasked,
    usual_learning_rate,
)

NOT_REPEATED: Final = frozenset({"mirror_dir"})
"""Options that say where a run is stored: a repeated run is stored elsewhere."""


class GivenOptions(NamedTuple):
    """The options of a call that differ from the defaults.

    Attributes:
        values: the values by the options' names in Python: numbers, text, booleans, tuples and dictionaries of these.
        objects: the names of the options that were given as Python objects, which a request does not hold.
    """

    values: dict[str, Any]
    objects: tuple[str, ...]


def given_options(options: Options) -> GivenOptions:
    """The options from which `make_options` makes this request, without those that have their defaults."""
    values: dict[str, Any] = {}
    objects: list[str] = []
    defaults = _dependent_defaults(options)
    for option in REQUEST:
        if option.name in NOT_REPEATED:
            continue
        if _is_object(option.name, options):
            objects.append(option.name)
            continue
        value = _FORMS.get(option.name, _plain(option.field_names[0]))(options)
        default = defaults.get(option.name, option.default)
        if value is not None and value != default:  # None stands for the default of every option
            values[option.name] = value
    return GivenOptions(values, tuple(objects))


def _plain(field: str) -> Callable[[Options], Any]:
    return lambda options: getattr(options, field)


def _dependent_defaults(options: Options) -> dict[str, Any]:
    """The defaults that depend on other options, as `make_options` computes them, in the form that a request has."""
    follow_budget = options.time_budget_seconds is not None and may_fine_tune_unasked(options)
    defaults: dict[str, Any] = {
        "fine_tune_epochs": "auto" if follow_budget else 0,
        "learning_rate": usual_learning_rate(options),
    }
    if options.backbone is None:
        size = (DEFAULT_IMAGE_SIZE, DEFAULT_IMAGE_SIZE)
        is_implied = options.fine_tune_epochs and options.fine_tune_epochs != defaults["fine_tune_epochs"]
        trains = "head" if is_implied else "all"
        return defaults | {"weights": "none", "trainable": trains, "image_size": size}
    side = backbones.find(options.backbone).default_size
    return defaults | {
        "backbone": backbones.DEFAULT_BACKBONE,
        "weights": PRESET_WEIGHTS if is_preset(options.backbone) else "imagenet",
        "trainable": "all" if options.weights == "none" else "head",
        "image_size": (side, side),
    }


def _is_object(name: str, options: Options) -> bool:
    """Whether an option was given as a Python object."""
    has_object = has_optimizer_object(options)
    kinds: Mapping[str, bool] = {
        "model": options.model == GIVEN_FUNCTION,
        "optimizer": has_object,
        "learning_rate": options.optimizer_config is not None and not has_object,
        "loss": isinstance(options.loss, dict),
        "metrics": any(isinstance(metric, dict) for metric in options.metrics),
        "validation": options.validation == GIVEN_TABLE,
    }
    return kinds.get(name, False)


def _checkpoint_every(options: Options) -> str | int:
    seconds = options.checkpoint_seconds
    return options.checkpoint_steps or 0 if seconds is None else _seconds_text(seconds)


def _time_budget(options: Options) -> str | None:
    seconds = options.time_budget_seconds
    return None if seconds is None else _seconds_text(seconds)


def _seconds_text(seconds: float) -> str:
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def _learning_rate(options: Options) -> float | None:
    """None where the rate belongs to an optimizer or a schedule that was given as an object."""
    return None if options.optimizer_config is not None else options.learning_rate


_FORMS: Final[Mapping[str, Callable[[Options], Any]]] = {
    "checkpoint_every": _checkpoint_every,
    "time_budget": _time_budget,
    "learning_rate": _learning_rate,
}
"""Options that a request holds in another form than the user gives: from the request to the user's form."""
