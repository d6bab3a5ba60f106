"""The callbacks that a user gives: taken in the forms that Keras takes, and set to their state after the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from autofit.errors import StorageError, UserError
from autofit.printable import first_of, one_line
from autofit.protocol.callback_state import rate_setter, restored
from autofit.protocol.job import TrainingPlan
from autofit.protocol.object_state import is_of_keras
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory

SHOWN = 3
MOST_CALLBACK_BYTES = 2 * 2**30
"""The most memory that states of callbacks may take in this process: `EarlyStopping` keeps the network's weights."""
REFUSED_OF_KERAS = {
    "BackupAndRestore": "autofit keeps a backup itself, and goes on from it: leave it out",
}


def listed_callbacks(given: Any) -> tuple[Any, ...]:
    """The callbacks as a tuple, given as a list, alone, or as None.

    Raises:
        UserError: one is no callback, or it cannot be used with autofit.
    """
    if given is None:
        return ()
    if not isinstance(given, list | tuple):
        given = [given]
    found: list[Any] = []
    for one in given:
        found += listed_callbacks(one) if isinstance(one, list | tuple) else [_checked(one)]
    return tuple(found)


def _checked(callback: Any) -> Any:
    """Return the callback, if it can be used with autofit.

    Raises:
        UserError: it is no callback, or it is of a class that autofit refuses.
    """
    if isinstance(callback, type):
        raise UserError(f"callbacks has the class {callback.__name__}: give an object, {callback.__name__}(...)")
    if not hasattr(callback, "set_model"):
        raise UserError(f"callbacks has {one_line(repr(callback))[:80]}, which is no keras.callbacks.Callback")
    for kind in type(callback).__mro__:
        if is_of_keras(kind) and kind.__name__ in REFUSED_OF_KERAS:
            raise UserError(f"callbacks: {kind.__name__} cannot be used: {REFUSED_OF_KERAS[kind.__name__]}")
    return callback


def refuse_rate_setters(callbacks: Sequence[Any], planned: TrainingPlan) -> None:
    """Refuse those of Keras's callbacks that set the learning rate, in a run whose rate falls by its plan.

    Whether a callback of the user's own sets it is found out by the worker, when it does.

    Raises:
        UserError: there is one.
    """
    if not planned.rate_falls:
        return
    for callback in callbacks:
        if setter := rate_setter(callback):
            raise UserError(
                f"callbacks: {setter} sets the learning rate, which in this run falls to zero at the end: leave "
                "it out, or train with it from the beginning: autofit.run with another run_dir"
            )


def give_back(files: RunDirectory, callbacks: Sequence[Any], say: Callable[[str], None]) -> None:
    """Set the caller's callbacks to their states after the run, as `model.fit` would have left them.

    The states are those in the newest checkpoint, which at the end of a run is the final one. A callback whose state
    cannot be set stays as it is, and a message says so: a run does not fail for that.
    """
    if not callbacks:
        return
    with suppress(OSError, ValueError, KeyError, TypeError):
        try:
            newest = CheckpointStore(files.checkpoints).latest_group("callbacks", MOST_CALLBACK_BYTES)
        except StorageError as error:
            say(f"the state that your callbacks had after the run cannot be restored: {error}")
            return
        if newest is not None:
            kept = _set_all(callbacks, *newest)
            if kept:
                say(f"your callbacks could not be set to their state after the run: {first_of(kept, SHOWN)}")


def _set_all(callbacks: Sequence[Any], progress: dict[str, Any], arrays: dict[str, Any]) -> list[str]:
    """Set the states; returns a description of each callback whose state could not be set."""
    left: list[str] = []
    for callback, state in zip(callbacks, progress.get("callbacks", []), strict=False):
        if not isinstance(state, dict) or state.get("class") != type(callback).__name__:
            continue
        try:
            left += restored(callback, state, arrays)
        except Exception as error:  # noqa: BLE001 - the user's code, which may want the model that is gone
            left.append(f"{type(callback).__name__} ({type(error).__name__} in its set_state)")
    return left
