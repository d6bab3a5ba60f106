"""The states of a training's callbacks in its checkpoints: read from them and given back, by place in the list."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras

from autofit.errors import UserError
from autofit.protocol.callback_state import WEIGHTS, packed_parts, parts_of, restored, unknown_of_keras
from autofit.protocol.object_digest import digest
from autofit.protocol.object_state import Arrays, Packer, UnkeepableError, filled, variables_of
from autofit.storage.safe_files import cut_path
from autofit.worker.model.keras_internals import set_direction

SPARE_ARRAY_BYTES = 64 * 2**20
"""What the arrays of all callbacks may have, beside twice the weights of the model."""


Stamp = tuple[int, int, str]


class CallbackStates:
    """The states of some callbacks.

    Args:
        callbacks: in the order in which they are called.
        model: the one that they act on.
        changeable: its variables that may change. Those of a frozen backbone are not written with the weights that a
            callback holds.
    """

    def __init__(self, callbacks: Sequence[Any], model: keras.Model, changeable: Sequence[keras.Variable]) -> None:
        self._callbacks = callbacks
        self._model = model
        ids = {id(variable) for variable in changeable}
        self._frozen = [number for number, variable in enumerate(model.weights) if id(variable) not in ids]
        self._stamps: list[dict[str, Stamp]] = [{} for _ in callbacks]
        self._given = [{} if _is_asked(one) else self._variables_in(one) for one in callbacks]

    def note_begin(self) -> None:
        """Remember which objects they hold now, to know later what has been replaced, or has changed."""
        self._stamps = [{} if _is_asked(one) else self._stamped(one) for one in self._callbacks]

    @property
    def _known(self) -> frozenset[int]:
        """The variables that the training itself keeps."""
        optimizer = getattr(self._model, "optimizer", None)
        return frozenset(map(id, [*self._model.variables, *getattr(optimizer, "variables", ())]))

    def _stamped(self, callback: Any) -> dict[str, Stamp]:
        return {name: _stamp(value, self._known) for name, value in parts_of(callback).items() if name != WEIGHTS}

    def _variables_in(self, callback: Any) -> dict[str, str]:
        """The digests of a callback's attributes with variables of their own, such as the network of a teacher."""
        held = {name: value for name, value in parts_of(callback).items() if variables_of(value)}
        return {name: digest(value, self._known) for name, value in held.items()}

    def _as_given(self, number: int) -> set[str]:
        """The attributes with variables that are as the user gave them, which are not written with each checkpoint."""
        given = self._given[number]
        now = self._variables_in(self._callbacks[number]) if given else {}
        return {name for name in given if now.get(name) == given[name]}

    def states(self) -> tuple[list[dict[str, Any]], Arrays]:
        """Their states as JSON, and the arrays that these name.

        Raises:
            UserError: a `get_state()` returns what cannot be kept; names the callback.
        """
        weights_bytes = 4 * sum(math.prod(variable.shape) for variable in self._model.weights)
        packer = Packer(2 * weights_bytes + SPARE_ARRAY_BYTES, self._known)
        return [self._state(number, packer) for number in range(len(self._callbacks))], packer.arrays

    def restore(self, states: Sequence[Any], arrays: Mapping[str, Any], *, have_begun: bool = True) -> list[str]:
        """Give them their states back; returns what is lost, as `Class.attribute`.

        Networks that they will make themselves, when they are told that the training begins, are not lost before it.
        """
        lost = []
        for callback, given, state in zip(self._callbacks, self._given, states, strict=False):
            if not isinstance(state, dict) or state.get("class") != type(callback).__name__:
                _restore_old(callback, state)
                continue
            made_later = set() if have_begun else _made_later(callback, state)
            lost += [name for name in restored(callback, state, arrays) if name not in made_later]
            for name in state.get("parts", {}):
                given.pop(name, None)  # from now on it is written, even if it does not change any more
            self._restore_weights(callback, state, arrays)
            if isinstance(callback, keras.callbacks.ModelCheckpoint):
                set_direction(callback)
        return lost

    def _state(self, number: int, packer: Packer) -> dict[str, Any]:
        callback = self._callbacks[number]
        state: dict[str, Any] = {"class": type(callback).__name__}
        if _is_asked(callback):
            return {**state, "asked": _asked(callback, packer)}
        weights = self._weights(callback)
        skipped = self._as_given(number) | ({WEIGHTS} if weights is not None else set())
        parts, unkeepable = packed_parts(callback, packer, frozenset(skipped))
        lost = self._lost(number, unkeepable)
        if weights is not None:
            try:
                state["weights"] = packer.pack(weights)
            except UnkeepableError:
                lost.append(WEIGHTS)
        if isinstance(callback, keras.callbacks.CSVLogger):
            state["csv_bytes"] = _size(callback.filename)
        return {**state, "parts": parts, "lost": lost}

    def _lost(self, number: int, unkeepable: set[str]) -> list[str]:
        """Of what cannot be packed, what has changed: a file, a model or a data set that is there from the start stays.

        A class of Keras that is not known is lost as a whole.
        """
        callback, before = self._callbacks[number], self._stamps[number]
        values = parts_of(callback)
        stamps = {name: _stamp(values[name], self._known) for name in sorted(unkeepable)}
        lost = [name for name, stamp in stamps.items() if stamp != before.get(name) or _moves(values[name])]
        return lost + (["state"] if unknown_of_keras(callback) else [])

    def _weights(self, callback: Any) -> list[Any] | None:
        """All weights that a callback holds, without those of a frozen backbone; None if it holds none."""
        held = getattr(callback, WEIGHTS, None)
        if not isinstance(held, list) or len(held) != len(self._model.weights):
            return None
        frozen = set(self._frozen)
        return [None if number in frozen else array for number, array in enumerate(held)]

    def _restore_weights(self, callback: Any, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        if "weights" in state:
            held = filled(None, state["weights"], arrays)
            if len(held) != len(self._model.weights):
                return
            # what was frozen in the stage before may train in this one
            now = self._model.get_weights() if any(array is None for array in held) else []
            setattr(callback, WEIGHTS, [now[at] if array is None else array for at, array in enumerate(held)])


def _made_later(callback: Any, state: Mapping[str, Any]) -> set[str]:
    """What has variables in a state and is not there yet, as `Class.attribute`."""
    parts = {name: packed for name, packed in state.get("parts", {}).items() if vars(callback).get(name) is None}
    found = {name for name, packed in parts.items() if isinstance(packed, dict) and "variables" in packed}
    return {f"{type(callback).__name__}.{name}" for name in found}


def open_csv_files(callbacks: Sequence[Any], states: Sequence[Any]) -> list[Any]:
    """Make each `CSVLogger` go on with its file, without the rows after the checkpoint; returns those that would not.

    Their `append` has to be taken back when they have opened it.
    """
    changed = []
    for callback, state in zip(callbacks, states, strict=False):
        size = state.get("csv_bytes") if isinstance(state, dict) else None
        if isinstance(callback, keras.callbacks.CSVLogger) and isinstance(size, int):
            with suppress(OSError):
                if _size(callback.filename) > size:
                    cut_path(Path(callback.filename), size)
            changed += [] if callback.append else [callback]
            callback.append = True
    return changed


def csv_columns(callbacks: Sequence[Any]) -> list[tuple[Any, list[str] | None]]:
    """The columns of each `CSVLogger`, which Keras forgets when a training begins: its file is gone on with.

    Keras would make other ones in a refit, whose epochs have no figures of a validation.
    """
    return [(one, one.keys) for one in callbacks if isinstance(one, keras.callbacks.CSVLogger)]


def _restore_old(callback: Any, state: Any) -> None:
    """Give a callback what `get_state()` returned, which is all that a checkpoint held before there were classes."""
    if state is not None and hasattr(callback, "set_state") and not (isinstance(state, dict) and "class" in state):
        callback.set_state(state)


def _is_asked(callback: Any) -> bool:
    return hasattr(callback, "get_state")


def _asked(callback: Any, packer: Packer) -> Any:
    try:
        return packer.pack(callback.get_state())
    except UnkeepableError as error:
        raise UserError(
            f"{type(callback).__name__}.get_state() cannot be saved in a checkpoint ({error}): "
            "return numbers, text, arrays, lists and dicts"
        ) from error


def _stamp(value: Any, known: frozenset[int]) -> Stamp:
    """What tells whether an object was replaced, a container has grown, or what it holds has changed."""
    length = len(value) if isinstance(value, list | dict | set | tuple) else 0
    return id(value), length, "" if length else digest(value, known)


def _moves(value: Any) -> bool:
    """Whether an object has a place in a sequence, or a state of chance, that cannot be read from it."""
    is_sequence = hasattr(value, "__next__") and not hasattr(value, "write")  # a file, which is made anew, has both
    return is_sequence or type(value).__name__ in {"Random", "Generator", "RandomState"}


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
