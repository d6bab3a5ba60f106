"""Images that are listed one by one with their labels: in a CSV file, in lists or arrays, or in a DataFrame."""

# ruff: noqa: PTH109, PTH120 - a Path for each of a million files would take most of the time

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, repeat
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from autofit.dataset.array_labels import one_each
from autofit.dataset.asked import Asked
from autofit.dataset.bare_list import NO_NAMES, bare_line
from autofit.dataset.columns import Columns, choose_columns
from autofit.dataset.given_lists import path_of_item, plain_list, require_lists
from autofit.dataset.groups import same_column, value_of_cell
from autofit.dataset.image_table import ImageTable
from autofit.dataset.index import GROUP_COLUMN, HEADERS
from autofit.dataset.label_sets import Cell, cell_of, marked_names
from autofit.dataset.labels import Label, label_of
from autofit.dataset.listed_places import ListedPlaces
from autofit.dataset.missing_files import Missing
from autofit.dataset.own_list import OWN_LIST, is_own_list, own_root
from autofit.dataset.sample_weights import weight_of_cell
from autofit.dataset.split_columns import LOOKED_AT_ROWS, split_word, split_words_of
from autofit.dataset.split_words import Role, split_role
from autofit.dataset.table import columns_of, damaged, read_lines, read_rows, readable
from autofit.dataset.table_form import TableForm, table_form
from autofit.errors import UserError
from autofit.printable import printable
from autofit.storage.user_path import user_path


class Listed(NamedTuple):
    """One listed image. `place` says where it is listed, such as `line 7`; paths may be relative to the table's folder.

    `missing` says why it is no file that can be read, if it is none; `group` is what it has in common with others, and
    `weight` how much it counts.
    """

    place: str
    path: str
    label: Label | Cell
    role: Role = "train"
    missing: Missing | None = None
    group: str = ""
    weight: float = 1.0


@runtime_checkable
class Frame(Protocol):
    """The part of a DataFrame that autofit uses, so that pandas is not needed."""

    columns: Iterable[object]

    def __getitem__(self, column: str, /) -> Iterable[object]:
        """The values of a column."""


class Listing(NamedTuple):
    """Listed images, to be iterated once; after that `notes` and `places.note` say how the table was understood.

    With `multi_label` the labels are cells of any number of labels; `marks` are the names of all, where each has its
    own column. `group` is the column of groups, if there is one, and `keeps_groups` whether it was asked for; `weight`
    is that of weights.
    `other_paths` are further columns that hold names of images. `bare_list` is a list without names of columns.
    """

    rows: Iterator[Listed]
    root: str
    places: ListedPlaces
    notes: tuple[str, ...] = ()
    multi_label: bool = False
    marks: tuple[str, ...] = ()
    group: str | None = None
    keeps_groups: bool = False
    other_paths: tuple[str, ...] = ()
    weight: str | None = None
    bare_list: Path | None = None

    @classmethod
    def of_table(
        cls,
        rows: Iterator[Listed],
        places: ListedPlaces,
        notes: tuple[str, ...],
        columns: Columns,
        *,
        multi_label: bool,
        bare_list: Path | None = None,
    ) -> Listing:
        """The images of a table with these columns, of which `rows` are read."""
        found = columns.mark_names, columns.group, columns.keeps_groups, columns.other_paths, columns.weight
        return cls(rows, places.root, places, notes, multi_label, *found, bare_list)

    def has_groups_of(self, asked: Asked) -> bool:
        """Whether a column says which images belong together in the sense of the one that was asked for."""
        if self.group is None or asked.group_column is None:
            return False
        return self.keeps_groups or same_column(self.group, asked.group_column)


def from_csv(path: Path, asked: Asked = Asked()) -> Listing:  # noqa: B008 - a constant
    """The images of a CSV file: its columns are found by their usual names, its labels are text.

    Raises:
        UserError: the file is no such table; or, while it is read, a line is damaged.
    """
    form = table_form(path, asked)
    root = own_root(path, form.columns) or os.path.dirname(path)
    places = ListedPlaces(root, asked.images_in, name=path.stem)
    is_own = is_own_list(path, form.columns)
    rows = _rows_of_csv(path, form, places, multi_label=asked.multi_label, is_own=is_own)
    found = (form.columns.note, NO_NAMES if form.is_bare else None, None if form.is_utf8 or is_own else NO_UTF8)
    notes = tuple(note for note in found if note)
    bare_list = path if form.is_bare else None
    return Listing.of_table(rows, places, notes, form.columns, multi_label=asked.multi_label, bare_list=bare_list)


def from_frame(frame: Frame, asked: Asked = Asked()) -> Listing:  # noqa: B008 - a constant
    """The images of a DataFrame; relative paths are relative to the working folder.

    Raises:
        UserError: it has no such columns; or, while it is read, a row holds no path, label or split.
    """
    if isinstance(frame, ImageTable):  # what is asked of the user's tables is none of its
        asked = replace(
            asked,
            path_column=None,
            label_column=None,
            images_in=None,
            group_column=None,
            weight_column=frame.weight_column,
        )
    names = list(frame.columns)
    header = [name for name in names if isinstance(name, str)]
    examples = {name: list(islice(frame[name], LOOKED_AT_ROWS)) for name in header}
    columns = choose_columns(header, examples, asked, "the DataFrame")
    if columns is None:
        lacking = "path" if "label" in header or asked.label_column else "label"
        raise UserError(
            f"the DataFrame has no column {lacking!r} but {str(names)[:80]}: rename the one that is meant, or name "
            f"it with {lacking}_column="
        )
    splits = None if columns.split is None else split_words_of(frame[columns.split], columns.split)
    mark_names = (frame.names if isinstance(frame, ImageTable) else ()) or columns.mark_names
    marked = partial(_marked, called=mark_names, signed=columns.signed)
    labels = marked(frame, columns.marks) if columns.marks else frame[columns.label]
    root = frame.root if isinstance(frame, ImageTable) else os.getcwd()
    groups = None if columns.group is None else map(value_of_cell, plain_list(frame[columns.group]))
    weights = None if columns.weight is None else _weights(frame[columns.weight], columns.weight, splits)
    listing = _from_lists(frame[columns.path], labels, splits, asked, root, groups, weights)
    notes = (columns.note,) if columns.note else ()
    return listing._replace(
        notes=notes,
        marks=mark_names,
        group=columns.group,
        keeps_groups=columns.keeps_groups,
        other_paths=columns.other_paths,
        weight=columns.weight,
    )


def from_lists(paths: Iterable[object], labels: Iterable[object], asked: Asked = Asked()) -> Listing:  # noqa: B008
    """The images of two lists or arrays of the same length, counted from 0.

    An array of labels may also be of 0 and 1, `(n, classes)`: one-hot, unless an image may have several labels.

    Raises:
        UserError: the lengths differ; or, while they are read, an item is not a path, or not a label.
    """
    require_lists(paths, labels)  # while labels still have the index of pandas
    if asked.multi_label and isinstance(labels, Frame):
        names = tuple(str(name) for name in labels.columns)
        table = {str(name): labels[name] for name in labels.columns}  # type: ignore[index]  # a name may be a number
        return _from_lists(paths, _marked(table, names), None, asked, os.getcwd())._replace(marks=names)
    if asked.multi_label and getattr(labels, "ndim", 1) == 2:  # noqa: PLR2004 - rows and columns
        marks = tuple(map(str, range(labels.shape[1])))  # type: ignore[attr-defined]  # an array, by its ndim
        table = {name: labels[:, number] for number, name in enumerate(marks)}  # type: ignore[index]  # likewise
        return _from_lists(paths, _marked(table, marks), None, asked, os.getcwd())._replace(marks=marks)
    return _from_lists(paths, labels if asked.multi_label else one_each(labels), None, asked, os.getcwd())


NO_UTF8 = "the table is not UTF-8: its labels are read as Windows-1252; if one looks wrong, save the table as UTF-8"


def listed(
    place: str,
    path: str,
    label: Label | Cell,
    split: list[str],
    places: ListedPlaces,
    group: str = "",
    weight: float = 1.0,
) -> Listed:
    """The image of a row, found in its place.

    Raises:
        ValueError: its split is none.
    """
    role = split_role(split[0]) if split else "train"
    if role is None:
        raise ValueError(f"the split {split[0]!r:.60} is none of train, validation and test")
    found = places.find(path, label)
    if found is not None:
        return Listed(place, found, label, role, None, group, weight)
    return Listed(place, places.expected(path), label, role, places.why_missing(path), group, weight)


def _rows_of_csv(
    path: Path, form: TableForm, places: ListedPlaces, *, multi_label: bool, is_own: bool
) -> Iterator[Listed]:
    """The rows of a table; in a run's own list a name is that in the file system, byte for byte."""
    columns = form.columns
    count = len(columns.marks) or 1
    for line, (image, *cells) in _cells_of(path, form, multi_label=multi_label):
        try:
            if columns.marks:
                label: Label | Cell = marked_names(columns.mark_names, cells[:count], signed=columns.signed)
            else:
                text = cells[0] if is_own else readable(cells[0])
                label = cell_of(text) if multi_label else label_of(text)
            splits = [split_word(columns.split, cells[count])] if columns.split else []
            others = cells[len(columns.names) - 1 :]
            group = value_of_cell(readable(others[0])) if columns.group is not None else ""
            by = counts_by(columns.weight, splits)
            weight = 1.0 if by is None else weight_of_cell(readable(others[-1]), by)
            yield listed(f"line {line}", image, label, splits, places, group, weight)
        except ValueError as error:
            raise UserError(f"{printable(str(path))}, line {line}: {error}; correct this line") from None


def _cells_of(path: Path, form: TableForm, *, multi_label: bool) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row that are read, with the number of its line."""
    columns = form.columns
    if not form.is_bare:
        optional = {columns.group or "", columns.weight or "", *columns.marks}  # of an empty mark more is to be said
        if multi_label and not columns.marks:
            optional.add(columns.label)
        yield from read_rows(
            path, columns.read, encoding=form.encoding, separator=form.separator, may_be_empty=optional
        )
        return
    for number, line in read_lines(path, form.encoding):
        found = bare_line(line, form.separator, lacks_suffix=form.lacks_suffix)
        if found is None:
            raise damaged(path, number, f"{line.strip()[:40]!r} is not a path and a label, as the lines above it are")
        yield number, list(found)


def _marked(
    columns: Mapping[str, Iterable[object]] | Frame,
    marks: Sequence[str],
    called: Sequence[str] | None = None,
    *,
    signed: bool = False,
) -> list[object]:
    """The names that each row marks, from one column for each; `called` are its labels, if not the columns' names.

    Raises:
        UserError: a value is neither 0 nor 1.
    """
    names: list[object] = []
    for number, values in enumerate(zip(*(plain_list(columns[name]) for name in marks), strict=True)):
        try:
            names.append(marked_names(called or marks, values, signed=signed))
        except ValueError as error:
            raise UserError(f"item {number} of the labels: {error}") from None
    return names


def _from_lists(
    paths: Iterable[object],
    labels: Iterable[object],
    splits: Iterable[object] | None,
    asked: Asked,
    root: str,
    groups: Iterable[str] | None = None,
    weights: Iterable[float] | None = None,
) -> Listing:
    paths, labels = plain_list(paths), plain_list(labels)
    if len(paths) != len(labels):
        raise UserError(f"there are {len(paths)} paths and {len(labels)} labels: give one label for each path")
    places = ListedPlaces(root, asked.images_in)
    meaning = cell_of if asked.multi_label else label_of
    of_rows = plain_list(splits) if splits is not None else None
    others = zip(repeat("") if groups is None else groups, repeat(1.0) if weights is None else weights, strict=False)
    rows = _rows_of_lists(paths, labels, of_rows, others, places, meaning)
    return Listing(rows, root, places, multi_label=asked.multi_label)


def _rows_of_lists(
    paths: list[object],
    labels: list[object],
    splits: list[object] | None,
    others: Iterable[tuple[str, float]],
    places: ListedPlaces,
    meaning: Callable[[object], Label | Cell],
) -> Iterator[Listed]:
    for number, (path, label, (group, weight)) in enumerate(zip(paths, labels, others, strict=False)):
        split = [] if splits is None else [str(splits[number])]
        try:
            yield listed(f"item {number}", path_of_item(path, number), meaning(label), split, places, group, weight)
        except ValueError as error:
            raise UserError(f"item {number} of the labels: {error}") from None


def counts_by(column: str | None, split: Sequence[str]) -> str | None:
    """The column of weights that a row's image counts by; None without one, and for the test, which has no weights."""
    return None if split and split_role(split[0]) == "test" else column


def _weights(cells: Iterable[object], column: str, splits: Sequence[str] | None) -> Iterator[float]:
    """The weights in a column of a DataFrame, of which another may say the splits.

    Raises:
        UserError: a cell holds none.
    """
    for number, cell in enumerate(plain_list(cells)):
        try:
            by = counts_by(column, [] if splits is None else [splits[number]])
            yield 1.0 if by is None else weight_of_cell(cell, by)
        except ValueError as error:
            raise UserError(f"item {number}: {error}") from None


def with_own_groups(asked: Asked, data: str | os.PathLike[str] | Frame) -> Asked:
    """The options about a table that is judged; the list that a run has written has its groups in a column of its own.

    Their numbers are no values of the run's column, so that they must not be compared with those of another table.
    """
    is_wanted = asked.group_column is not None and asked.is_held_out
    return replace(asked, group_column=GROUP_COLUMN) if is_wanted and _is_own_list_of_groups(data) else asked


def _is_own_list_of_groups(data: str | os.PathLike[str] | Frame) -> bool:
    if isinstance(data, Frame):
        header: tuple[object, ...] = tuple(data.columns)
    else:
        path = user_path(data)
        header = columns_of(path) if path.name == OWN_LIST else ()
    return header in HEADERS and GROUP_COLUMN in header
