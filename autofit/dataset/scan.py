"""Turns the data that a user gives into an ImageIndex."""

# ruff: noqa: PTH100, PTH109, PTH110, PTH111, PTH112, PTH120 - paths are str in this package

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from autofit.dataset.folder import Found, Progress, find_images, training_and_validation
from autofit.dataset.index import ImageIndex
from autofit.dataset.listing import Frame, Listed, from_csv, from_frame, from_lists, gather
from autofit.dataset.split import Classes, in_order, stratified_split
from autofit.errors import UserError
from autofit.printable import printable

LEAST_IMAGES_A_CLASS = 2

Data = str | os.PathLike[str] | Iterable[object]


def scan(
    data: Data,
    labels: Iterable[object] | None = None,
    *,
    validation: float | str | Path = 0.2,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> ImageIndex:
    """Find all images and their classes, and split them into training and validation. No image is opened.

    Args:
        data: a folder with one subfolder a class, or with `train/` and `val/` or `validation/` that have them; a CSV
            file with the columns `path` and `label`, its relative paths relative to its folder; a list or array of
            paths; a DataFrame with the columns `path` and `label`. `~` is expanded.
        labels: text or whole numbers, one for each path of a list.
        validation: a share from 0 up to under 1, taken from each class, or a folder with one subfolder a class. Where
            `train/` and `val/` were found, any share above 0 means `val/`, and 0 leaves it out.
        seed: another seed, another split.
        on_progress: called with the number of images so far, every few thousand.

    Raises:
        UserError: an argument cannot be used; the message names it and says what to do.
    """
    progress = Progress(on_progress)
    source = _read(data, labels, _share_or_folder(validation), progress)
    _require_trainable(source.found, source.name)
    if isinstance(source.held_out, str):
        return _with_validation_folder(source.root, source.found, source.held_out, progress)
    training, validating = stratified_split(list(source.found.classes.values()), source.held_out, seed)
    return _index(source.root, source.found, training, validating)


class _Source(NamedTuple):
    """The images for training: without the share `held_out`, which is for validation, or all if that is a folder."""

    name: str
    root: str
    found: Found
    held_out: float | str


def _read(data: Data, labels: Iterable[object] | None, held_out: float | str, progress: Progress) -> _Source:
    if not isinstance(data, str | os.PathLike):
        root = os.getcwd()
        return _Source("the list", root, gather(_listed(data, labels), root, progress), held_out)
    name = printable(os.fspath(data))
    if labels is not None:
        raise UserError(f"labels belong to a list of paths, and the data is {name}: leave them out")
    path = _existing(data)
    if not os.path.isdir(path):
        root = os.path.dirname(path)
        return _Source(name, root, gather(from_csv(Path(path)), root, progress), held_out)
    training_folder, beside = training_and_validation(path)
    if beside and held_out and not isinstance(held_out, str):
        held_out = beside
    leave_out = held_out if isinstance(held_out, str) else None
    return _Source(name, path, find_images(training_folder, path, progress, leave_out=leave_out), held_out)


def _share_or_folder(validation: float | str | Path) -> float | str:
    if isinstance(validation, str | os.PathLike):
        return _existing(validation)
    if not 0 <= validation < 1:
        raise UserError(f"validation is {validation}: give a share from 0 up to under 1, or a folder")
    return validation


def _existing(path: str | os.PathLike[str]) -> str:
    absolute = os.path.abspath(os.path.expanduser(path))
    if not os.path.exists(absolute):
        raise UserError(
            f"{printable(os.fspath(path))} does not exist: check the path (looked for {printable(absolute)})"
        )
    return absolute


def _listed(data: Data, labels: Iterable[object] | None) -> Iterable[Listed]:
    if not isinstance(data, Iterable):
        raise UserError(f"the data is {data!r}: give a folder, a CSV file, a list of paths with labels or a DataFrame")
    if isinstance(data, Frame):
        if labels is not None:
            raise UserError("labels belong to a list of paths, and a DataFrame has its own: give one of the two")
        return from_frame(data)
    if labels is None:
        raise UserError("the labels of the listed paths are missing: give labels= with one label for each path")
    return from_lists(data, labels)


def _require_trainable(found: Found, source: str) -> None:
    skipped = f" ({found.skipped_files} other files were skipped)" if found.skipped_files else ""
    if not found.classes:
        raise UserError(f"{source} holds no images{skipped}: give images of two classes or more")
    if len(found.classes) == 1:
        only = next(iter(found.classes))
        empty = f" (without images: {', '.join(map(repr, found.empty_classes))})" if found.empty_classes else ""
        raise UserError(f"{source} holds images of only one class, {only!r}{empty}: give two classes or more")
    for name, paths in found.classes.items():
        if len(paths) < LEAST_IMAGES_A_CLASS:
            raise UserError(
                f"class {name!r} has only one image, {printable(paths[0])}: add a second or remove the class"
            )


def _with_validation_folder(root: str, found: Found, folder: str, progress: Progress) -> ImageIndex:
    held_out = find_images(folder, root, progress)
    if not held_out.classes:
        raise UserError(
            f"the validation folder {printable(folder)} holds no images ({held_out.skipped_files} other files)"
        )
    if unknown := held_out.classes.keys() - found.classes.keys():
        raise UserError(
            f"the validation folder {printable(folder)} has the class {min(unknown)!r} that training has no images of: "
            f"remove it, or name it as one of the {len(found.classes)} training classes"
        )
    validating = [held_out.classes.get(name, []) for name in found.classes]
    held_out_paths = {path for paths in validating for path in paths}
    if both := [path for paths in found.classes.values() for path in paths if path in held_out_paths]:
        raise UserError(
            f"{len(both)} images are both for training and for validation, the first is {printable(min(both))}: "
            "give a validation folder of other images"
        )
    return _index(root, found, list(found.classes.values()), validating, held_out.skipped_files)


def _index(root: str, found: Found, training: Classes, validating: Classes, more_skipped_files: int = 0) -> ImageIndex:
    paths, labels = in_order(training)
    train_count = len(paths)
    validation_paths, validation_labels = in_order(validating)
    paths += validation_paths
    labels += validation_labels
    return ImageIndex(root, paths, labels, tuple(found.classes), train_count, found.skipped_files + more_skipped_files)
