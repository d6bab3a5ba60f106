"""Opening a model that autofit wrote, in the process of whoever asks for it."""

from __future__ import annotations

import os
from pathlib import Path

from autofit.errors import UserError


def load_saved_model(path: Path) -> object:
    """The `keras.Model` in a `model.keras` of a run directory.

    Raises:
        UserError: there is none; the run has not finished.
    """
    if not path.is_file():
        raise UserError(f"there is no model at {path}: the run has not finished an epoch; autofit resume {path.parent}")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras  # noqa: PLC0415 - only whoever asks for the model pays for the import

    return keras.models.load_model(path)
