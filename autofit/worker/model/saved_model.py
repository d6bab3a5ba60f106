"""Opens a model that autofit has saved, in a worker or in the caller's process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from autofit.errors import UserError
from autofit.printable import one_line, printable
from autofit.storage.hdf5_file import most_content_bytes
from autofit.storage.model_file import require_sound_model
from autofit.worker.model.registered_objects import not_registered

_BROKEN = (TypeError, ValueError, LookupError, AttributeError, OSError, RuntimeError, ImportError, ArithmeticError)
"""The errors that Keras and the layers that it builds raise for a configuration or weights that do not fit."""


def load_saved_model(path: Path) -> Any:
    """The `keras.Model` in a `model.keras` of a run directory.

    Raises:
        UserError: it does not exist, since the run has not finished an epoch; or it cannot be opened.
    """
    if not path.is_file():
        raise UserError(f"there is no model at {path}: the run has not finished an epoch; autofit resume {path.parent}")
    require_sound_model(path)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    return open_model(path, compiled=True)


def open_model(path: Path, *, compiled: bool) -> Any:
    """Open a `.keras` file, in Keras's safe mode, which runs no code that is in it.

    Raises:
        UserError: it needs a class that is not registered here, or it cannot be opened.
    """
    import keras  # noqa: PLC0415 - the import takes seconds and is needed only here

    from autofit.worker.model.variables_bound import variables_within  # noqa: PLC0415 - imports Keras

    try:
        with variables_within(most_content_bytes(path.stat().st_size)):
            return keras.models.load_model(path, compile=compiled, safe_mode=True)
    except _BROKEN as error:
        raise not_registered(error) or UserError(
            f"the model {printable(str(path))} cannot be opened ({type(error).__name__}: {one_line(error)[:200]}): "
            "bring it back, or train again in another run_dir"
        ) from error
