"""Checks of single values: each returns the value in one form, or raises one line that says what to give instead."""

from __future__ import annotations

import difflib
import importlib.util
import operator
import os
import re
from collections.abc import Iterable, Sized
from numbers import Integral
from pathlib import Path
from typing import Any

from autofit.errors import UserError

MAX_COUNT = 2**31 - 1


def whole_number(name: str, value: Any, least: int, most: int = MAX_COUNT) -> int:
    """Check a whole number of Python, NumPy or another library; return it as an int.

    Raises:
        UserError: it is no such number, or out of bounds.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise UserError(f"{name} must be a whole number, not {value!r}") from None
    if isinstance(value, bool):
        raise UserError(f"{name} must be a whole number, not {value!r}")
    if not least <= number <= most:
        raise UserError(f"{name} must be from {least} to {most}, not {number}")
    return number


def auto_or_whole_number(name: str, value: Any) -> int | None:
    """Check a whole number of at least 1; return None for `"auto"` and None.

    Raises:
        UserError: it is neither.
    """
    if value is None or (isinstance(value, str) and value.lower() == "auto"):
        return None
    if isinstance(value, str):
        if not re.fullmatch("-?[0-9]{1,18}", value):
            raise UserError(f"{name} must be 'auto' or a whole number, not {value!r}")
        value = int(value)
    return whole_number(name, value, 1)


def real_number(name: str, value: Any, least: float, *, below: float = float("inf"), exclusive: bool = False) -> float:
    """Check a finite number from `least` (above it if `exclusive`) to `below` (excluded); return it as a float.

    Raises:
        UserError: it is no such number, or out of bounds.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{name} must be a number, not {value!r}") from None
    inside = least < number < below if exclusive else least <= number < below
    if isinstance(value, bool) or not inside:
        limit = f" and under {below:g}" if below != float("inf") else " and finite"
        raise UserError(f"{name} must be {'over' if exclusive else 'at least'} {least:g}{limit}, not {value!r}")
    return number


def share(name: str, value: Any) -> float:
    """Check a number from 0 to 1, both included; return it as a float.

    Raises:
        UserError: it is no such number.
    """
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not 0 <= number <= 1:
        raise UserError(f"{name} must be a number from 0 to 1, not {value!r}")
    return number


def flag(name: str, value: Any) -> bool:
    """Check that a value is True or False.

    Raises:
        UserError: it is neither.
    """
    if not isinstance(value, bool):
        raise UserError(f"{name} must be True or False, not {value!r}")
    return value


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    """Check that a value is one of the allowed words; return it in lower case.

    Raises:
        UserError: it is none of them; the message names the nearest word, or all.
    """
    text = str(value).lower()
    if text in allowed:
        return text
    near = difflib.get_close_matches(text, allowed, n=1)
    hint = f"did you mean {near[0]}?" if near else f"give one of {', '.join(allowed)}"
    raise UserError(f"{name} {value!r} is not known: {hint}")


def described(value: Any) -> str:
    """A value as text for a message: of a container or an array only its type and size, as its content may be long."""
    if value is None or isinstance(value, str | bytes | int | float | os.PathLike):
        return repr(value)[:200]
    size = f" of {len(value)}" if isinstance(value, Sized) and getattr(value, "ndim", 1) != 0 else ""
    return f"a {type(value).__name__}{size}"


def several(value: Any) -> list[Any]:
    """The values of an option that may be one value, a list, or a text with commas; no values for None."""
    if value is None:
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return list(value) if isinstance(value, Iterable) else [value]


def is_pair(value: Any) -> bool:
    """Whether a value is a tuple of two whole numbers, such as (height, width)."""
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(side, Integral) for side in value)  # noqa: PLR2004


def absolute_path(name: str, value: Any) -> Path:
    """Return a path as an absolute one, so that it means the same in whichever folder a run is resumed.

    Raises:
        UserError: it cannot be used as a path, or it is empty. An empty path, such as that of a shell variable that is
            not set, would mean the current folder.
    """
    if isinstance(value, str) and not value.strip():
        raise UserError(f"{name} is empty: give a path, or leave it out")
    try:
        path = Path(value).expanduser().absolute()
        str(path).encode()  # run.json could not hold a name that is not UTF-8
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{name} {value!r} cannot be used as a path ({error}): give another") from None
    return path


def is_file(path: Path) -> bool:
    """Whether there is a file; False also for a path that no file can have."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises if a name is too long


def is_installed(module: str) -> bool:
    """Whether a module can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # ValueError: a module that a program created has no spec
        return False
