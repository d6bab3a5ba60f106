"""Checks of the values of single options that need more than `validators` has."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from autofit.config.batch_schedule import BatchSchedule
from autofit.config.byte_size import parse_size
from autofit.config.cuts import AUTO_CUT, WHOLE
from autofit.config.hub_presets import is_preset, preset_name
from autofit.config.keras_objects import application_name
from autofit.config.option import Check
from autofit.config.validators import absolute_path, choice, described, is_file, is_installed, real_number, whole_number
from autofit.errors import UserError

MOST_DEVICES = 64
"""The largest number of GPUs that may be asked for: more than any machine has."""

MAX_SIDE_PIXELS = 65_535
"""The largest side that a JPEG can have (ITU-T T.81, B.2.2)."""

GIVEN_FUNCTION = "<function>"
"""The value of `Options.model` for a function that was given as an object, not as `module:function`."""

GIVEN_TABLE = "<table>"
"""The value of `Options.validation` for a DataFrame, whose images are in `samples.csv`."""


def or_none(check: Check) -> Check:
    """A check that also accepts None."""
    return lambda name, value: None if value is None else check(name, value)


def one_of(*allowed: str, none_means: str | None = None) -> Check:
    """A check that accepts one of the words, in upper or lower case.

    If `none_means` is given, None, False, 0 and "" stand for that word.
    """
    check = partial(choice, allowed=allowed)

    def check_or_none(name: str, value: Any) -> Any:
        is_none = value is None or (isinstance(value, str | int) and not value)  # `not array` would raise
        return check(name, none_means if is_none else value)

    return check if none_means is None else check_or_none


def estimated_device(name: str, value: Any, *, allowed: tuple[str, ...]) -> str:
    """A kind of machine to estimate for; of a card that has no name here the memory suffices."""
    try:
        return str(choice(name, value, allowed))
    except UserError as error:
        and_else = " Of" if str(error).endswith("?") else "; of"
        raise UserError(f"{error}{and_else} any other card give the memory and no {name}") from None


def cut_choice(name: str, value: Any) -> str:
    """Where fine-tuning begins, as text: `auto`, `input`, a layer's name, or a share from 0 to 1.

    Whether the network has such a layer is checked when it is built.
    """
    if isinstance(value, str) and value.strip():
        text = value.strip()
        if not re.fullmatch(r"[+-]?[0-9.]+", text):
            return text.lower() if text.lower() in {AUTO_CUT, WHOLE} else text
        value = text
    share = real_number(name, value, least=0.0, below=1.0)
    return str(share) if share else WHOLE


def device_choice(name: str, value: Any) -> int | str:
    """How many devices: `all`, or a number. That the machine has this many is checked later, when it is examined."""
    if isinstance(value, str) and value.strip().lower() == "all":
        return "all"
    given = int(value) if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,9}\s*", value) else value
    try:
        return whole_number(name, given, least=1, most=MOST_DEVICES)
    except UserError:
        raise UserError(f"{name} must be 'all' or a whole number from 1 to {MOST_DEVICES}, not {value!r}") from None


def backbone_name(name: str, value: Any) -> str | None:
    """The name of a backbone in Keras's spelling; None stays None."""
    from autofit.config import backbones  # noqa: PLC0415 - loads pydantic, which `--help` must not

    if value is None:
        return None
    value = application_name(value) or value
    if not isinstance(value, str):
        raise UserError(f"{name} must be a name such as {backbones.DEFAULT_BACKBONE!r}, not {value!r}")
    return preset_name(value) if is_preset(value) else backbones.find(value).name


def model_name(name: str, value: str | Callable[..., Any] | None) -> str | None:
    """The name of a model function; its module is looked for, but not imported."""
    if value is None or callable(value):
        return None if value is None else GIVEN_FUNCTION
    match = re.fullmatch(r"([A-Za-z_]\w*)(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", str(value))
    if not match:
        raise UserError(f"{name} {value!r} cannot be read: give a function, or module:function")
    module = match[1]
    if module == "__main__":
        raise UserError(f"{name} {value!r} does not exist in another process: give the function itself")
    is_here = is_file(Path(f"{module}.py")) or os.path.isdir(module)  # noqa: PTH112 - as in `is_file`
    if not is_here and not is_installed(module):
        raise UserError(f"{name} {value!r}: there is no module {module!r} here or installed; check its name")
    return str(value)


def weights_file(name: str, value: Any) -> str:
    """`"imagenet"`, `"none"` (also for None), or the absolute path of a file with weights."""
    if value is None or str(value).lower() in {"none", "imagenet"}:
        return str(value or "none").lower()
    path = absolute_path(name, value)
    if not is_file(path):
        raise UserError(f"{name} {str(value)!r}: there is no such file; give a file, 'imagenet' or 'none'")
    if path.suffix not in {".h5", ".keras"}:
        raise UserError(f"{name} {str(value)!r} is not a file that Keras reads: give a .weights.h5, .h5 or .keras file")
    return str(path)


def image_sides(name: str, value: Any) -> tuple[int, int]:
    """`(height, width)` in pixels from one number, two, `"160"` or `"160x192"`."""
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]{1,9})(?:x([0-9]{1,9}))?", value.strip().lower())
        if not match:
            raise UserError(f"{name} {value!r} cannot be read: give a number such as 224, or HEIGHTxWIDTH")
        value = tuple(int(part) for part in match.groups() if part)
    value = value.tolist() if hasattr(value, "tolist") else value  # of NumPy
    sides = tuple(value) if isinstance(value, Sequence) and not isinstance(value, bytes) else (value,)
    if len(sides) not in {1, 2}:
        raise UserError(f"{name} must be one number or (height, width), not {value!r}")
    height, width = (whole_number(name, side, 1, MAX_SIDE_PIXELS) for side in (sides * 2)[:2])
    return height, width


def batch_size_ramp(name: str, value: Any) -> tuple[int, int]:
    """The first and the last batch size of a ramp, from `"32:16"` or two numbers."""
    text = ":".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
    try:
        schedule = BatchSchedule.parse(text, 1)
    except UserError:
        raise UserError(f"{name} {value!r} is not two sizes of at least 1: give A:B, for example 32:16") from None
    return schedule.first, schedule.last


def validation_source(name: str, value: Any) -> float | str:
    """A share of the images, from 0 to below 1, the absolute path of a folder or table, or GIVEN_TABLE."""
    if hasattr(value, "columns"):
        return GIVEN_TABLE
    try:
        share = float(value)
    except (TypeError, ValueError, OverflowError):
        if not isinstance(value, (str, os.PathLike)):
            raise UserError(
                f"{name} must be a share such as 0.2, a folder, a table or a pair (images, labels), "
                f"not {described(value)}"
            ) from None
        return str(absolute_path(name, value))
    return real_number(name, value if isinstance(value, bool) else share, 0.0, below=1.0)


def memory_size(name: str, value: Any) -> int:
    """A size in bytes."""
    try:
        return parse_size(value)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def checkpoint_interval(name: str, value: Any) -> tuple[float | None, int | None]:
    """Seconds and steps, of which one is None: `60s` and `2m` are times, a number without a unit counts steps."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(s|m)?", str(value).strip().lower())
    number = float(match[1]) if match else 0.0
    if match and match[2] and number > 0:
        return number * (60 if match[2] == "m" else 1), None
    if number < 1 or not number.is_integer():
        raise UserError(f"{name} {value!r} cannot be read: give a time such as 60s, or a number of steps")
    return None, whole_number(name, int(number), 1)


_UNIT_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def time_span(name: str, value: Any) -> float:
    """A time in seconds, from `90s`, `5m`, `1h` or a number of seconds."""
    text = f"{value:.9f}" if isinstance(value, float) else str(value)  # a float may have more digits, or an exponent
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smh]?)", text.strip().lower())
    seconds = float(match[1]) * _UNIT_SECONDS[match[2]] if match and not isinstance(value, bool) else 0.0
    if seconds <= 0:
        raise UserError(f"{name} {value!r} cannot be read: give a time such as 90s, 5m or 1h, or a number of seconds")
    return seconds


def auto_or_count(name: str, value: Any) -> int | str:
    """`"auto"`, or a whole number of at least 0."""
    if isinstance(value, str) and value.strip().lower() == "auto":
        return "auto"
    if isinstance(value, str):
        if not re.fullmatch("-?[0-9]{1,18}", value):
            raise UserError(f"{name} must be 'auto' or a whole number, not {value!r}")
        value = int(value)
    return whole_number(name, value, 0)


def path_text(name: str, value: Any) -> str:
    """An absolute path as text."""
    return str(absolute_path(name, value))


def audited_run(name: str, value: Any) -> str:
    """The absolute path of a run directory that has an audit log."""
    audit_log = absolute_path(name, value) / "audit.jsonl"
    if not is_file(audit_log):
        raise UserError(
            f"{name} {str(value)!r}: there is no {audit_log.name} in it; give a run that was made with audit"
        )
    return str(audit_log.parent)
