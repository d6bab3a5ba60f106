"""Packs Python values as JSON and arrays, and puts them back into existing objects: data, never code.

Containers, arrays and objects are filled in place, so that other references to them see the values too. An instance of
a user's class is never created: only the attributes of an existing one are set. Of an object with variables, such as a
layer, the values of these are packed; of a method, the object that it belongs to.
"""

from __future__ import annotations

import json
import sys
import sysconfig
import types
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

PLAIN = (bool, int, float, str, type(None))
SEQUENCES: Mapping[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque}
INSTALLED = tuple({sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})
MOST_DEPTH = 12
MOST_TEXT_BYTES = 4 * 2**20
"""The most JSON that one packer makes."""

Arrays = dict[str, Any]


def is_installed(module: str) -> bool:
    """Whether a module belongs to Python or to an installed package."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return module != "__main__" and (file is None or file.startswith(INSTALLED))


def is_of_keras(kind: type) -> bool:
    """Whether a class is Keras's own."""
    return kind.__module__.partition(".")[0] in {"keras", "tf_keras"}


class UnkeepableError(Exception):
    """Raised for a value that is neither plain, nor an array, nor a container or object of these; or is too large."""


class Packer:
    """Packs values one after another.

    Args:
        most_array_bytes: the bound on the size of all arrays together.
        known: the `id` of each variable that is not packed, since something else keeps it.

    Attributes:
        arrays: the NumPy arrays of the packed values, by the names that these contain.
    """

    def __init__(self, most_array_bytes: int, known: frozenset[int] = frozenset()) -> None:
        self.arrays: Arrays = {}
        self._known = known
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
        return self._object(value, depth + 1)

    def _object(self, value: Any, depth: int) -> Any:
        if isinstance(value, types.MethodType):
            return {"self": self._packed(value.__self__, depth)}
        if (variables := variables_of(value)) is not None:
            return {"variables": [None if id(each) in self._known else self._array(each) for each in variables]}
        if not _is_plain_object(value):
            raise UnkeepableError(f"a {type(value).__name__} is no plain value")
        return {"object": {name: self._packed(item, depth) for name, item in vars(value).items()}}

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


def variables_of(value: Any) -> list[Any] | None:
    """The variables of a layer, network or metric of Keras, or of a class that inherits from one; else None."""
    if not any(map(is_of_keras, type(value).__mro__)) or isinstance(value, type):
        return None
    found = getattr(value, "variables", None)
    return list(found) if isinstance(found, list | tuple) else None


def is_own_class(kind: type) -> bool:
    """Whether a class is the user's own, and inherits from none of Keras's."""
    return not is_installed(kind.__module__) and not any(map(is_of_keras, kind.__mro__))


def _is_plain_object(value: Any) -> bool:
    """Whether the attributes of an object are its whole state: it is no function, open file or object of Keras."""
    root = type(value).__module__.partition(".")[0]
    is_known = root in {"builtins", "keras", "tensorflow", "threading", "logging", "io"}
    stays = is_known or hasattr(value, "fileno")
    runs = callable(value) and (isinstance(value, type | types.FunctionType) or not is_own_class(type(value)))
    return hasattr(value, "__dict__") and not stays and not runs


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
    if kind in FILLED_BY:
        return FILLED_BY[kind](existing, content, arrays, used)
    return _filled_sequence(kind, existing, content, arrays, used)


def _filled_sequence(kind: str, existing: Any, content: Any, arrays: Mapping[str, Any], used: set[int]) -> Any:
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


def _filled_method(existing: Any, content: Any, arrays: Mapping[str, Any], used: set[int]) -> Any:
    if not isinstance(existing, types.MethodType):
        raise ValueError("there is no method whose object could be filled")  # noqa: TRY004 - what was packed is wrong
    filled(existing.__self__, content, arrays, used)
    return existing


def _filled_variables(existing: Any, content: Sequence[Any], arrays: Mapping[str, Any], used: set[int]) -> Any:
    del used
    variables = variables_of(existing)
    if variables is None or len(variables) != len(content):
        raise ValueError("there are no such variables to set")
    for variable, packed in zip(variables, content, strict=True):
        if packed is not None:
            variable.assign(arrays[packed["array"]])
    return existing


FILLED_BY: Mapping[str, Callable[[Any, Any, Mapping[str, Any], set[int]], Any]] = {
    "dict": _filled_dict,
    "object": _filled_object,
    "self": _filled_method,
    "variables": _filled_variables,
}
