"""The images of a table in JSON, by the same rules as those of a CSV file."""

# ruff: noqa: PTH120 - paths are str in this package

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from autofit.dataset.asked import Asked
from autofit.dataset.columns import SHOWN_HEADER_CHARACTERS, Columns, choose_columns
from autofit.dataset.groups import value_of_cell
from autofit.dataset.json_table import MAKE_TABLE, SHOWN_CHARACTERS, Row, read_objects
from autofit.dataset.label_sets import Cell, cell_of, marked_names
from autofit.dataset.labels import Label, is_missing, label_of, labels_of_object
from autofit.dataset.listed_places import ListedPlaces
from autofit.dataset.listing import NO_UTF8, Listed, Listing, counts_by, listed
from autofit.dataset.sample_weights import weight_of_cell
from autofit.dataset.split_columns import LOOKED_AT_ROWS, split_word
from autofit.dataset.table import damaged, is_utf8, readable
from autofit.errors import UserError
from autofit.printable import printable

MOST_KEYS = 20_000
"""How many different keys the first objects may have; a column for each label may be several thousand."""
MOST_LOOKED_AT_CELLS = 2**20
"""With more keys than usual fewer objects decide which columns are read."""
EXAMPLE_CHARACTERS = 200
NESTED = "..."
"""Stands for a list or an object among the examples."""


def from_json(path: Path, asked: Asked = Asked()) -> Listing:  # noqa: B008 - a constant
    """The images of a table in JSON. Its columns are the keys of its objects, and are found by their usual names.

    Raises:
        UserError: the file is no such table; or, while it is read, an object is damaged.
    """
    first = list(_first_objects(path))
    columns = json_columns(path, first, asked)
    places = ListedPlaces(os.path.dirname(path), asked.images_in, name=path.stem)
    rows = _rows_of_json(path, columns, places, multi_label=asked.multi_label)
    texts = (value for row in first for value in row.values() if isinstance(value, str))
    notes = tuple(note for note in (columns.note, None if all(map(is_utf8, texts)) else NO_UTF8) if note)
    return Listing.of_table(rows, places, notes, columns, multi_label=asked.multi_label)


def json_columns(path: Path, first: Sequence[Row], asked: Asked) -> Columns:
    """Find the columns of a table in JSON by its first objects.

    Raises:
        UserError: none are those of paths and labels; the message shows the keys.
    """
    source = printable(str(path))
    if not first:
        raise UserError(f"{source} holds no objects: give one for each image, with its path and its label")
    header = list(dict.fromkeys(key for row in first for key in row))
    columns = choose_columns(header, {key: [row.get(key, "") for row in first] for key in header}, asked, source)
    if columns is None:
        raise _refusal(source, header)
    if len(first) == 1 and first[0][columns.path] == NESTED:
        raise UserError(
            f"{source} holds one column after another: write it row by row, with pandas' to_json(orient='records')"
        )
    for name in columns.read:
        _single(name, "name of a column")
    return columns


def _first_objects(path: Path) -> Iterator[Row]:
    """The first objects, with their values as examples.

    Raises:
        UserError: they have too many different keys.
    """
    keys = set[str]()
    for number, (line, row) in enumerate(islice(read_objects(path), LOOKED_AT_ROWS), 1):
        keys |= row.keys()
        if len(keys) > MOST_KEYS:
            raise damaged(path, line, f"the objects up to here have more than {MOST_KEYS:,} different keys")
        yield {key: _example(value) for key, value in row.items()}
        if number * len(keys) > MOST_LOOKED_AT_CELLS:
            return


def _example(value: Any) -> object:
    """A value as that of a cell: what is nested says nothing, and of a long text the beginning is enough."""
    if value is None:
        return ""
    return NESTED if isinstance(value, list | dict) else value[:EXAMPLE_CHARACTERS] if isinstance(value, str) else value


def _refusal(source: str, keys: Iterable[str]) -> UserError:
    """The error about objects without a path or a label."""
    shown = ", ".join(repr(key[:EXAMPLE_CHARACTERS]) for key in islice(keys, SHOWN_HEADER_CHARACTERS))
    shown = shown[:SHOWN_HEADER_CHARACTERS] or "none"
    return UserError(
        f"{source} has no objects with a path and a label (its first keys are {shown}): name them with path_column= "
        f"and label_column=, or {MAKE_TABLE}"
    )


def _rows_of_json(path: Path, columns: Columns, places: ListedPlaces, *, multi_label: bool) -> Iterator[Listed]:
    for line, row in read_objects(path):
        try:
            image = _path_of(row, columns.path)
            label = _label_of(row, columns, multi_label=multi_label)
            splits = [split_word(columns.split, _cell(row, columns.split))] if columns.split else []
            group = value_of_cell(_readable(row.get(columns.group), columns.group)) if columns.group is not None else ""
            by = counts_by(columns.weight, splits)
            weight = 1.0 if by is None else weight_of_cell(_value(row, by), by)
            yield listed(f"line {line}", image, label, splits, places, group, weight)
        except ValueError as error:
            raise UserError(f"{printable(str(path))}, line {line}: {error}; correct this line") from None


def _path_of(row: Row, column: str) -> str:
    """The path in an object; a whole number is one without its suffix, as in a column of ids."""
    value = _cell(row, column)
    if isinstance(value, str) or type(value) is int:
        return str(value)
    raise ValueError(f"the {printable(column)} is {value!r}: give a path")


def _label_of(row: Row, columns: Columns, *, multi_label: bool) -> Label | Cell:
    if columns.marks:
        values = [_value(row, mark) for mark in columns.marks]
        present = ["" if value is None else value for value in values]
        return marked_names(columns.mark_names, present, signed=columns.signed)
    value = row.get(columns.label)
    if isinstance(value, dict):
        value = labels_of_object(value)
    several = [_readable(each, columns.label) for each in value] if isinstance(value, list) else None
    meant = _readable(value, columns.label) if several is None else several
    return cell_of(meant) if multi_label else label_of(meant)


def _readable(value: Any, column: str) -> Any:
    """A single value, whose text is read as in a CSV file."""
    value = _single(value, column)
    return readable(value) if isinstance(value, str) else value


def _cell(row: Row, column: str) -> Any:
    """The value in a column that has one in each object.

    Raises:
        ValueError: it is missing, empty, or an object or a list.
    """
    value = _value(row, column)
    if is_missing(value):
        raise ValueError(f"the {printable(column)} is missing")
    if value == "":
        raise ValueError(f"the {printable(column)} is empty")
    return value


def _value(row: Row, column: str) -> Any:
    """The value in a column; None if it is missing.

    Raises:
        ValueError: it is an object or a list.
    """
    return _single(row.get(column), column)


def _single(value: Any, column: str) -> Any:
    r"""A value as that of a cell.

    Raises:
        ValueError: it is an object or a list, or text with half a letter (`\ud800`), which no file can hold.
    """
    if isinstance(value, dict | list):
        kind = "an object" if isinstance(value, dict) else "a list"
        raise ValueError(f"the {printable(column)} holds {kind} where a single value is expected")  # noqa: TRY004 - as for a cell
    if isinstance(value, str):
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            raise ValueError(f"the {printable(column)} {value[:SHOWN_CHARACTERS]!r} holds half a letter") from None
    return value
