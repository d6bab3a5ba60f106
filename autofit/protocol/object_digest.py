"""Tells whether an object that a checkpoint cannot keep has changed: by the numbers, text and variables in it."""

from __future__ import annotations

import hashlib
import types
from collections import deque
from typing import Any

from autofit.protocol.object_state import MOST_DEPTH, PLAIN, is_own_class, variables_of


def digest(value: Any, known: frozenset[int]) -> str:
    """A hash (hex) of what an object holds, as far as it is of the user's own classes or has variables.

    Args:
        value: the object.
        known: the `id` of each variable that does not count, since something else keeps it.
    """
    found = hashlib.blake2b()
    _feed(found, value, known, set(), 0)
    return found.hexdigest()


def _feed(found: Any, value: Any, known: frozenset[int], met: set[int], depth: int) -> None:
    if isinstance(value, PLAIN):
        found.update(repr(value).encode(errors="backslashreplace"))
        return
    if depth > MOST_DEPTH or id(value) in met:
        return
    met.add(id(value))
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        found.update(_bytes(value))
        return
    for part in _parts(value, known):
        found.update(b",")
        _feed(found, part, known, met, depth + 1)


def _parts(value: Any, known: frozenset[int]) -> list[Any]:
    """What counts of an object that is neither a plain value nor an array."""
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value)) if all(isinstance(item, PLAIN) for item in value) else [len(value)]
    if isinstance(value, list | tuple | deque):
        return list(value)
    if (variables := variables_of(value)) is not None:
        return [each for each in variables if id(each) not in known]
    if isinstance(value, types.MethodType):
        return [value.__self__]
    averages = getattr(value, "_averages", None)  # of TensorFlow's ExponentialMovingAverage, as of 2.21
    is_own = is_own_class(type(value)) and hasattr(value, "__dict__")
    held = value if isinstance(value, dict) else vars(value) if is_own else averages
    items = held.items() if isinstance(held, dict) else ()
    return [part for key, item in items for part in (key, item) if part is item or isinstance(key, PLAIN)]


def _bytes(value: Any) -> bytes:
    import numpy as np  # noqa: PLC0415 - only where there is an array

    try:
        array = np.asarray(value)
    except Exception:  # noqa: BLE001 - a tensor of a graph has no numbers
        return b""
    return b"" if array.dtype.hasobject else array.tobytes()
