"""Folders inside class folders: such that show that the one around them is no class, or may be none. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from autofit.dataset.inside import NUMBERS, shown
from autofit.dataset.side_folders import IMAGE_NAMES
from autofit.errors import UserError
from autofit.printable import printable


def refuse_copies(folder: str, names: Collection[str], subfolders: Mapping[str, Collection[str]]) -> None:
    """Refuse a class folder that holds folders of the names of the other classes, as archives with a copy inside have.

    Args:
        folder: of the classes, for the message.
        names: of all classes.
        subfolders: names of the folders in those classes that have some, and no images beside them.

    Raises:
        UserError: there are such; as a class they would have images of all others.
    """
    least = max(2, (len(names) - 1) / 2)
    copies = {name: both for name, held in subfolders.items() if len(both := {*names} & {*held} - {name}) >= least}
    if not copies or 2 * len(copies) > len(names):  # of numbered classes, each divided into parts of the same numbers
        return
    name, both = min(copies.items())
    raise UserError(
        f"{printable(folder)} holds {printable(name)}, in which are {shown(both)} as beside it: it looks like a copy "
        "or another split, and not like a class: move it elsewhere, or give it with validation= or test=; if it is a "
        "class, give a CSV file with the columns path,label"
    )


def lower_level(names: Collection[str], subfolders: Mapping[str, Collection[str]]) -> str | None:
    """One line where all images lie in folders within the classes, which may be the classes that are meant.

    Args:
        names: of the classes with images.
        subfolders: names of the folders in those classes that have some, and no images beside them.
    """
    if not names or not subfolders.keys() >= {*names}:
        return None
    lower = sorted(f"{name}/{inner}" for name in names for inner in subfolders[name] if not _divides(inner))
    if len(lower) <= len(names):
        return None
    return (
        f"the images lie in {len(lower):,} folders within the classes, such as {printable(lower[0])}, and are of the "
        "class above: if these folders are the classes, give a CSV file with the columns path,label"
    )


def _divides(name: str) -> bool:
    """Whether a folder only divides a class, as a year or a date does, or holds its images."""
    return NUMBERS.fullmatch(name) is not None or name.lower() in IMAGE_NAMES
