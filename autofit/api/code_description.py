"""Describes a user's functions, classes and objects as JSON: by their code, and by the values that the code uses.

What is imported from installed packages is described by its name alone, since these may be updated. What a function
imports when it is called is no part of its description, but is listed (`Describe.imports`). The inspected code is
neither called nor imported; only `get_config` of Keras's objects is called.

A run keeps two hashes of each description. The first is made by the rules of the first versions and stays as it is, so
that runs which have no other one can be resumed; the second is made by all rules (`Describe.in_full`).
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePath
from typing import Any

from autofit.api.code_modules import imports_in
from autofit.api.code_text import code_text, global_reads, set_to_parameters
from autofit.config.given_objects import without_number
from autofit.config.keras_objects import is_a
from autofit.protocol.callback_state import LEFT_BY_FIT
from autofit.protocol.object_state import INSTALLED, is_installed, is_of_keras
from autofit.worker.model.sent_model import SentModel

MOST_DEPTH = 12
"""How deep nested values are followed."""

PLAIN = (str, int, float, bool, bytes, complex, type(None))
HELD_BY_CLASSES = (*PLAIN, tuple, list, dict, set, frozenset, range, PurePath, Enum, type)


@dataclass(frozen=True)
class Describe:
    """Describes a value as JSON, the same in each process.

    Attributes:
        in_full: whether by all rules, or by those of the first versions.
        imports: gathers the names of the modules that the described functions import when they are called.
        within: the `id` of each object that this one is held by.
        depth: how many these are.
    """

    in_full: bool
    imports: set[str] = field(default_factory=set)
    within: frozenset[int] = frozenset()
    depth: int = 0

    def __call__(self, value: Any) -> Any:
        """The description of a value."""
        if isinstance(value, PLAIN):
            return repr(value)
        if self.depth > MOST_DEPTH or id(value) in self.within:
            return "..."
        describe = Describe(self.in_full, self.imports, self.within | {id(value)}, self.depth + 1)
        for kind, by in DESCRIBERS.items():
            if isinstance(value, kind):
                return [kind.__name__, by(value, describe)]
        if hasattr(value, "tobytes") and hasattr(value, "dtype"):
            if getattr(value.dtype, "hasobject", False):  # its bytes are addresses, others in each process
                return [f"{value.dtype}{value.shape}", describe(value.tolist())]
            return [f"{value.dtype}{value.shape}", hashlib.sha256(value.tobytes()).hexdigest()]
        return _of_keras(value, describe) or _instance(value, describe, is_given=self.depth == 0)


def _function(function: types.FunctionType, describe: Describe) -> Any:
    if is_installed(function.__module__ or ""):
        return [function.__module__, function.__qualname__]
    cells = function.__closure__ or ()
    describe.imports.update(imports_in(function.__code__, str(function.__globals__.get("__package__") or "")))
    return [
        code_text(function, unwraps=not describe.in_full),
        describe(function.__defaults__),
        describe(function.__kwdefaults__),
        [describe(cell.cell_contents) for cell in cells if _is_filled(cell)],
        {name: describe(value) for name, value in sorted(_used_by(function, describe).items())},
    ]


def _is_filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _used_by(function: types.FunctionType, describe: Describe) -> dict[str, Any]:
    """The global values that a function and the functions within it read; in full, of the user's own modules too.

    Names of attributes and of imports inside the function do not count here: other cells of the notebook may define
    globals with these names.
    """
    found: dict[str, Any] = {}
    for name, *attributes in global_reads(function.__code__):
        if name in function.__globals__:
            found[name] = function.__globals__[name]
            found |= _of_own_module(name, found[name], attributes) if describe.in_full else {}
    return found


def _of_own_module(name: str, value: Any, attributes: Sequence[str]) -> dict[str, Any]:
    """What a read such as `nets.blocks.build` finds in the user's own modules, by that name."""
    for attribute in attributes:
        if not (isinstance(value, types.ModuleType) and _is_own(value) and hasattr(value, attribute)):
            break
        name, value = f"{name}.{attribute}", getattr(value, attribute)
    return {name: value}


def _is_own(module: types.ModuleType) -> bool:
    """Whether a module belongs to no installed package; a folder without `__init__.py` is a module without a file."""
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    found = next((place for place in places if place), None)
    return found is not None and not found.startswith(INSTALLED)


def _class(value: type, describe: Describe) -> Any:
    name = [value.__module__, value.__qualname__]
    if is_installed(value.__module__):
        return name
    members = vars(value).items()
    functions = {key: describe(code) for key, item in members if (code := _code_of_member(item)) is not None}
    plain = {key: repr(item) for key, item in members if isinstance(item, str | int | float | bool) and key[:2] != "__"}
    held = {key: describe(item) for key, item in sorted(_held(value).items())} if describe.in_full else plain
    return [*name, functions, held, [describe(base) for base in value.__bases__ if base is not object]]


def _held(value: type) -> dict[str, Any]:
    """The values that a class holds, without what Python sets there; of an enumeration, those of its members."""
    if issubclass(value, Enum):
        return {member.name: member.value for member in value}
    members = {key: item for key, item in vars(value).items() if key[:2] != "__"}
    return {key: item for key, item in members.items() if isinstance(item, HELD_BY_CLASSES) or hasattr(item, "tobytes")}


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
    is_own = not is_installed(type(value).__module__)
    if not is_given and (holds or is_own):
        parameters = list(attributes)
    elif describe.in_full and is_own:
        parameters = _of_parameters(type(value), attributes, parameters)
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
    if describe.in_full and isinstance(value, SentModel):
        return ["network", value.graph]
    kind = type(value)
    if kind.__module__.partition(".")[0] != "keras" or not is_installed(kind.__module__):
        return _own_of_keras(value, describe) if describe.in_full and _is_configured(value) else None
    try:
        if is_a(value, "Layer"):
            return ["keras", kind.__qualname__, _network(value, describe)]
        return ["keras", kind.__qualname__, describe(_without_numbers(value.get_config()))]
    except Exception:  # noqa: BLE001 - it has no settings, or a part of the user's own in it fails
        return None


def _is_configured(value: Any) -> bool:
    """Whether an object is of a class of the user's own that inherits from one of Keras's with a configuration."""
    return hasattr(value, "get_config") and any(map(is_of_keras, type(value).__mro__))


def _own_of_keras(value: Any, describe: Describe) -> Any:
    """The description of a layer, loss, metric or the like of the user's own: its class, settings and arguments.

    What else it holds is made by Keras, such as weights and a name with a number, and is other in each object.
    """
    try:
        config = describe(_without_numbers(value.get_config()))
    except Exception:  # noqa: BLE001 - it has no settings, or those that it has fail
        config = None
    attributes = {
        name: item for name, item in getattr(value, "__dict__", {}).items() if name.strip("_") not in {"name", "kwargs"}
    }
    kept = sorted(_of_parameters(type(value), attributes, _parameters(type(value))))
    network = _network(value, describe) if is_a(value, "Layer") else None
    return ["keras", describe(type(value)), config, network, {name: describe(attributes[name]) for name in kept}]


def _network(layer: Any, describe: Describe) -> str:
    from autofit.worker.model.network_hash import graph_sha256, network_sha256  # noqa: PLC0415 - has imported Keras

    return graph_sha256(layer) if describe.in_full else network_sha256(layer)


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


def _of_parameters(kind: type, attributes: Mapping[str, Any], parameters: Sequence[str]) -> list[str]:
    """The attributes that hold arguments of the constructor: named like one, but for `_`, or set to one as it came.

    `_model` is where Keras puts the network that a callback acts on.
    """
    names = {name.strip("_") for name in parameters}
    assigned = {attribute for each in kind.__mro__ for attribute in _set_by(each)}
    alike = {name for name in attributes if name.strip("_") in names or name in assigned}
    return sorted(alike - LEFT_BY_FIT.keys())


def _set_by(kind: type) -> Iterator[str]:
    made = vars(kind).get("__init__")
    if isinstance(made, types.FunctionType) and not is_installed(kind.__module__):
        yield from set_to_parameters(made)


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
