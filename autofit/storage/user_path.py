"""A path as a user writes it."""

from __future__ import annotations

import os
from pathlib import Path


def user_path(path: str | os.PathLike[str]) -> Path:
    """The path with `~` and `~name` expanded; where there is no such user it stays as it is, and may be a file's name.

    `Path.expanduser` raises a RuntimeError there.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111 - it raises nothing
