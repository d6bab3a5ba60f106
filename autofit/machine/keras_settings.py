"""The backend that Keras has in a user's own programs: that of the variable `KERAS_BACKEND`, else of `keras.json`.

Keras reads both when it is imported (`keras/src/backend/config.py`). autofit's workers always use TensorFlow.
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
"""How many characters of a backend's name are shown."""


def settings_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The `keras.json` that Keras reads: in `KERAS_HOME`, else in `.keras` in the home folder or `/tmp`."""
    if "KERAS_HOME" in environ:
        return Path(os.path.expanduser(environ["KERAS_HOME"])) / "keras.json"  # noqa: PTH111 - raises nothing
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - raises nothing where there is no home
    return (home if os.access(home, os.W_OK) else Path("/tmp")) / ".keras" / "keras.json"  # noqa: S108 - Keras's place


def other_backend(environ: Mapping[str, str] = os.environ) -> str:
    """The backend of a user's own programs and where it is set, if it is not TensorFlow; else empty.

    For example `KERAS_BACKEND is jax` or `keras.json says torch`.
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
