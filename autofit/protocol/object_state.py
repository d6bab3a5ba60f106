"""Packs Python values as JSON and arrays, and puts them back into existing objects: data, never code.

Containers, arrays and objects are filled in place, so that other references to them see the values too. An instance of
a user's class is never created: only the attributes of an existing one are set.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

PLAIN = (bool, int, float, str, type(None))
SEQUENCES: Mapping[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque}
MOST_DEPTH = 12
MOST_TEXT_BYTES = 4 * 2**20
"""The most JSON that one packer makes."""

Arrays = dict[str, Any]


class UnkeepableError(Exception):
    """Raised for a value that is neither plain, nor an array, nor a container or object of these; or is too large."""


class Packer:
    """Packs values one after another.

    Args:
        most_array_bytes: the bound on the size of all arrays together.

    Attributes:
        arrays: the NumPy arrays of the packed values, by the names that these contain.
    """

    def __init__(self, most_array_bytes: int) -> None:
        self.arrays: Arrays = {}
        self._bytes_left, self._text_left = most_array_bytes, MOST_TEXT_BYTES

    def pack(self, value: Any) -> Any:
        """A value as JSON; its arrays are added to `arrays`.

        Raises:
            UnkeepableError: the value cannot be packed; no part of it was.
        """
        before = dict(self.arrays), self._bytes_left
        try:
            packed = self._packed(value, 0)
            size = self._counted(packed)
        except (UnkeepableError, ValueError, TypeError, RecursionError) as error:
            self.arrays, self._bytes_left = before
            raise UnkeepableError(str(error)) from error
        self._text_left -= size
        return packed

    def _counted(self, packed: Any) -> int:
        size = len(json.dumps(packed))
        if size > self._text_left:
            raise UnkeepableError("it is too large")
        return size

    def _packed(self, value: Any, depth: int) -> Any:
        if depth > MOST_DEPTH:
            raise UnkeepableError("it is nested too deeply")
        if type(value) in PLAIN:
            return value
        for name, kind in SEQUENCES.items():
            if type(value) is kind:
                return {name: [self._packed(item, depth + 1) for item in value]}
        if isinstance(value, dict):
            return {"dict": [[self._packed(part, depth + 1) for part in item] for item in value.items()]}
        if hasattr(value, "dtype") and hasattr(value, "shape"):
            return self._array(value)
        if getattr(type(value), "__module__", "builtins") != "builtins" and _is_plain_object(value):
            return {"object": {name: self._packed(item, depth + 1) for name, item in vars(value).items()}}
        raise UnkeepableError(f"a {type(value).__name__} is no plain value")

    def _array(self, value: Any) -> Any:
        import numpy as np  # noqa: PLC0415 - only where there is an array

        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise UnkeepableError(f"an array of {array.dtype} is no array of numbers")
        if array.nbytes > self._bytes_left:
            raise UnkeepableError("it is too large")
        self._bytes_left -= array.nbytes
        name = f"{len(self.arrays):05d}"
        self.arrays[name] = np.array(array)
        return {"scalar" if isinstance(value, np.generic) else "array": name}


def _is_plain_object(value: Any) -> bool:
    """Whether the attributes of an object are its whole state: it is no function, open file or object of Keras."""
    root = type(value).__module__.partition(".")[0]
    stays = root in {"keras", "tensorflow", "threading", "logging", "io"} or callable(value) or hasattr(value, "fileno")
    return hasattr(value, "__dict__") and not stays


def filled(existing: Any, packed: Any, arrays: Mapping[str, Any], used: set[int] | None = None) -> Any:
    """Unpack a value: into `existing` if that is a container, array or object of the same kind, else as a new value.

    Args:
        existing: the value that is there now, or None.
        packed: what a `Packer` made.
        arrays: the arrays that `packed` names.
        used: the `id` of each object that was filled already: one that occurs in two places is filled once.

    Raises:
        ValueError: `packed` is damaged, or holds an object for which no existing one is there to be filled.
    """
    if not isinstance(packed, dict):
        return packed
    (kind, content), *more = packed.items()
    if more:
        raise ValueError("a packed value has more than one kind")
    used = set() if used is None else used
    if id(existing) in used:
        existing = None
    elif existing is not None:
        used.add(id(existing))
    if kind in {"array", "scalar"}:
        return _filled_array(existing, arrays[content]) if kind == "array" else arrays[content][()]
    if kind == "dict":
        return _filled_dict(existing, content, arrays, used)
    if kind == "object":
        return _filled_object(existing, content, arrays, used)
    old = list(existing) if isinstance(existing, list | tuple | deque) else []
    items = [filled(old[at] if at < len(old) else None, item, arrays, used) for at, item in enumerate(content)]
    made = SEQUENCES[kind](items)
    if type(existing) is not SEQUENCES[kind] or not hasattr(existing, "clear"):
        return made
    existing.clear()
    (existing.update if isinstance(existing, set) else existing.extend)(items)
    return existing


def _filled_array(existing: Any, array: Any) -> Any:
    if hasattr(existing, "assign") and tuple(existing.shape) == array.shape:  # a variable
        existing.assign(array)
        return existing
    is_alike = getattr(existing, "shape", None) == array.shape and getattr(existing, "dtype", None) == array.dtype
    if is_alike and getattr(getattr(existing, "flags", None), "writeable", False):
        existing[...] = array
        return existing
    return array


def _filled_dict(existing: Any, content: Any, arrays: Mapping[str, Any], used: set[int]) -> Any:
    old = dict(existing) if isinstance(existing, dict) else {}
    pairs = [(filled(None, key, arrays), value) for key, value in content]
    made = {key: filled(old.get(key), value, arrays, used) for key, value in pairs}
    if not isinstance(existing, dict):
        return made
    existing.clear()
    existing.update(made)
    return existing


def _filled_object(existing: Any, content: Mapping[str, Any], arrays: Mapping[str, Any], used: set[int]) -> Any:
    if not hasattr(existing, "__dict__") or not _is_plain_object(existing):
        raise ValueError("there is no object to fill")
    for name, value in content.items():
        setattr(existing, name, filled(vars(existing).get(name), value, arrays, used))
    return existing
