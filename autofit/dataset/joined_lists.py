"""Lists that are joined by the id of an image, as CUB-200-2011 and NABirds have them; nothing else is read so.

Each line has an id and what the list says of it: `images.txt` the path, `image_class_labels.txt` the number of the
class, `train_test_split.txt` 1 for the training and 0 for the test, `classes.txt` the name of a class by its number.
The last two may be missing.
"""

# ruff: noqa: PTH116, PTH120 - paths are str in this package

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from autofit.dataset.asked import Asked
from autofit.dataset.label_sets import Cell
from autofit.dataset.labels import Label, label_of
from autofit.dataset.listed_places import ListedPlaces
from autofit.dataset.listing import Listed, Listing, listed
from autofit.dataset.table import damaged, read_lines, readable, refusing_unreadable
from autofit.dataset.table_form import encoding_of
from autofit.errors import UserError
from autofit.printable import printable

PATHS, LABELS, SPLITS, CLASSES = "images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt"
SHOWN_CHARACTERS = 40
_ROLES: Final = {"1": "train", "0": "test"}


class Joined(NamedTuple):
    """What the lists beside that of the paths say: by id the class and the split, and by class its name."""

    class_of: dict[str, str]
    split_of: dict[str, str]
    names: dict[str, str]


def are_joined(path: Path) -> bool:
    """Whether a file is the list of paths, and that of labels lies beside it.

    Raises:
        UserError: it cannot be found out.
    """
    return path.name == PATHS and _is_there(path) and _is_there(path.with_name(LABELS))


def have_split(path: Path) -> bool:
    """Whether such lists say which images are held out.

    Raises:
        UserError: it cannot be found out.
    """
    return are_joined(path) and _is_there(path.with_name(SPLITS))


def from_joined_lists(path: Path, asked: Asked) -> Listing:
    """The images of the list of paths, with the labels and splits of those beside it.

    Raises:
        UserError: a list cannot be read; or, while that of paths is, a line of it is damaged, or no label has its id.
    """
    if asked.names_columns:
        raise UserError(f"{printable(str(path))} has no names of columns: leave path_column= and the like out")
    joined = Joined(*(_by_id(path.with_name(name)) for name in (LABELS, SPLITS, CLASSES)))
    if len(set(joined.names.values())) < len(joined.names):
        joined = joined._replace(names={})  # two classes would be one
    root = os.path.dirname(path)
    places = ListedPlaces(root, asked.images_in, name=path.stem)
    note = f"the labels are those of {LABELS}{f', the splits those of {SPLITS}' if joined.split_of else ''}"
    rows = _rows(path, joined, places, multi_label=asked.multi_label)
    return Listing(rows, root, places, (note,), asked.multi_label)


def _rows(path: Path, joined: Joined, places: ListedPlaces, *, multi_label: bool) -> Iterator[Listed]:
    for line, key, image in _pairs(path):
        try:
            yield listed(f"line {line}", image, _label(key, joined, multi_label), _split(key, joined), places)
        except ValueError as error:
            raise damaged(path, line, str(error)) from None


def _label(key: str, joined: Joined, multi_label: bool) -> Label | Cell:  # noqa: FBT001 - of this file alone
    number = joined.class_of.get(key)
    if number is None:
        raise ValueError(f"no line of {LABELS} begins with its id, {key[:SHOWN_CHARACTERS]!r}")
    label = label_of(readable(joined.names.get(number, number)))
    return (str(label),) if multi_label else label


def _split(key: str, joined: Joined) -> list[str]:
    if not joined.split_of:
        return []
    said = joined.split_of.get(key)
    if said not in _ROLES:
        raise ValueError(f"{SPLITS} says {said and said[:SHOWN_CHARACTERS]!r} of its id, neither 0 nor 1")
    return [_ROLES[said]]


def _by_id(path: Path) -> dict[str, str]:
    """What a list says of each id; nothing if there is no such list."""
    found: dict[str, str] = {}
    if not _is_there(path):
        return found
    for line, key, said in _pairs(path):
        if found.setdefault(key, said) != said:
            raise damaged(path, line, f"the id {key[:SHOWN_CHARACTERS]!r} is there twice")
    return found


def _is_there(path: Path) -> bool:
    with refusing_unreadable(path):
        try:
            os.stat(path)
        except FileNotFoundError:
            return False
    return True


def _pairs(path: Path) -> Iterator[tuple[int, str, str]]:
    """Each line's number, its id and the rest of it."""
    with refusing_unreadable(path):
        encoding = encoding_of(path)
    for line, text in read_lines(path, encoding):
        key, _, said = text.strip().partition(" ")
        if not said.strip():
            raise damaged(path, line, f"{text.strip()[:SHOWN_CHARACTERS]!r} is not an id and what is said of it")
        yield line, key, said.strip()
