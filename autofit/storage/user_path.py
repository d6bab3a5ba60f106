"""A path as a user writes it."""

from __future__ import annotations

import os
from pathlib import Path


def user_path(path: str | os.PathLike[str]) -> Path:
    """The path with `~` and `~name` expanded. If there is no such user it is unchanged, and may be the name of a file.

    `Path.expanduser` would raise a RuntimeError.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111 - it raises nothing
