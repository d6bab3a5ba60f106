"""Finds folders inside class folders by which the class folder is no class, or may be none. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence

from autofit.dataset.found import below
from autofit.dataset.inside import shown
from autofit.dataset.side_folders import IMAGE_NAMES
from autofit.dataset.split_words import roles_of
from autofit.errors import UserError
from autofit.printable import printable

LEAST_PARTS = 3
LEAST_HASHES = 16
_HEX = re.compile("[0-9a-f]{2,}")
_DATE = re.compile(r"(19|20)[0-9]{2}|[0-9]+([-_. ][0-9]+)+")


def refuse_copies(folder: str, names: Collection[str], subfolders: Mapping[str, Collection[str]]) -> None:
    """Refuse a class folder that holds folders with the names of the other classes, such as a copy of the data set.

    Args:
        folder: the folder of the classes, for the message.
        names: the names of all classes.
        subfolders: for each class that has folders and fewer images beside them, the names of these folders.

    Raises:
        UserError: there is such a class folder; as a class it would have images of all others.
    """
    least = max(2, (len(names) - 1) / 2)
    known = frozenset(names)
    copies = {name: both for name, held in subfolders.items() if len(both := (known & {*held}) - {name}) >= least}
    if not copies or 2 * len(copies) > len(names):  # of numbered classes, each divided into parts of the same numbers
        return
    name, both = min(copies.items())
    raise UserError(
        f"{printable(folder)} holds {printable(name)}, in which are {shown(both)} as beside it: it looks like a copy "
        "or another split, and not like a class: move it elsewhere, or give it with validation= or test=; if it is a "
        "class, give a CSV file with the columns path,label"
    )


def refuse_splits_inside(
    root: str, folder: str, classes: Mapping[str, Sequence[str]], subfolders: Mapping[str, Collection[str]]
) -> None:
    """Refuse a class folder that holds splits: it is the data set, and the folders beside it are something else.

    The splits may be in folders that only wrap them, as those of archives do.

    Args:
        root: the absolute folder that paths are relative to.
        folder: the absolute folder of the classes.
        classes: paths by class name.
        subfolders: for each class that has folders and fewer images beside them, the names of these folders.

    Raises:
        UserError: there is one.
    """
    for name in sorted(subfolders):
        holder, held = below(root, os.path.join(folder, name)), subfolders[name]  # noqa: PTH118 - paths are str
        if not roles_of(held):
            holder, held = past_wrappers(classes.get(name, ()), holder)
        if roles := roles_of(held):
            inside = printable(os.path.join(root, holder))  # noqa: PTH118 - paths are str in this package
            raise UserError(
                f"{inside} holds {shown(roles)}, which look like splits inside a class: if it is the data set, give "
                f"{inside}; if it is a class, put the splits above the classes"
            )


def past_wrappers(paths: Sequence[str], folder: str = "") -> tuple[str, set[str]]:
    """The folder of all paths below those that hold nothing but the next one, and the names of the folders in it.

    Args:
        paths: relative, below `folder`.
        folder: relative, too; empty for the one that paths are relative to.
    """
    while True:
        start = len(folder) + 1 if folder else 0
        names = {path[start:end] for path in paths if (end := path.find("/", start)) > 0}
        if len(names) != 1:
            return folder, names
        folder = f"{folder}/{names.pop()}" if folder else names.pop()


def lower_level(classes: Mapping[str, Collection[str]], subfolders: Collection[str]) -> str | None:
    """One line if all images lie in folders within the class folders, since these may be the classes; else None.

    Args:
        classes: paths by class name.
        subfolders: the names of the classes that have folders and fewer images beside them.
    """
    if not classes or not {*subfolders} >= {*classes}:
        return None
    holding = {path.rpartition("/")[0] for paths in classes.values() for path in paths}
    lower = set(map(_above_dates, holding))
    if len(lower) <= len(classes):
        return None
    below = [folder for folder in lower if not classes.keys().isdisjoint(folder.split("/")[:-1])]  # in that of a class
    example = printable(min(below or lower))
    return (
        f"the images lie in {len(lower):,} folders within the classes, such as {example}, and are of the class "
        "above: if these folders are the classes, give a CSV file with the columns path,label"
    )


def numbered_parts(classes: Mapping[str, Sequence[str]]) -> str | None:
    """One line of warning if the folders look like parts by the number or the hash of their images; else None.

    Args:
        classes: paths by class name.
    """
    names = sorted(classes)
    if len(names) < LEAST_PARTS or len(set(map(len, names))) > 1 or not all(map(_HEX.fullmatch, names)):
        return None
    if not all(name in classes[name][0].split("/") for name in names):  # labels of a table
        return None
    is_hash = len(names) >= LEAST_HASHES and any(not name.isdecimal() and any(map(str.isdigit, name)) for name in names)
    if not is_hash and not (names[0].isdecimal() and _are_in_order(classes, names)):
        return None
    return (
        f"warning: {shown(names)} look like parts of one data set, by the number or the hash of an image: if they are "
        "no classes, give a CSV file with the columns path,label"
    )


def _are_in_order(classes: Mapping[str, Sequence[str]], names: Sequence[str]) -> bool:
    """Whether numbers of images go on from folder to folder: each begins with its folder's, or reaches to the next."""
    stems = {name: [path.rpartition("/")[2].partition(".")[0] for path in classes[name]] for name in names}
    if not all(stem.isdecimal() for held in stems.values() for stem in held):
        return False
    if all(len(stem) > len(name) and stem.startswith(name) for name, held in stems.items() for stem in held):
        return True
    ends = [*map(int, names[1:]), None]
    numbers = (map(int, stems[name]) for name in names)
    return all(
        int(name) <= number and (end is None or number < end)
        for name, end, held in zip(names, ends, numbers, strict=True)
        for number in held
    )


def _above_dates(folder: str) -> str:
    """A folder, or the one above those that only divide it by date or hold its images."""
    above, _, name = folder.rpartition("/")
    return _above_dates(above) if above and (_DATE.fullmatch(name) or name.lower() in IMAGE_NAMES) else folder
