"""Lists of paths and labels that a user gives: what is none is refused in one line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from autofit.dataset.array_kinds import first_of, is_like_array
from autofit.dataset.picture_files import is_picture
from autofit.dataset.sources import path_instead_of
from autofit.errors import UserError
from autofit.printable import printable


def refuse_bytes(data: object) -> None:
    """Refuse bytes as the data: each of them would be a path.

    Raises:
        UserError: it is bytes.
    """
    if isinstance(data, bytes | bytearray | memoryview):
        shown = printable(repr(bytes(data[:40])))
        raise UserError(f"the data is bytes ({shown}): give a path as text, which os.fsdecode makes of bytes")


def require_lists(paths: object, labels: object) -> None:
    """Check that paths and labels are lists, or the like.

    Raises:
        UserError: one of them is a single thing, or has no order; or both have one of their own, as columns of pandas.
    """
    if isinstance(labels, str):  # each letter would be a label
        raise UserError(f"the labels are the text {labels[:40]!r}: give a list with one label for each path")
    if any(isinstance(given, set | frozenset) for given in (paths, labels)):
        raise UserError("the paths or labels are a set, which has no order: give lists")
    for name, given in {"paths": paths, "labels": labels}.items():
        if not isinstance(given, Iterable) or getattr(given, "ndim", 1) == 0:
            raise UserError(f"the {name} are {printable(repr(given)[:40])}: give a list with one label for each path")
    one, other = _index(paths), _index(labels)
    if one != other and len(one) == len(other) == len(set(one)) and set(one) == set(other):
        raise UserError(
            "the paths and labels have the same index in another order: give labels.to_numpy() if they are in order by "
            "position, labels.loc[paths.index] only if rows of the same index belong together"
        )


def _index(given: object) -> list[object]:
    """The index of a column of pandas; empty for anything else."""
    index = getattr(given, "index", None)
    return [] if index is None or callable(index) or not hasattr(index, "tolist") else list(index.tolist())


def refuse_pairs(data: object) -> None:
    """Refuse a list whose items are images or paths together with their labels.

    Raises:
        UserError: it is one.
    """
    first = first_of(data)
    if isinstance(first, Mapping) or hasattr(data, "column_names"):
        names = list(first) if isinstance(first, Mapping) else list(getattr(data, "column_names", ()))
        raise UserError(
            f"the items of the data are records of {', '.join(map(repr, names))[:60]}: give a list of the images or "
            "their paths, and one of the labels: autofit.run(images, labels)"
        )
    if isinstance(first, list | tuple) and len(first) == 2:  # noqa: PLR2004 - an image and its label
        raise UserError(
            "the items of the data are pairs: give a list of the images or their paths, and one of the labels: "
            "autofit.run(images, labels)"
        )


def plain_list(values: Iterable[object]) -> list[object]:
    """A list of Python's own values: `tolist` of arrays and DataFrame columns turns theirs into these."""
    tolist = getattr(values, "tolist", None)
    return list(tolist() if tolist else values)


def path_of_item(value: object, number: int) -> str:
    """The path in a list of paths.

    Raises:
        UserError: it is none.
    """
    try:
        path = os.fsdecode(value)  # type: ignore[arg-type]  # raises TypeError if it is not a path
    except TypeError:
        path = ""
    if not path and (is_picture(value) or is_like_array(value) or isinstance(value, list | tuple)):
        raise UserError(
            f"item {number} of the paths holds pixels or the like, and is no path: give images as an array (n, height, "
            "width, channels), or as a list of arrays or PIL images"
        )
    if not path or (isinstance(value, bytes) and b"\0" in value):
        raise UserError(f"item {number} of the paths {path_instead_of(value)}")
    return path
