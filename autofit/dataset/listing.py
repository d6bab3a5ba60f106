"""Images that are listed one by one with their labels: in a CSV file, in lists or arrays, or in a DataFrame."""

# ruff: noqa: PTH111, PTH113, PTH118 - a Path for each of a million files would take most of the time

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from autofit.dataset.folder import Found, Progress, below
from autofit.dataset.table import read_rows
from autofit.errors import UserError
from autofit.printable import printable

Label = str | int


class Listed(NamedTuple):
    """One listed image. `place` says where, such as `line 7`; relative paths are relative to the listing's folder."""

    place: str
    path: str
    label: Label


@runtime_checkable
class Frame(Protocol):
    """The part of a DataFrame that autofit uses, so that pandas is not needed."""

    columns: Iterable[object]

    def __getitem__(self, column: str, /) -> Iterable[object]:
        """The values of a column."""


def from_csv(path: Path) -> Iterator[Listed]:
    """The images of a CSV file with the columns `path` and `label`; labels are text."""
    for line, (image, label) in read_rows(path, ("path", "label")):
        yield Listed(f"line {line}", image, label)


def from_frame(frame: Frame) -> Iterator[Listed]:
    """The images of a DataFrame with the columns `path` and `label`."""
    columns = list(frame.columns)
    for column in ("path", "label"):
        if column not in columns:
            raise UserError(f"the DataFrame has no column {column!r} but {columns}: rename the one that is meant")
    return from_lists(frame["path"], frame["label"])


def from_lists(paths: Iterable[object], labels: Iterable[object]) -> Iterator[Listed]:
    """The images of two lists or arrays of the same length, counted from 0.

    Raises:
        UserError: the lengths differ, a path is not a path, or a label is neither text nor a whole number.
    """
    paths, labels = _plain_list(paths), _plain_list(labels)
    if len(paths) != len(labels):
        raise UserError(f"there are {len(paths)} paths and {len(labels)} labels: give one label for each path")
    return (
        Listed(f"item {number}", _path(path, number), _label(label, number))
        for number, (path, label) in enumerate(zip(paths, labels, strict=True))
    )


def gather(listed: Iterable[Listed], root: str, progress: Progress) -> Found:
    """Sort listed images into classes, each image once. Text labels are ordered as text, whole numbers as numbers.

    Args:
        listed: relative paths are relative to `root`; `~` is expanded.
        root: absolute folder.
        progress: counts the images.

    Raises:
        UserError: files are missing, one is listed with two labels, or labels mix text and numbers.
    """
    label_of = _labels_by_path(listed, root, progress)
    try:
        classes: dict[Label, list[str]] = {label: [] for label in sorted(set(label_of.values()))}
    except TypeError:
        raise UserError("the labels mix text and whole numbers: give all of one kind") from None
    for path, label in label_of.items():
        classes[label].append(path)
    return Found({str(label): paths for label, paths in classes.items()})


def _labels_by_path(listed: Iterable[Listed], root: str, progress: Progress) -> dict[str, Label]:
    label_of: dict[str, Label] = {}
    first_equal: dict[Label, Label] = {}  # each line of a CSV file has a new object for the same text
    missing_count, first_missing = 0, ""
    for place, path, label in listed:
        absolute = os.path.normpath(os.path.join(root, os.path.expanduser(path)))
        stored = below(root, absolute)
        if stored == path and type(path) is str:
            stored = path  # the caller's object: copies of a million paths would take 100 MB
        if stored not in label_of:
            label_of[stored] = first_equal.setdefault(label, label)
            progress.count_one()
            if not os.path.isfile(absolute):
                missing_count += 1
                first_missing = first_missing or f"{printable(absolute)} ({place})"
        elif label_of[stored] != label:
            raise UserError(f"{printable(path)} has the labels {label_of[stored]!r} and, {place}, {label!r}: keep one")
    if missing_count:
        raise UserError(
            f"{missing_count} of {len(label_of)} listed files do not exist, the first is {first_missing}: "
            "correct or remove them"
        )
    return label_of


def _plain_list(values: Iterable[object]) -> list[object]:
    """A list of Python's own values: `tolist` of arrays and DataFrame columns turns theirs into these."""
    tolist = getattr(values, "tolist", None)
    return list(tolist() if tolist else values)


def _path(value: object, number: int) -> str:
    try:
        path = os.fsdecode(value)  # type: ignore[arg-type]  # raises TypeError if it is not a path
    except TypeError:
        path = ""
    if not path:
        raise UserError(f"item {number} of the paths is {value!r}: give a file's path")
    return path


def _label(value: object, number: int) -> Label:
    if isinstance(value, str) and value:
        return value
    try:
        return operator.index(value)  # type: ignore[arg-type]  # raises TypeError if it is not a whole number
    except TypeError:
        raise UserError(f"item {number} of the labels is {value!r}: give text or a whole number") from None
