"""The state of a Keras callback: what it needs to go on in another process, and what its caller sees at the end.

For Keras's own callbacks a table lists the attributes that are state. A user's callback gives its state by
`get_state()`, if it has that method; else the state is its attributes, and the containers and counters that its
functions share with the code around them: of
`LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(logs["loss"]))` the state is `losses`.
"""

from __future__ import annotations

import copy
import dis
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from autofit.protocol.object_state import INSTALLED, Packer, UnkeepableError, filled, is_of_keras, is_own_class

KEPT_OF_KERAS: Mapping[str, tuple[str, ...]] = {
    "Callback": (),
    "CSVLogger": ("keys",),
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    "History": ("epoch", "history"),
    "LambdaCallback": (),
    "LearningRateScheduler": (),
    "ModelCheckpoint": ("best", "_batches_seen_since_last_saving", "_last_batch_seen", "_current_epoch"),
    "MonitorCallback": (),
    "ProgbarLogger": (),
    "ReduceLROnPlateau": ("best", "wait", "cooldown_counter"),
    "RemoteMonitor": (),
    "SwapEMAWeights": ("_ema_weights_in_model",),
    "TensorBoard": ("_global_train_batch", "_global_test_batch"),
    "TerminateOnNaN": (),
}
"""The attributes of Keras's callbacks that change from epoch to epoch. All others are settings, or are set anew by
`on_train_begin`. A setting must not be restored: the sign of `min_delta`, which Keras flips once in a process, would be
flipped twice."""

LEFT_BY_FIT: Mapping[str, Callable[[], Any]] = {
    "_model": lambda: None,
    "csv_file": lambda: None,
    "writer": lambda: None,
    "_writers": dict,
}
"""Attributes that `fit` sets on Keras's callbacks (model, closed files, summary writers), with their initial values."""

WEIGHTS = "best_weights"
"""The attribute that holds all weights of a model, as `get_weights()` gives them."""

SETS_THE_RATE = frozenset({"LearningRateScheduler", "ReduceLROnPlateau"})
MUTABLE = (list, dict, set, deque)


def rate_setter(callback: Any) -> str | None:
    """The name of Keras's callback, which this one is or inherits from, that sets the learning rate; else None.

    Keras lets nobody set it where it has a schedule.
    """
    kinds = {kind.__name__ for kind in type(callback).__mro__ if is_of_keras(kind)}
    return min(kinds & SETS_THE_RATE, default=None)


def as_new(callback: Any) -> Any:
    """A copy of one of Keras's own callbacks without what an earlier `fit` left in it; any other callback as it is."""
    held = vars(callback) if is_of_keras(type(callback)) else {}
    left = [name for name in LEFT_BY_FIT if held.get(name)]
    if not left:
        return callback
    made = copy.copy(callback)
    vars(made).update({name: LEFT_BY_FIT[name]() for name in left})
    return made


def parts_of(callback: Any) -> dict[str, Any]:
    """The state of a callback without `get_state()`: its values by name; those of its functions as `function.name`."""
    settings = _settings(callback)
    attributes = {name: value for name, value in vars(callback).items() if name not in settings}
    kept = {name: value for name, value in attributes.items() if not isinstance(value, types.FunctionType)}
    return {**kept, **{name: value for name, value, _ in _shared(callback)}}


def _settings(callback: Any) -> set[str]:
    """The attributes that Keras's methods assign and that are not state; a checkpoint may not set them."""
    kinds = [kind for kind in type(callback).__mro__ if is_of_keras(kind)]
    kept = {name for kind in kinds for name in _kept(kind)}
    return {name for kind in kinds for name in _assigned(kind)} - kept


def unknown_of_keras(callback: Any) -> bool:
    """Whether a callback is of a class of Keras that the table does not know."""
    return any(is_of_keras(kind) and kind.__name__ not in KEPT_OF_KERAS for kind in type(callback).__mro__)


def packed_parts(
    callback: Any, packer: Packer, skipped: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], set[str]]:
    """The packed state of a callback without `get_state()`, and the names of the values that cannot be packed."""
    found: dict[str, Any] = {}
    unkeepable: set[str] = set()
    for name, value in parts_of(callback).items():
        if name in skipped:
            continue
        try:
            found[name] = packer.pack(value)
        except UnkeepableError:
            unkeepable.add(name)
    return found, unkeepable


def restored(callback: Any, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> list[str]:
    """Restore a callback's state from a checkpoint; returns what could not be restored, as `Class.attribute`.

    Raises:
        Exception: whatever the callback's `set_state()` raises.
    """
    name = type(callback).__name__
    failed = set_parts(callback, state.get("parts", {}), arrays)
    if "asked" in state and hasattr(callback, "set_state"):
        callback.set_state(filled(None, state["asked"], arrays))
    return [f"{name}.{part}" for part in [*map(str, state.get("lost", [])), *sorted(failed)]]


def set_parts(callback: Any, parts: Mapping[str, Any], arrays: Mapping[str, Any]) -> set[str]:
    """Set a callback's values to the packed ones; returns the names of those that could not be set."""
    shared = {name: (value, put) for name, value, put in _shared(callback)}
    settings, failed = _settings(callback), set()
    for name, packed in parts.items():
        try:
            if name in shared:
                value, put = shared[name]
                put(filled(value, packed, arrays))
            elif name in settings:
                failed.add(name)
            elif name in vars(callback) or name.isidentifier():
                setattr(callback, name, filled(vars(callback).get(name), packed, arrays))
        except (ValueError, KeyError, TypeError, AttributeError):
            failed.add(name)
    return failed


def _kept(kind: type) -> tuple[str, ...]:
    return KEPT_OF_KERAS.get(kind.__name__, ())


def _assigned(kind: type) -> Iterator[str]:
    """The names of the attributes that the methods of a class assign."""
    for member in vars(kind).values():
        function = getattr(member, "fset", None) or getattr(member, "__wrapped__", member)
        if isinstance(function, types.FunctionType):
            for step in dis.get_instructions(function):
                if step.opname == "STORE_ATTR":
                    yield str(step.argval)


def _functions(callback: Any) -> Iterator[types.FunctionType]:
    """The functions of a callback that a user has written: among its attributes, and the methods of its classes."""
    members = [value for kind in type(callback).__mro__ if not is_of_keras(kind) for value in vars(kind).values()]
    for value in [*vars(callback).values(), *members]:
        function = getattr(value, "__func__", value)
        if isinstance(function, types.FunctionType) and not function.__code__.co_filename.startswith(INSTALLED):
            yield function


def _shared(callback: Any) -> Iterator[tuple[str, Any, Any]]:
    """The variables that functions share with the code around them, each once: name, value, and a function to set it.

    These are variables that hold containers or objects of the user's own classes, and those that the functions assign
    by `nonlocal` or `global`; and the objects that have been given in place of functions, or whose methods have been.
    Several with the same name, as two lambdas may have, are numbered in their order.
    """
    met: dict[str, list[Any]] = {}
    for name, place, value, put in _each_shared(callback):
        known = met.setdefault(name, [])
        if place not in known:
            known.append(place)
            yield name if len(known) == 1 else f"{name} ({len(known)})", value, put


def _each_shared(callback: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    """As `_shared`, but once for each function that uses the variable; the second item identifies the variable."""
    for name in sorted(_settings(callback) & vars(callback).keys()):
        value = vars(callback)[name]
        acts = getattr(value, "__self__", value if callable(value) else None)
        if acts is not callback and is_own_class(type(acts)):
            yield f"{name}.{type(acts).__name__}", id(acts), acts, _stays
    for function in _functions(callback):
        code = function.__code__
        assigned = {str(step.argval) for step in dis.get_instructions(function) if step.opname.startswith("STORE_")}
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if _is_state(cell, name in assigned):
                yield f"{function.__name__}.{name}", id(cell), cell.cell_contents, _cell_setter(cell)
        for name in code.co_names:
            value = function.__globals__.get(name)
            if _is_mutable(value) or (name in _stored_globals(function) and name in function.__globals__):
                place = id(function.__globals__), name
                yield f"{function.__name__}.{name}", place, value, _global_setter(function, name)


def _is_state(cell: types.CellType, is_assigned: bool) -> bool:  # noqa: FBT001 - a fact about the cell
    """Whether a closure's variable is state: a container, or a plain value that the function assigns."""
    try:
        return _is_mutable(cell.cell_contents) or (is_assigned and not callable(cell.cell_contents))
    except ValueError:  # the variable has no value yet
        return False


def _is_mutable(value: Any) -> bool:
    is_object = hasattr(value, "__dict__") and not isinstance(value, type | types.FunctionType | types.ModuleType)
    return isinstance(value, MUTABLE) or (is_object and is_own_class(type(value)))


def _stays(value: Any) -> None:
    """In place of a function that sets a variable: the object that it holds has been filled and stays."""
    del value


def _stored_globals(function: types.FunctionType) -> set[str]:
    return {str(step.argval) for step in dis.get_instructions(function) if step.opname == "STORE_GLOBAL"}


def _cell_setter(cell: types.CellType) -> Any:
    return lambda value: setattr(cell, "cell_contents", value)


def _global_setter(function: types.FunctionType, name: str) -> Any:
    return lambda value: function.__globals__.__setitem__(name, value)
