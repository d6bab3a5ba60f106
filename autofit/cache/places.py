"""The folders in a cache that autofit has made: how they are named, how large they are, when they were last used."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

KEY_DIGITS = 16
NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{1,16}-[0-9a-f]{8}")
"""The name of an entry's folder: the first digits of its key, the time when it was made, and random digits. In the
name of a shard's entry, the shard's number and a hash of its images take the place of the last two."""

FILE_NAME = re.compile(r"entry\.json|rows\.bin|index\.bin|\.entry\.json\.\w+")
REMOVING = ".removing-"
WRITING = ".writing-"
"""The prefix of an entry that is not committed yet, or whose writer was killed; such an entry is never read."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that autofit has made in the cache: an entry, or what is left of one."""

    path: Path
    size_bytes: int
    last_used: float

    @classmethod
    def at(cls, path: Path) -> Self:
        """The folder as it is now.

        Raises:
            OSError: it cannot be looked at, as it is being removed.
        """
        size_bytes = sum(child.lstat().st_size for child in path.iterdir())
        try:
            used = (path / "entry.json").lstat()
        except FileNotFoundError:
            used = path.lstat()
        return cls(path, size_bytes, used.st_mtime)


def is_ours(path: Path) -> bool:
    """Whether a folder is an entry by its name and its files: the cache's folder may hold the user's own things."""
    is_named = NAME.fullmatch(path.name.removeprefix(REMOVING).removeprefix(WRITING))
    return is_named is not None and stat.S_ISDIR(path.lstat().st_mode) and all(map(_is_our_file, path.iterdir()))


def _is_our_file(path: Path) -> bool:
    return FILE_NAME.fullmatch(path.name) is not None and stat.S_ISREG(path.lstat().st_mode)
