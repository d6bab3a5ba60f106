"""The state of a Keras callback: what it needs to go on in another process, and what its caller sees at the end.

Of Keras's own callbacks a table says what that is. A user's callback is asked by `get_state()` where it has that; else
it is its attributes, and the containers and counters that its functions share with the code around them: of
`LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(logs["loss"]))` the state is `losses`.
"""

from __future__ import annotations

import copy
import dis
import sysconfig
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from autofit.protocol.object_state import Packer, UnkeepableError, filled

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
"""The attributes of Keras's callbacks that change from epoch to epoch. What is not among them is a setting, or is made
anew by `on_train_begin`: a restored `min_delta`, whose sign Keras turns once in a process, would be turned twice."""

LEFT_BY_FIT: Mapping[str, Callable[[], Any]] = {
    "_model": lambda: None,
    "csv_file": lambda: None,
    "writer": lambda: None,
    "_writers": dict,
}
"""What Keras's callbacks have after `fit`, and what they are made with: a model, closed files, writers of summaries."""

WEIGHTS = "best_weights"
"""The attribute that holds all weights of a model, as `get_weights()` gives them."""

MUTABLE = (list, dict, set, deque)
_INSTALLED = tuple({sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def is_of_keras(kind: type) -> bool:
    """Whether a class is Keras's own."""
    return kind.__module__.partition(".")[0] in {"keras", "tf_keras"}


def as_new(callback: Any) -> Any:
    """A copy of a callback of Keras's own without what an earlier `fit` has left in it; any other callback as it is."""
    held = vars(callback) if is_of_keras(type(callback)) else {}
    left = [name for name in LEFT_BY_FIT if held.get(name)]
    if not left:
        return callback
    made = copy.copy(callback)
    vars(made).update({name: LEFT_BY_FIT[name]() for name in left})
    return made


def parts_of(callback: Any) -> dict[str, Any]:
    """The values that are the state of a callback without `get_state()`, by name; functions' as `function.name`."""
    settings = _settings(callback)
    attributes = {name: value for name, value in vars(callback).items() if name not in settings}
    kept = {name: value for name, value in attributes.items() if not isinstance(value, types.FunctionType)}
    return {**kept, **{name: value for name, value, _ in _shared(callback)}}


def _settings(callback: Any) -> set[str]:
    """The attributes that Keras's methods assign and that are no state: a checkpoint may not change them either."""
    kinds = [kind for kind in type(callback).__mro__ if is_of_keras(kind)]
    kept = {name for kind in kinds for name in _kept(kind)}
    return {name for kind in kinds for name in _assigned(kind)} - kept


def unknown_of_keras(callback: Any) -> bool:
    """Whether a callback is of a class of Keras that the table does not know."""
    return any(is_of_keras(kind) and kind.__name__ not in KEPT_OF_KERAS for kind in type(callback).__mro__)


def packed_parts(
    callback: Any, packer: Packer, skipped: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], set[str]]:
    """The state of a callback without `get_state()`, packed; and the names of what cannot be."""
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
    """Give a callback the state of a checkpoint back; returns what is lost of it, as `Class.attribute`.

    Raises:
        Exception: what its `set_state()` raises.
    """
    name = type(callback).__name__
    failed = set_parts(callback, state.get("parts", {}), arrays)
    if "asked" in state and hasattr(callback, "set_state"):
        callback.set_state(filled(None, state["asked"], arrays))
    return [f"{name}.{part}" for part in [*map(str, state.get("lost", [])), *sorted(failed)]]


def set_parts(callback: Any, parts: Mapping[str, Any], arrays: Mapping[str, Any]) -> set[str]:
    """Give a callback its packed state back; returns the names of what it has no place for."""
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
    """The functions of a callback that a user has written: its attributes, and the methods of the classes."""
    members = [value for kind in type(callback).__mro__ if not is_of_keras(kind) for value in vars(kind).values()]
    for value in [*vars(callback).values(), *members]:
        function = getattr(value, "__func__", value)
        if isinstance(function, types.FunctionType) and not function.__code__.co_filename.startswith(_INSTALLED):
            yield function


def _shared(callback: Any) -> Iterator[tuple[str, Any, Any]]:
    """What functions share with the code around them, each once: its name, its value, and how to set it.

    These are the containers that they name, and the plain values that they assign by `nonlocal` or `global`. Several of
    one name, as two lambdas of one line have them, are numbered in their order.
    """
    met: dict[str, list[Any]] = {}
    for name, place, value, put in _each_shared(callback):
        known = met.setdefault(name, [])
        if place not in known:
            known.append(place)
            yield name if len(known) == 1 else f"{name} ({len(known)})", value, put


def _each_shared(callback: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    """As `_shared`, for each function that names it, with what tells it from others."""
    for function in _functions(callback):
        code = function.__code__
        assigned = {str(step.argval) for step in dis.get_instructions(function) if step.opname.startswith("STORE_")}
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if _is_state(cell, name in assigned):
                yield f"{function.__name__}.{name}", id(cell), cell.cell_contents, _cell_setter(cell)
        for name in code.co_names:
            value = function.__globals__.get(name)
            if isinstance(value, MUTABLE) or (name in _stored_globals(function) and name in function.__globals__):
                place = id(function.__globals__), name
                yield f"{function.__name__}.{name}", place, value, _global_setter(function, name)


def _is_state(cell: types.CellType, is_assigned: bool) -> bool:  # noqa: FBT001 - a fact about it
    try:
        return isinstance(cell.cell_contents, MUTABLE) or (is_assigned and not callable(cell.cell_contents))
    except ValueError:
        return False


def _stored_globals(function: types.FunctionType) -> set[str]:
    return {str(step.argval) for step in dis.get_instructions(function) if step.opname == "STORE_GLOBAL"}


def _cell_setter(cell: types.CellType) -> Any:
    return lambda value: setattr(cell, "cell_contents", value)


def _global_setter(function: types.FunctionType, name: str) -> Any:
    return lambda value: function.__globals__.__setitem__(name, value)
