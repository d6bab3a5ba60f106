"""Images with any number of the labels that a run knows: a table, or paths with labels. Nothing is split."""

# ruff: noqa: PTH111, PTH118 - paths are str in this package

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence, Sized
from typing import Any, NamedTuple

from autofit.dataset.array_labels import label_rows
from autofit.dataset.arrays import are_images, write_images
from autofit.dataset.asked import Asked
from autofit.dataset.dataset_objects import class_names_of
from autofit.dataset.given_lists import refuse_bytes, require_lists
from autofit.dataset.groups import numbers_of_values
from autofit.dataset.held_out import TABLE_NEEDED
from autofit.dataset.label_sets import KnownLabels, lacking_marks, names_of_set, sort_into_sets
from autofit.dataset.labelled import (
    SHOWN_CLASSES,
    InMemory,
    are_numbers,
    are_numbers_of,
    labelled_images,
    rows_of_files,
    say_of_several,
    say_of_splits,
)
from autofit.dataset.labels import other_notations
from autofit.dataset.listing import Frame, Listing, from_frame, from_lists, with_own_groups
from autofit.dataset.table_files import from_file
from autofit.errors import UserError
from autofit.printable import first_of, printable
from autofit.storage.user_path import user_path


class LabelledSets(NamedTuple):
    """Paths, the class numbers of each (one, or with `multi_label` any number), and groups as in `LabelledImages`."""

    paths: list[str]
    numbers: list[list[int]]
    groups: Sequence[int] = ()


def with_known_labels(
    data: Any, labels: Iterable[object] | None, class_names: Sequence[str], asked: Asked, in_memory: InMemory
) -> LabelledSets:
    """Find the images and their classes; see `labelled_images` and, for `multi_label`, `labelled_sets`."""
    refuse_bytes(data)
    if isinstance(data, str | os.PathLike | Frame):
        asked = with_own_groups(asked, data)
    if asked.multi_label:
        return labelled_sets(data, labels, class_names, asked, in_memory)
    images = labelled_images(data, labels, class_names, asked, in_memory)
    return LabelledSets(images.paths, [[number] for number in images.numbers], images.groups)


def labelled_sets(
    data: Any, labels: Iterable[object] | None, class_names: Sequence[str], asked: Asked, in_memory: InMemory
) -> LabelledSets:
    """Find the images and their labels. No image is opened.

    Args:
        data: a CSV or JSON file or a DataFrame, as for a training; or one path or several, or images in
            memory, with `labels`; or a dataset.
        labels: for each path a list of names, or a text of several; or rows of 0 and 1, `(n, classes)`.
        class_names: of the run.
        asked: what the user says of a table, with `multi_label` and what separated the labels of the training's table.
        in_memory: where images in memory are written.

    Raises:
        UserError: the data cannot be read, holds no images, or has a label that is none of these.
    """
    folder, say, on_progress = in_memory
    if are_images(data):
        columns = class_names_of(data, labels, multi_label=True)
        columns = [] if are_numbers_of(columns, class_names) else columns
        if columns and isinstance(labels, Frame):
            labels, columns = _columns_of_run(labels, class_names, say), list(class_names)
        data, labels = write_images(data, labels, folder, say, on_progress, multi_label=True)
        labels = _by_name(labels, columns, class_names, say)
    listing = _listing(data, labels, class_names, asked, say)
    if lacking := lacking_marks(listing.marks, class_names):
        say(lacking)
    rows = list(listing.rows)
    if not rows:
        raise UserError("there are no images to judge the model by: give at least one, with its labels")
    say_of_splits(rows, say)
    paths = [os.path.join(listing.root, os.path.expanduser(row.path)) for row in rows]
    rows_of = rows_of_files(paths)
    say_of_several(rows_of, say, "each has the labels of all of them")
    first_rows = [first for first, *_ in rows_of.values()]
    cells: dict[str, tuple[Any, ...]] = {
        path: tuple(dict.fromkeys(rows[row].label for row in its)) for path, its in rows_of.items()
    }
    set_of = sort_into_sets(cells, listing.marks, KnownLabels(class_names, asked.separator)).set_of
    number_of = {name: number for number, name in enumerate(class_names)}
    names = [names_of_set(each) for each in set_of.values()]
    if unknown := sorted({name for each in names for name in each} - number_of.keys()):
        raise UserError(f"label {unknown[0]!r:.60} is not one of this model's: {', '.join(class_names[:10])}")
    groups = numbers_of_values(rows[row].group for row in first_rows) if listing.has_groups_of(asked) else ()
    return LabelledSets(
        [paths[row] for row in first_rows], [[number_of[name] for name in each] for each in names], groups
    )


def _listing(data: Any, labels: Any, class_names: Sequence[str], asked: Asked, say: Callable[[str], None]) -> Listing:
    if isinstance(data, Frame):
        if labels is not None:
            raise UserError("labels belong to a list of paths, and a DataFrame has its own: give one of the two")
        return from_frame(data, asked)
    if labels is not None:
        paths = [data] if isinstance(data, str | os.PathLike) else data
        if isinstance(labels, str) and isinstance(paths, Sized) and getattr(paths, "ndim", 1) != 0 and len(paths) == 1:
            labels = [labels]
        require_lists(paths, labels)
        return from_lists(paths, _named(labels, class_names, say), asked)
    if not isinstance(data, str | os.PathLike):
        raise UserError("the labels of the listed paths are missing: give labels= with one list for each path")
    path = user_path(data).absolute()
    if path.is_dir():
        raise UserError(
            f"{printable(os.fspath(data))} is a folder, and each of its images has one label: {TABLE_NEEDED}"
        )
    if not path.is_file():
        raise UserError(f"{printable(os.fspath(data))} does not exist: give a CSV file, or paths with labels")
    return from_file(path, asked)


def _named(labels: Any, class_names: Sequence[str], say: Callable[[str], None]) -> list[Any]:
    """Labels of listed paths by name."""
    if getattr(labels, "ndim", 1) != 2:  # noqa: PLR2004 - rows and columns
        return list(labels)
    if isinstance(labels, Frame):
        return _by_name(label_rows(_columns_of_run(labels, class_names, say)), class_names, class_names, say)
    return _by_name(label_rows(labels), [], class_names, say)


def _columns_of_run(labels: Frame, class_names: Sequence[str], say: Callable[[str], None]) -> list[list[object]]:
    """Rows of 0 and 1 in the order of the run's classes, by the names of columns; others are left out, and it is said.

    Raises:
        UserError: a class has no column.
    """
    by_name = {str(name): list(labels[name]) for name in labels.columns}  # type: ignore[index]  # may be a number
    _require_all(by_name, class_names)
    if others := [printable(repr(name)) for name in by_name if name not in class_names]:
        say(f"the model has no label {first_of(others, SHOWN_CLASSES)}: the columns are left out")
    return [list(row) for row in zip(*(by_name[name] for name in class_names), strict=True)]


def _by_name(
    labels: Sequence[Any], names: Sequence[str], class_names: Sequence[str], say: Callable[[str], None]
) -> list[Any]:
    """Labels by name, of which rows of 0 and 1 have a column for each of `names`, or else of the run's classes.

    Raises:
        UserError: a class has no column, or the rows have another number of columns.
    """
    if not any(map(_is_row, labels)):
        return list(labels)
    if names:
        meant = other_notations({*names} - {*class_names}, class_names)
        names = [meant.get(name, name) for name in names]
        _require_all(names, class_names)
    elif not are_numbers(class_names):
        shown = first_of(list(map(printable, class_names)), SHOWN_CLASSES)
        say(f"the labels are columns of 0 and 1 without names: they are taken in the order of the model's, {shown}")
    return [_names_of_row(one, names, class_names) if _is_row(one) else one for one in labels]


def _require_all(names: Iterable[str], class_names: Sequence[str]) -> None:
    if missing := sorted({*class_names}.difference(names)):
        raise UserError(f"the labels have no column {missing[0]!r}: give a column of 0 and 1 for each class")


def _is_row(labels: Any) -> bool:
    """Whether the labels of an image are 0 or 1 for each class; a name, or an array of names, is none."""
    return getattr(labels, "ndim", 0) == 1 and labels.dtype.kind in "buif"


def _names_of_row(row: Any, names: Sequence[str], class_names: Sequence[str]) -> list[str]:
    columns = names or class_names
    if len(row) != len(columns):
        whose = "the dataset" if names else "the model"
        raise UserError(f"labels have {len(row)} columns, and {whose} {len(columns)} classes: give one each")
    return [name for name, has in zip(columns, row, strict=True) if has]
