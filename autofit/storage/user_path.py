"""A path as a user writes it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from autofit.errors import UserError
from autofit.printable import printable

SHOWN_CHARACTERS = 80


def user_path(path: Any, name: str = "path") -> Path:
    """The path with `~` and `~name` expanded. If there is no such user it is unchanged, and may be the name of a file.

    `Path.expanduser` would raise a RuntimeError.

    Args:
        path: text, or an object such as a `pathlib.Path`.
        name: of the argument, for the message.

    Raises:
        UserError: it is something else, or a name that no file can have.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str) or "\0" in text:
        shown = printable(repr(path)[:SHOWN_CHARACTERS])
        raise UserError(f"{name} is {shown}, which is no path: give text, or a pathlib.Path")
    return Path(os.path.expanduser(text))  # noqa: PTH111 - it raises nothing
