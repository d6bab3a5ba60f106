"""The Python objects that a run sends to its workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from autofit.protocol.callback_state import as_new


@dataclass(frozen=True, slots=True)
class Payload:
    """The Python objects that workers get by pickle. They are not saved: they last as long as the parent lives.

    Attributes:
        model: the user's function that makes the network; None if there is none.
        callbacks: the user's Keras callbacks.
        registered: classes and functions that the user has registered with Keras.
        folder: the folder that relative paths in these objects refer to, the caller's working folder; empty for the
            worker's own.
    """

    model: Callable[..., Any] | None = None
    callbacks: Sequence[Any] = ()
    _: KW_ONLY
    registered: Any = None
    folder: str = field(default="", compare=False)

    def __getstate__(self) -> tuple[Any, ...]:
        """The pickled fields, in the order of unpickling: the registered classes first, which the others may need."""
        return self.registered, self.model, tuple(map(as_new, self.callbacks)), self.folder

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Set the fields of a frozen object."""
        for name, value in zip(("registered", "model", "callbacks", "folder"), state, strict=True):
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class OwnCode:
    """The user's code that is needed to open a saved model.

    Attributes:
        payload: registered classes and functions; None if there are none.
        module: a module to import, which registers them; None if there is none.
        import_paths: the folders in which modules are looked for.
        files: the files of the user's own modules that the objects may come from, each with its size and the time when
            it was last written: a worker has imported them as they were when it started.
    """

    payload: Payload | None = None
    module: str | None = None
    import_paths: Sequence[str] = ()
    files: Sequence[tuple[str, int, int]] = ()


NO_CODE = OwnCode()
