"""Whether the folders of one level are classes: such as may as well be something else are refused."""

# ruff: noqa: PTH118 - paths are str in this package

from __future__ import annotations

import os
import re

from autofit.dataset.inside import Inside, peek, shown
from autofit.dataset.split_words import roles_of
from autofit.errors import UserError
from autofit.printable import printable

TEXT_NAMES = frozenset({"annotations", "annotation", "labels", "xmls", "xml", "json", "meta", "metadata", "bboxes"})
"""Folders of text beside the images."""


def require_classes(folder: str, names: frozenset[str]) -> None:
    """Refuse folders that each hold the same subfolders and no images: either level may be the classes.

    Subfolders that are years or numbers divide a class, unless the folders above are numbered alike (`fold_1`).
    """
    shared = _shared_subfolders(folder, names)
    if len(shared) < 2:  # noqa: PLR2004 - two classes
        return
    if not _numbered_alike(names) and all(name.isdecimal() for name in shared):
        return
    if roles_of(shared):
        raise UserError(
            f"in {printable(folder)} each of {shown(names)} holds {shown(shared)}, which look like splits inside "
            "classes: put the splits above the classes, or give a CSV file with the columns path,label,split"
        )
    raise UserError(
        f"in {printable(folder)} each of {shown(names)} holds the same subfolders {shown(shared)}: either these are "
        f"the classes and {shown(names)} are splits (then give one as the data, another with validation=), or the "
        "reverse (then give a CSV file with the columns path,label)"
    )


def _shared_subfolders(folder: str, names: frozenset[str]) -> frozenset[str]:
    """The subfolders that all have, if none holds images directly and they have most of them in common; else none."""
    together: frozenset[str] | None = None
    union = frozenset[str]()
    for name in sorted(names) if len(names) > 1 else ():
        inside = _inside(folder, name)
        subfolders = frozenset(inner for inner in inside.folders if inner.lower() not in TEXT_NAMES)
        together = subfolders if together is None else together & subfolders
        union |= subfolders
        if inside.has_images or 2 * len(together) < len(union):
            return frozenset()
    return together or frozenset()


def _inside(folder: str, name: str) -> Inside:
    """What lies in a folder, or in the only one in it: a data set may be there once more, in a wrapper."""
    inside = peek(folder, name)
    if inside.has_images or len(inside.folders) != 1:
        return inside
    deeper = peek(os.path.join(folder, name), *inside.folders)
    return inside if deeper.has_images or not deeper.folders else deeper


def _numbered_alike(names: frozenset[str]) -> bool:
    return len({re.sub(r"\d+", "", name) for name in names}) == 1
