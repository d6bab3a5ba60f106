"""Images with the classes that a run knows: a folder, a table, or paths with labels. Nothing is split or left out."""

# ruff: noqa: PTH100, PTH118 - paths are str in this package

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from autofit.dataset.array_labels import one_each
from autofit.dataset.arrays import are_images, write_images
from autofit.dataset.asked import Asked, refuse_columns
from autofit.dataset.dataset_objects import by_name, class_names_of, is_dataset
from autofit.dataset.folder import find_images
from autofit.dataset.found import Progress
from autofit.dataset.given_lists import refuse_pairs, require_lists
from autofit.dataset.groups import numbers_of_values
from autofit.dataset.inside import shown
from autofit.dataset.labels import is_truth, label_of, other_notation, other_notations
from autofit.dataset.layout import class_folders
from autofit.dataset.listing import Frame, Listed, Listing, from_frame
from autofit.dataset.split_words import roles_of
from autofit.dataset.table_files import from_file
from autofit.errors import UserError
from autofit.printable import printable
from autofit.storage.user_path import user_path

SHOWN_CLASSES = 10

InMemory = tuple[Path, Callable[[str], None], Callable[[int], None]]
"""The folder for images in memory, and the functions `say` and `on_progress` of `write_images`."""


class LabelledImages(NamedTuple):
    """Paths, the class number of each, and the number of its group if a column says which images belong together."""

    paths: list[str]
    numbers: list[int]
    groups: Sequence[int] = ()


def labelled_images(
    data: Any, labels: Iterable[object] | None, class_names: Sequence[str], asked: Asked, in_memory: InMemory
) -> LabelledImages:
    """Find the images and their classes. Only folders are read; no image is opened.

    Args:
        data: a folder with one subfolder per class, a CSV or JSON file or a DataFrame with the columns `path` and
            `label`; one path or several, or images in memory, with `labels`; or a dataset.
        labels: for each path its class: the name, or the number in `class_names`. If the class names are numbers, a
            number is a name.
        class_names: the classes of the run. Not every class has to have images.
        asked: the options about a table.
        in_memory: where images in memory are written.

    Raises:
        UserError: the data cannot be read, holds no images, has a class that the run lacks, or has more or fewer labels
            than paths.
    """
    found = _in_memory(data, labels, class_names, in_memory) if are_images(data) else None
    found = found or _each_once(_found(data, labels, class_names, asked, in_memory[1]), class_names, in_memory[1])
    if not found.paths:
        raise UserError("there are no images to judge the model by: give at least one, with its class")
    return found


def _each_once(images: LabelledImages, class_names: Sequence[str], say: Callable[[str], None]) -> LabelledImages:
    """The images, each once, as a training takes them.

    Raises:
        UserError: one has two classes.
    """
    rows_of = rows_of_files(images.paths)
    for first, *others in rows_of.values():
        for other in others:
            if images.numbers[other] != images.numbers[first]:
                known, then = (f"{class_names[images.numbers[row]]!r:.60}" for row in (first, other))
                raise UserError(f"{printable(images.paths[other])} has the labels {known} and {then}: keep one of them")
    say_of_several(rows_of, say, "each counts once")
    kept = [first for first, *_ in rows_of.values()]
    groups = [images.groups[row] for row in kept] if images.groups else ()
    return LabelledImages([images.paths[row] for row in kept], [images.numbers[row] for row in kept], groups)


def rows_of_files(paths: Sequence[str]) -> dict[str, list[int]]:
    """The rows of each file, by its absolute path, in the order of the first ones."""
    rows_of: dict[str, list[int]] = {}
    for row, path in enumerate(paths):
        rows_of.setdefault(os.path.abspath(path), []).append(row)
    return rows_of


def say_of_several(rows_of: Mapping[str, Sequence[int]], say: Callable[[str], None], then: str) -> None:
    """Say how many files have several rows, if any have, and what then."""
    if several := sum(len(rows) > 1 for rows in rows_of.values()):
        say(f"images that are listed in several rows: {several:,}; {then}")


def _in_memory(
    data: Any, labels: Iterable[object] | None, class_names: Sequence[str], in_memory: InMemory
) -> LabelledImages:
    folder, say, on_progress = in_memory
    _require_columns(labels, class_names, say)
    paths, found = write_images(data, labels, folder, say, on_progress)
    names = class_names_of(data, labels)  # Keras sorts 10 before 2, and so numbers its classes
    if not are_numbers_of(names, class_names):
        found = by_name(found, names)
    if is_dataset(data) and not names and int in map(type, found) and not are_numbers(class_names):
        say(f"the labels of the dataset are numbers: they are taken in the order of the model's, {_shown(class_names)}")
    return LabelledImages(paths, class_numbers(found, class_names))


def are_numbers_of(names: Sequence[str], class_names: Sequence[str]) -> bool:
    """Whether the classes of the run are the numbers of these names: it was trained on images that had lost them."""
    are_numbers = {*class_names} <= {str(number) for number in range(len(names))}
    return are_numbers and {*names}.isdisjoint(class_names) and not other_notations(names, class_names)


def _require_columns(labels: Any, class_names: Sequence[str], say: Callable[[str], None]) -> None:
    """Check that one-hot rows whose columns have no names have one for each class; those of numbers are called so.

    Keras' `to_categorical` makes none for the last classes if no image has them: it is said which columns are meant.

    Raises:
        UserError: they have more.
    """
    shape: tuple[int, ...] = getattr(labels, "shape", ())
    if len(shape) != 2 or hasattr(labels, "columns") or all(map(str.isdecimal, class_names)):  # noqa: PLR2004 - rows, columns
        return
    count = shape[1]
    if count > len(class_names):
        raise UserError(f"labels have {count} columns, and the model {len(class_names)} classes: give one each")
    if 1 < count < len(class_names):
        say(f"the {count} columns of labels are taken as the model's first classes, {_shown(class_names[:count])}")


def are_numbers(class_names: Sequence[str]) -> bool:
    """Whether classes are named by nothing but their numbers."""
    return list(class_names) == list(map(str, range(len(class_names))))


def say_of_splits(rows: Iterable[Listed], say: Callable[[str], None]) -> None:
    """Say that a table's column of splits is not followed, if it has several."""
    roles = {row.role for row in rows}
    if len(roles) > 1:
        say(f"the images of the splits {shown(roles)} are judged together: leave out the rows that are not meant")


def _found(
    data: Any, labels: Iterable[object] | None, class_names: Sequence[str], asked: Asked, say: Callable[[str], None]
) -> LabelledImages:
    if labels is not None:
        if isinstance(data, Frame):
            raise UserError("labels belong to a list of paths, and a DataFrame has its own: give one of the two")
        if isinstance(data, str | os.PathLike):
            data, labels = [data], [labels] if isinstance(labels, str | int) else labels
        require_lists(data, labels)
        _require_columns(labels, class_names, say)
        return _of_lists(list(data), labels, class_names)
    if isinstance(data, str | os.PathLike):
        path = user_path(data).absolute()
        if path.is_dir():
            refuse_columns(asked, printable(os.fspath(data)))
            return _of_folder(str(path), class_names)
        if not path.is_file():
            raise UserError(
                f"{printable(os.fspath(data))} does not exist: give a folder, a CSV or JSON file, or paths with labels"
            )
        return _of_table(from_file(path, asked), class_names, asked, say)
    if isinstance(data, Frame):
        return _of_table(from_frame(data, asked), class_names, asked, say)
    refuse_pairs(data)
    raise UserError("the labels of the listed paths are missing: give labels= with one label for each path")


def _of_lists(paths: list[object], labels: Iterable[object], class_names: Sequence[str]) -> LabelledImages:
    numbers = class_numbers(one_each(labels), class_names)
    if len(paths) != len(numbers):
        raise UserError(f"there are {len(paths)} paths and {len(numbers)} labels: give one label for each path")
    for place, path in enumerate(paths):
        if not isinstance(path, str | os.PathLike):
            raise UserError(f"item {place} of the paths is {path!r}: give a file's path")
    return LabelledImages([os.path.expanduser(os.fsdecode(path)) for path in paths], numbers)  # type: ignore[arg-type]  # noqa: PTH111 - each was checked


def _of_folder(folder: str, class_names: Sequence[str]) -> LabelledImages:
    classes = find_images(class_folders(folder, class_names), folder, Progress()).classes
    names = {**other_notations(classes, class_names), **{name: name for name in class_names}}
    if unknown := classes.keys() - names.keys():
        if splits := roles_of(classes):
            raise UserError(f"{printable(folder)} holds {shown(splits)}, which look like splits: give one of them")
        raise UserError(
            f"{printable(folder)} has the class {min(unknown)!r:.60} that this model does not know: remove it, or name "
            f"it as one of its classes: {_shown(class_names)}"
        )
    number_of = {name: number for number, name in enumerate(class_names)}
    images = [(path, number_of[names[name]]) for name, paths in classes.items() for path in sorted(paths)]
    return LabelledImages([os.path.join(folder, path) for path, _ in images], [number for _, number in images])


def _of_table(listing: Listing, class_names: Sequence[str], asked: Asked, say: Callable[[str], None]) -> LabelledImages:
    rows = list(listing.rows)
    say_of_splits(rows, say)
    paths = [os.path.join(listing.root, os.path.expanduser(row.path)) for row in rows]  # noqa: PTH111
    groups = numbers_of_values(row.group for row in rows) if listing.has_groups_of(asked) else ()
    return LabelledImages(paths, class_numbers((row.label for row in rows), class_names), groups)


def class_numbers(labels: Iterable[object], class_names: Sequence[str]) -> list[int]:
    """The class number of each label.

    Raises:
        UserError: a label is none of the classes.
    """
    number_of: dict[str | int, int] = {name: number for number, name in enumerate(class_names)}
    if not any(name.lstrip("-").isdecimal() for name in class_names):
        number_of |= {number: number for number in range(len(class_names))}
    return [_class_number(label, number_of, class_names) for label in labels]


def _class_number(label: object, number_of: dict[str | int, int], class_names: Sequence[str]) -> int:
    for key in _meanings(label):
        if key in number_of:
            return number_of[key]
    with suppress(ValueError):  # as a training would understand it: without blanks around it, 1.0 as 1
        if (meant := label_of(label)) != label or type(meant) is not type(label):
            return _class_number(meant, number_of, class_names)
    text = label if isinstance(label, str) else str(label)
    if type(label) in {str, int} and (other := other_notation(text, class_names)):
        return number_of.setdefault(text, number_of[other])  # it is looked for once, of many images
    raise UserError(f"label {label!r:.60} is not one of this model's classes: {_shown(class_names)}")


def _meanings(label: object) -> tuple[str | int, ...]:
    """The keys that a label may mean: text is a name; a whole number is a name with these digits, or an index."""
    if isinstance(label, str):
        return (label,)
    if is_truth(label):  # the number that it means is looked for next
        return ()
    try:
        number = operator.index(label)  # type: ignore[arg-type]  # raises TypeError if it is not a whole number
    except TypeError:
        return ()
    return (str(number), number)


def _shown(class_names: Sequence[str]) -> str:
    return ", ".join(class_names[:SHOWN_CLASSES])
