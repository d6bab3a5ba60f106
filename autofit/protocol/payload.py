"""The Python objects that a run sends to its workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from autofit.protocol.callback_state import as_new


@dataclass(frozen=True, slots=True)
class Payload:
    """What crosses as Python objects, for as long as the parent lives: a model function and Keras callbacks.

    Attributes:
        registered: classes and functions that the user has registered with Keras.
        folder: what a relative path means in them, the caller's working folder; empty for that of the worker.
    """

    model: Callable[..., Any] | None = None
    callbacks: Sequence[Any] = ()
    _: KW_ONLY
    registered: Any = None
    folder: str = field(default="", compare=False)

    def __getstate__(self) -> tuple[Any, ...]:
        """What is pickled, in the order of unpickling: what is registered may be needed to unpickle the others."""
        return self.registered, self.model, tuple(map(as_new, self.callbacks)), self.folder

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Set the fields of a frozen object."""
        for name, value in zip(("registered", "model", "callbacks", "folder"), state, strict=True):
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class OwnCode:
    """The user's code that opening a saved model needs.

    Attributes:
        payload: registered classes and functions; None without any.
        module: to import, which registers them; None for none.
        import_paths: the folders in which modules are looked for.
    """

    payload: Payload | None = None
    module: str | None = None
    import_paths: Sequence[str] = ()


NO_CODE = OwnCode()
