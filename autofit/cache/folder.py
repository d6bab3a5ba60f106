"""The folder of all caches. This module imports nothing heavy, since the doctor uses it too."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from autofit.errors import UserError

FOLDER_VARIABLE = "AUTOFIT_CACHE"


def default_folder() -> Path:
    """The user's cache folder: the one in `AUTOFIT_CACHE`, else `autofit` in the user's folder of caches.

    Raises:
        UserError: the variable is not a valid path, or is a path that JSON cannot hold.
    """
    given = os.environ.get(FOLDER_VARIABLE, "").strip()
    if not given:
        return platformdirs.user_cache_path("autofit")
    try:
        folder = Path(given).expanduser().absolute()
        str(folder).encode()
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{FOLDER_VARIABLE} {given!r} cannot be used as a path ({error}): give another") from None
    return folder
