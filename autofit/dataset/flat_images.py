"""Images without class folders: what to give instead, as the tables and archives that lie beside them say."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from autofit.dataset.found import kinds_text
from autofit.errors import UserError
from autofit.printable import printable

SHOWN_TABLES = 2
ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst"})

_NO_LABELS = re.compile(r"submission|test|example", re.IGNORECASE)
"""In names of tables that mostly hold no classes."""


def tables_in(*folders: str) -> str:
    """The tables in these folders that may hold the classes, such as `a/train.csv or a/labels.csv`; empty for none."""
    tables = [
        f"{printable(folder)}/{printable(name)}"
        for folder in folders
        for name in _names(folder)
        if name.lower().endswith((".csv", ".tsv")) and not _NO_LABELS.search(name)
    ]
    return " or ".join(tables[:SHOWN_TABLES])


def _names(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208 - paths are str
    except OSError:
        return []


def remedy(*folders: str) -> str:
    """What to do about images without class folders, by the tables in these folders."""
    if tables := tables_in(*folders):
        return f"give the table of their classes, perhaps {tables}"
    return "give a CSV file with the columns path,label, or put the images of each class in a folder of its own"


def no_class_folders(folder: str, kinds: Mapping[str, int]) -> UserError:
    """The error about a folder without subfolders.

    Args:
        folder: as it is named.
        kinds: the number of the files in it by kind.
    """
    count = sum(kinds.values())
    held = f"{count} files lie in it directly: {kinds_text(kinds)}" if count else "it is empty"
    tables = tables_in(folder)
    is_packed = count and all(kind in ARCHIVES for kind in kinds)
    instead = "unpack the archives, and " if is_packed else f"give the table in it ({tables}), or " if tables else ""
    return UserError(
        f"{printable(folder)} has no subfolders ({held}): {instead}give a folder with one subfolder of images a class"
    )
