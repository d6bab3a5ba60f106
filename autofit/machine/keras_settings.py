"""What a user's own programs have Keras compute with: the variable `KERAS_BACKEND`, else the user's `keras.json`.

Keras reads both when it is imported (`keras/src/backend/config.py`); autofit's workers have TensorFlow in any case.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from autofit.printable import one_line
from autofit.storage.json_bounds import LINE, parsed
from autofit.storage.safe_files import read_bounded

BACKEND_VARIABLE = "KERAS_BACKEND"
BACKEND = "tensorflow"

MOST_SHOWN = 40
"""Characters of a backend's name."""


def settings_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The `keras.json` that Keras reads: in `KERAS_HOME`, else in `.keras` of a writable home, else of `/tmp`."""
    if "KERAS_HOME" in environ:
        return Path(os.path.expanduser(environ["KERAS_HOME"])) / "keras.json"  # noqa: PTH111 - raises nothing
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - raises nothing where there is no home
    return (home if os.access(home, os.W_OK) else Path("/tmp")) / ".keras" / "keras.json"  # noqa: S108 - Keras's place


def other_backend(environ: Mapping[str, str] = os.environ) -> str:
    """The backend that a program of the user's gets, if it is not TensorFlow, and what says so; else nothing.

    Such as `KERAS_BACKEND is jax` or `keras.json says torch`.
    """
    if named := environ.get(BACKEND_VARIABLE):
        return "" if named == BACKEND else f"{BACKEND_VARIABLE} is {_shown(named)}"
    with suppress(OSError, ValueError):
        settings = parsed(read_bounded(settings_file(environ), LINE.size_bytes, follow_links=True), "keras.json", LINE)
        if isinstance(settings, dict) and settings.get("backend", BACKEND) != BACKEND:
            return f"keras.json says {_shown(settings['backend'])}"
    return ""


def _shown(name: object) -> str:
    return one_line(name)[:MOST_SHOWN]
