"""Tells one model function or callback from another: by its code, and by the values that the code uses.

A call with other code is another run, unless only comments or layout differ. What is imported from modules is compared
by name alone, since an installed package may be updated. The inspected code is neither called nor imported; only
`get_config` of Keras's own objects is called.
"""

from __future__ import annotations

import ast
import dis
import functools
import hashlib
import inspect
import json
import re
import sys
import sysconfig
import textwrap
import types
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

from autofit.config.given_objects import without_number
from autofit.config.keras_objects import is_a
from autofit.protocol.payload import Payload

MOST_DEPTH = 12
"""How deep nested values are followed."""

_READS_OF_GLOBALS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})  # the last two in class bodies

Describe = Callable[[Any], Any]
PLAIN = (str, int, float, bool, bytes, complex, type(None))
INSTALLED = tuple({sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def user_code(model: str | None, payload: Payload | None, folders: Sequence[str]) -> dict[str, str]:
    """The hashes of a user's own code in a run, by what it is: `model` and `callbacks`.

    Args:
        model: `module:function`, if the model was given by name.
        payload: the function and the callbacks, if they were given as objects.
        folders: the folders in which the module is looked for.
    """
    found = {}
    if payload and payload.model is not None:
        found["model"] = code_of([payload.model])
    elif model is not None and ":" in model:
        found["model"] = code_of_module(model.partition(":")[0], folders)
    if payload and payload.callbacks:
        found["callbacks"] = code_of(payload.callbacks)
    return {what: code for what, code in found.items() if code}


def code_of(objects: Sequence[Any]) -> str:
    """The SHA-256 of the code of some functions, classes or callbacks, and of the values that the code uses.

    A callback is described by its class and by the attributes that are named like parameters of its constructor: other
    attributes change while it is used.
    """
    return _sha256(as_given(objects))


def as_given(objects: Sequence[Any]) -> list[Any]:
    """The descriptions of objects as they were before a run used them, if nothing but that run has changed them."""
    return [_as_given(value) for value in objects]


def remember_used(objects: Sequence[Any], given: Sequence[Any]) -> None:
    """Remember objects that a run has used and changed, so that calling again with them is the same request.

    Args:
        objects: the objects after the run: lists have grown, and Keras has changed the sign of a `min_delta`.
        given: what `as_given` returned for them before the run.
    """
    for value, before in zip(objects, given, strict=True):
        with suppress(TypeError):  # not every object can be referred to weakly
            _USED[value] = (_sha256(_described(value, frozenset(), 0)), before)


_USED: weakref.WeakKeyDictionary[Any, tuple[str, Any]] = weakref.WeakKeyDictionary()
"""For each object that a run in this process has used: the hash after the run, and the description before it."""


def _as_given(value: Any) -> Any:
    described = _described(value, frozenset(), 0)
    with suppress(TypeError, KeyError):
        left, given = _USED[value]
        return given if left == _sha256(described) else described
    return described


def code_of_module(name: str, folders: Sequence[str]) -> str:
    """The SHA-256 of the code in a module's file, without importing it; empty if no folder has such a file."""
    parts = name.split(".")
    for folder in folders:
        for path in (Path(folder, *parts).with_suffix(".py"), Path(folder, *parts, "__init__.py")):
            try:
                return _sha256(_normal(path.read_text(encoding="utf-8")))
            except (OSError, ValueError):
                continue
    return ""


def _sha256(description: Any) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode(errors="backslashreplace")).hexdigest()


def _normal(source: str) -> str:
    """Source code without comments and layout.

    Raises:
        ValueError: the text is not Python source.
    """
    try:
        return ast.unparse(ast.parse(textwrap.dedent(source)))
    except (SyntaxError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _described(value: Any, within: frozenset[int], depth: int) -> Any:
    """A value as JSON, the same in each process."""
    if isinstance(value, PLAIN):
        return repr(value)
    if depth > MOST_DEPTH or id(value) in within:
        return "..."
    describe = functools.partial(_described, within=within | {id(value)}, depth=depth + 1)
    for kind, by in DESCRIBERS.items():
        if isinstance(value, kind):
            return [kind.__name__, by(value, describe)]
    if hasattr(value, "tobytes") and hasattr(value, "dtype"):
        if getattr(value.dtype, "hasobject", False):  # its bytes are addresses, others in each process
            return [f"{value.dtype}{value.shape}", describe(value.tolist())]
        return [f"{value.dtype}{value.shape}", hashlib.sha256(value.tobytes()).hexdigest()]
    return _of_keras(value, describe) or _instance(value, describe, is_given=depth == 0)


def is_installed(module: str) -> bool:
    """Whether a module belongs to Python or to an installed package, which counts by its name."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return module != "__main__" and (file is None or file.startswith(INSTALLED))


def _function(function: types.FunctionType, describe: Describe) -> Any:
    if is_installed(function.__module__ or ""):
        return [function.__module__, function.__qualname__]
    cells = function.__closure__ or ()
    return [
        _code(function),
        describe(function.__defaults__),
        describe(function.__kwdefaults__),
        [describe(cell.cell_contents) for cell in cells if _is_filled(cell)],
        {name: describe(value) for name, value in sorted(_globals_of(function).items())},
    ]


def _is_filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _code(function: types.FunctionType) -> str:
    """The source of a function; its bytecode if the source is not available or several lambdas share a line."""
    try:
        if function.__name__ != "<lambda>":
            return _normal(inspect.getsource(function))
    except (OSError, TypeError, ValueError):
        pass
    return json.dumps(_bytecode(function.__code__))


def _bytecode(code: types.CodeType) -> list[Any]:
    return [code.co_code.hex(), list(code.co_names), list(code.co_varnames), list(map(_constant, code.co_consts))]


def _constant(item: Any) -> Any:
    """A constant of bytecode; a set of texts has another order in each process."""
    if isinstance(item, types.CodeType):
        return _bytecode(item)
    return ["frozenset", *sorted(map(repr, item))] if isinstance(item, frozenset) else repr(item)


def _globals_of(function: types.FunctionType) -> dict[str, Any]:
    """The global values that a function and the functions within it read.

    Names of attributes and of imports inside the function do not count: other cells of the notebook may define globals
    with these names.
    """
    names: set[str] = set()
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        names.update(item.argval for item in dis.get_instructions(code) if item.opname in _READS_OF_GLOBALS)
        codes += [item for item in code.co_consts if isinstance(item, types.CodeType)]
    return {name: function.__globals__[name] for name in names if name in function.__globals__}


def _class(value: type, describe: Describe) -> Any:
    name = [value.__module__, value.__qualname__]
    if is_installed(value.__module__):
        return name
    members = vars(value).items()
    functions = {key: describe(code) for key, item in members if (code := _code_of_member(item)) is not None}
    plain = {key: repr(item) for key, item in members if isinstance(item, str | int | float | bool) and key[:2] != "__"}
    return [*name, functions, plain, [describe(base) for base in value.__bases__ if base is not object]]


def _code_of_member(member: Any) -> Any:
    """The function of a member of a class, or those of a property; None if it has none."""
    if isinstance(member, property):
        return [member.fget, member.fset]
    if isinstance(member, functools.cached_property):
        return member.func
    if isinstance(member, types.FunctionType | staticmethod | classmethod):
        return getattr(member, "__func__", member)
    return None


def _instance(value: Any, describe: Describe, *, is_given: bool) -> Any:
    """The description of an object: its class and what it holds.

    Of an object that was itself given, such as a callback, and of objects of installed packages only the arguments of
    the constructor count: the rest changes while they are used.
    """
    parameters = _parameters(type(value))
    attributes = {**getattr(value, "__dict__", {}), **_fields(value)}
    holds = isinstance(value, types.SimpleNamespace) or type(value).__module__ == "argparse"
    if not is_given and (holds or not is_installed(type(value).__module__)):
        parameters = list(attributes)
    given = {name: attributes[name] for name in parameters if name in attributes}
    functions = {name: item for name, item in attributes.items() if isinstance(item, types.FunctionType)}
    return [
        "object",
        describe(type(value)),
        {name: describe(item) for name, item in sorted({**given, **functions}.items())},
    ]


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass, which may have slots."""
    names = getattr(type(value), "__dataclass_fields__", {})
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _of_keras(value: Any, describe: Describe) -> Any:
    """The description of an object of one of Keras's own classes by its configuration; None for any other object.

    Layers and networks are described by their layers, not by the values of their weights.
    """
    kind = type(value)
    if kind.__module__.partition(".")[0] != "keras" or not is_installed(kind.__module__):
        return None
    try:
        if is_a(value, "Layer"):
            from autofit.worker.model.network_hash import network_sha256  # noqa: PLC0415 - Keras is imported by now

            return ["keras", kind.__qualname__, network_sha256(value)]
        return ["keras", kind.__qualname__, describe(_without_numbers(value.get_config()))]
    except Exception:  # noqa: BLE001 - it has no settings, or a part of the user's own in it fails
        return None


def _without_numbers(config: Any) -> Any:
    """A configuration in which names lack the number that Keras appends to the name of a class's second object."""
    if not isinstance(config, dict):
        return config
    return {
        key: without_number(item) if key == "name" and isinstance(item, str) else _without_numbers(item)
        for key, item in config.items()
    }


def _parameters(kind: type) -> list[str]:
    try:
        return list(inspect.signature(kind).parameters)
    except (TypeError, ValueError):
        return []


DESCRIBERS: Mapping[type, Callable[[Any, Describe], Any]] = {
    types.ModuleType: lambda module, _: module.__name__,
    types.BuiltinFunctionType: lambda function, _: function.__qualname__,
    types.FunctionType: _function,
    types.MethodType: lambda method, describe: [describe(method.__func__), describe(method.__self__)],
    functools.partial: lambda made, describe: [describe(made.func), describe(made.args), describe(made.keywords)],
    type: _class,
    PurePath: lambda path, _: str(path),
    range: lambda numbers, _: repr(numbers),
    re.Pattern: lambda pattern, _: repr(pattern),
    Enum: lambda member, describe: [describe(type(member)), member.name],
    dict: lambda items, describe: [[repr(key), describe(item)] for key, item in items.items()],
    list: lambda items, describe: [describe(item) for item in items],
    tuple: lambda items, describe: [describe(item) for item in items],
    set: lambda items, describe: sorted(json.dumps(describe(item)) for item in items),
    frozenset: lambda items, describe: sorted(json.dumps(describe(item)) for item in items),
}
