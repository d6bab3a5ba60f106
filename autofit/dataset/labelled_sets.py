"""Images with any number of the labels that a run knows: a table, or paths with labels. Nothing is split."""

# ruff: noqa: PTH111, PTH118 - paths are str in this package

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence, Sized
from typing import Any, NamedTuple

from autofit.dataset.array_labels import label_rows
from autofit.dataset.arrays import are_images, write_images
from autofit.dataset.asked import Asked
from autofit.dataset.given_lists import refuse_bytes, require_lists
from autofit.dataset.groups import numbers_of_values
from autofit.dataset.held_out import TABLE_NEEDED
from autofit.dataset.label_sets import KnownLabels, names_of_set, sort_into_sets
from autofit.dataset.labelled import InMemory, labelled_images, rows_of_files, say_of_several
from autofit.dataset.listing import Frame, Listing, from_frame, from_lists, with_own_groups
from autofit.dataset.table_files import from_file
from autofit.errors import UserError
from autofit.printable import printable
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
    if are_images(data):
        folder, say, on_progress = in_memory
        data, labels = write_images(data, labels, folder, say, on_progress, multi_label=True)
        labels = [_names_of_row(one, class_names) if _is_row(one) else one for one in labels]
    listing = _listing(data, labels, class_names, asked)
    rows = list(listing.rows)
    if not rows:
        raise UserError("there are no images to judge the model by: give at least one, with its labels")
    paths = [os.path.join(listing.root, os.path.expanduser(row.path)) for row in rows]
    rows_of = rows_of_files(paths)
    say_of_several(rows_of, in_memory[1], "each has the labels of all of them")
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


def _listing(data: Any, labels: Any, class_names: Sequence[str], asked: Asked) -> Listing:
    if isinstance(data, Frame):
        if labels is not None:
            raise UserError("labels belong to a list of paths, and a DataFrame has its own: give one of the two")
        return from_frame(data, asked)
    if labels is not None:
        paths = [data] if isinstance(data, str | os.PathLike) else data
        if isinstance(labels, str) and isinstance(paths, Sized) and getattr(paths, "ndim", 1) != 0 and len(paths) == 1:
            labels = [labels]
        require_lists(paths, labels)
        return from_lists(paths, _named(labels, class_names), asked)
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


def _named(labels: Any, class_names: Sequence[str]) -> list[Any]:
    """Labels by name; rows of 0 and 1 have a column for each class of the run."""
    if getattr(labels, "ndim", 1) != 2:  # noqa: PLR2004 - rows and columns
        return list(labels)
    if isinstance(labels, Frame):
        missing = sorted({*class_names} - {str(name) for name in labels.columns})
        if missing:
            raise UserError(f"the labels have no column {missing[0]!r}: give a column of 0 and 1 for each class")
        by_name = {str(name): list(labels[name]) for name in labels.columns}  # type: ignore[index]  # may be a number
        labels = [list(row) for row in zip(*(by_name[name] for name in class_names), strict=True)]
    return [_names_of_row(row, class_names) for row in label_rows(labels)]


def _is_row(labels: Any) -> bool:
    """Whether the labels of an image are 0 or 1 for each class; a name, or an array of names, is none."""
    return getattr(labels, "ndim", 0) == 1 and labels.dtype.kind in "buif"


def _names_of_row(row: Any, class_names: Sequence[str]) -> list[str]:
    if len(row) != len(class_names):
        raise UserError(f"labels have {len(row)} columns, and the model {len(class_names)} classes: give one each")
    return [name for name, has in zip(class_names, row, strict=True) if has]
