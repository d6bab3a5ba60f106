"""Tells one model function or callback from another: by its code, and by the values that the code uses.

A call with other code is another run, unless only comments or layout differ.
"""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from autofit.api.code_description import Describe
from autofit.api.code_modules import own_sources
from autofit.api.code_text import normal
from autofit.process.launch import import_paths_for
from autofit.protocol.payload import Payload

IN_FULL = " in full"
"""Ends the key of a hash that is made by all rules; the first versions recorded only the one by their own rules."""

IMPORTS = " imports"
"""Ends the key of the hash of the user's own modules that code imports; earlier versions recorded none."""

Described = tuple[Any, frozenset[str]]
"""The description of an object, and the names of the modules that its functions import when they are called."""


def user_code(model: str | None, payload: Payload | None, folders: Sequence[str]) -> dict[str, str]:
    """The hashes of a user's own code in a run, by what it is: `model` and `callbacks`.

    Args:
        model: `module:function`, if the model was given by name.
        payload: the function and the callbacks, if they were given as objects.
        folders: the folders in which the module is looked for.
    """
    found: dict[str, str] = {}
    if payload and payload.model is not None:
        found |= hashes_of("model", [payload.model])
    elif model is not None and ":" in model:
        name = model.partition(":")[0]
        found["model"] = code_of_module(name, folders)
        found |= _imports("model", [name], folders) if found["model"] else {}
    if payload and payload.callbacks:
        found |= hashes_of("callbacks", payload.callbacks)
    return {what: code for what, code in found.items() if code}


def hashes_of(what: str, objects: Sequence[Any]) -> dict[str, str]:
    """The hashes of some objects by the rules of the first versions and by all rules, by their keys in the record."""
    return {what: code_of(objects, in_full=False), f"{what}{IN_FULL}": code_of(objects), **imports_of(what, objects)}


def imports_of(what: str, objects: Sequence[Any]) -> dict[str, str]:
    """The hash of the user's own modules that functions import when they are called, by its key in the record.

    Empty if they import nothing.
    """
    names = frozenset[str]().union(*(_as_given(value, in_full=True)[1] for value in objects))
    return _imports(what, names, import_paths_for(function_given=True, working_folder=Path.cwd()))


def _imports(what: str, names: Collection[str], folders: Sequence[str]) -> dict[str, str]:
    return {f"{what}{IMPORTS}": _sha256(own_sources(sorted(names), folders))} if names else {}


def what_of(key: str) -> str:
    """What a hash in the record is of, such as `model`."""
    return key.removesuffix(IN_FULL).removesuffix(IMPORTS)


def code_of_model(recorded: Mapping[str, str]) -> str:
    """One hash (hex) of all that was recorded of the code of a model."""
    return _sha256({key: code for key, code in recorded.items() if what_of(key).startswith("model")})


def differing(recorded: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What has other code now than was recorded, in alphabetical order; what only one of the two has does not differ.

    Where both have a hash by all rules, the one by the rules of the first versions does not count.
    """
    decided = {what.removesuffix(IN_FULL) for what in recorded.keys() & now.keys() if what.endswith(IN_FULL)}
    changed = {what for what, code in now.items() if recorded.get(what, code) != code}
    return sorted({what_of(key) for key in changed - decided})


def code_of(objects: Sequence[Any], *, in_full: bool = True) -> str:
    """The SHA-256 of the code of some functions, classes or callbacks, and of the values that the code uses.

    A callback is described by its class and by the attributes that hold arguments of its constructor: other attributes
    change while it is used.

    Args:
        objects: the objects.
        in_full: whether by all rules, or by those of the first versions.
    """
    return _sha256([_as_given(value, in_full=in_full)[0] for value in objects])


def as_given(objects: Sequence[Any]) -> list[dict[bool, Described]]:
    """The descriptions of objects, by `in_full`, as they were before a run used them.

    They are as they are now, if anything but that run has changed the objects.
    """
    return [{in_full: _as_given(value, in_full=in_full) for in_full in (False, True)} for value in objects]


def remember_used(objects: Sequence[Any], given: Sequence[dict[bool, Described]]) -> None:
    """Remember objects that a run has used and changed, so that calling again with them is the same request.

    Args:
        objects: the objects after the run: lists have grown, and Keras has changed the sign of a `min_delta`.
        given: what `as_given` returned for them before the run.
    """
    for value, before in zip(objects, given, strict=True):
        with suppress(TypeError):  # not every object can be referred to weakly
            _USED[value] = {
                in_full: (_sha256(_described(value, in_full=in_full)[0]), was) for in_full, was in before.items()
            }


_USED: weakref.WeakKeyDictionary[Any, dict[bool, tuple[str, Described]]] = weakref.WeakKeyDictionary()
"""For each object that a run in this process has used: the hash after the run, and the description before it."""


def _as_given(value: Any, *, in_full: bool) -> Described:
    described = _described(value, in_full=in_full)
    with suppress(TypeError, KeyError):
        left, given = _USED[value][in_full]
        return given if left == _sha256(described[0]) else described
    return described


def _described(value: Any, *, in_full: bool) -> Described:
    describe = Describe(in_full)
    return describe(value), frozenset(describe.imports)


def code_of_module(name: str, folders: Sequence[str]) -> str:
    """The SHA-256 of the code in a module's file, without importing it; empty if no folder has such a file."""
    parts = name.split(".")
    for folder in folders:
        for path in (Path(folder, *parts).with_suffix(".py"), Path(folder, *parts, "__init__.py")):
            try:
                return _sha256(normal(path.read_text(encoding="utf-8")))
            except (OSError, ValueError):
                continue
    return ""


def _sha256(description: Any) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode(errors="backslashreplace")).hexdigest()
