"""Opens a model that autofit has saved, in the caller's process."""

from __future__ import annotations

import os
from pathlib import Path

from autofit.errors import UserError


def load_saved_model(path: Path) -> object:
    """The `keras.Model` in a `model.keras` of a run directory.

    Raises:
        UserError: it does not exist: the run has not finished an epoch.
    """
    if not path.is_file():
        raise UserError(f"there is no model at {path}: the run has not finished an epoch; autofit resume {path.parent}")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras  # noqa: PLC0415 - the import takes seconds and is needed only here

    return keras.models.load_model(path)
