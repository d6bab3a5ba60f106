"""In which option two requests differ, in the words of a user. Pure."""

from __future__ import annotations

from typing import Any

from autofit.config.learning_rates import DEFAULT_LEARNING_RATE
from autofit.config.option import Option
from autofit.config.option_table import BY_NAME, OPTIONS
from autofit.config.options import Options, has_rate_of_its_own

MOST_SHOWN = 200
"""The most characters that both values of an option may take together in a message."""


def difference(there: Options, here: Options, *, is_finished: bool = True) -> str | None:
    """The first option in which two requests differ, with both values; None if they are the same.

    Options whose value may change between two calls for one run are not compared (`Option.on_rerun`); those that may
    change only before the run is finished are compared if it `is_finished`. An unfinished run with the rate that was
    the default before docs/decisions/0074 is that of a call without a rate.
    """
    declared = {field: option for option in OPTIONS for field in option.field_names}
    for field in Options.model_fields:
        was, is_now = getattr(there, field), getattr(here, field)
        if field == "learning_rate" and not is_finished and _are_defaults(was, here):
            continue
        if was != is_now and not _may_differ(declared[field], was, is_now, is_finished=is_finished):
            option = declared[field]
            there_text, here_text = _shown(option, was), _shown(option, is_now)
            if there_text == here_text or len(there_text + here_text) > MOST_SHOWN:
                return f"{option.name} with other settings"
            return f"{option.name} {there_text} there, {here_text} here"
    return None


def _are_defaults(rate_there: float, here: Options) -> bool:
    """Whether the learning rate of this request is the default, and that of the other was the default earlier."""
    return rate_there == DEFAULT_LEARNING_RATE and not has_rate_of_its_own(here)


def _may_differ(option: Option, was: Any, is_now: Any, *, is_finished: bool) -> bool:
    if option.on_rerun == "unfinished":
        return not is_finished and None not in {was, is_now}
    return option.on_rerun != "same"


def shown_value(name: str, value: Any) -> str:
    """The value of an option as a user gives it."""
    return _shown(BY_NAME[name], value)


def _shown(option: Option, value: Any) -> str:
    """A value as a user gives it: None stands for "auto" where that is the default."""
    if isinstance(value, dict) and "class_name" in value:
        return f"{value['class_name']}(...)"
    if value is None and option.name == "backbone":
        return "replaced by model="
    return repr("auto" if value is None and option.default == "auto" else value)
