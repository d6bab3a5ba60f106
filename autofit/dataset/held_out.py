"""The images of the validation or test split: those that the data itself holds out, or a given folder or table."""

# ruff: noqa: PTH112, PTH118 - paths are str in this package

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import chain, combinations
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from autofit.config.validators import described
from autofit.dataset.asked import Asked
from autofit.dataset.flat_images import give_table
from autofit.dataset.folder import find_images
from autofit.dataset.found import Found, Progress, below
from autofit.dataset.gather import gather
from autofit.dataset.groups import Grouping, same_column
from autofit.dataset.inside import shown
from autofit.dataset.label_sets import KnownLabels, lacking_marks, names_of_set
from autofit.dataset.labels import other_notations
from autofit.dataset.layout import class_folders
from autofit.dataset.listing import Frame, from_frame
from autofit.dataset.sample_weights import Weighting
from autofit.dataset.side_folders import IMAGE_NAMES
from autofit.dataset.sources import existing_source, leads_to_folder
from autofit.dataset.split import Classes
from autofit.dataset.split_words import roles_of
from autofit.dataset.table_files import from_file
from autofit.errors import UserError
from autofit.printable import printable

HeldOut = str | os.PathLike[str] | Frame
"""A folder with one subfolder per class, a CSV file or a DataFrame."""

TABLE_NEEDED = "with multi_label=True give a table, with one column of labels or a column of 0 and 1 for each label"

Split = Literal["validation", "test"]
T = TypeVar("T")


class Source(NamedTuple):
    """The data: its name in messages, the absolute folder that stored paths are relative to, and its images."""

    name: str
    root: str
    found: Found
    is_folder: bool = False


def held_out_images(
    split: Split, source: Source, given: HeldOut | None, asked: Asked, progress: Progress
) -> Classes | None:
    """The images of a split by training class: the given ones, else those of the data; None if there are none.

    If the user gives images, those that the data holds out are left out, and a note says so.

    Raises:
        UserError: the split holds no images, or a class of which training has no images.
    """
    own = source.found.validation if split == "validation" else source.found.test
    if given is None:
        return None if own is None else _by_class(source, own, f"the {split} split of {source.name}")
    if own is not None:
        source.found.notes += (f"the {split} images of the data are left out: {split}= is given",)
    known = KnownLabels(source.found.label_names, source.found.separator)
    asked = replace(asked, is_held_out=True, reads_weights=split == "validation")
    held = _given_images(split, source, given, asked, progress, known)
    source.found.notes += (
        *held.notes,
        *_join_groups(split, source.found.grouping, held),
        *_join_weights(split, source.found.weighting, held),
    )
    name = printable(os.fspath(given)) if isinstance(given, str | os.PathLike) else "DataFrame"
    path = os.path.expanduser(given) if isinstance(given, str | os.PathLike) else ""  # noqa: PTH111
    folder = path if os.path.isdir(path) else ""
    return _by_class(source, held, f"the {split} {'folder' if folder else 'table'} {name}", folder)


def require_apart(splits: Mapping[str, Classes], root: str) -> None:
    """Check that no image is in two splits: an accuracy on training images says nothing.

    Args:
        splits: paths by class number, of each split.
        root: the absolute folder that they are relative to. Links to folders are followed.

    Raises:
        UserError: some images are in two splits; the first is named.
    """
    place = _places(root)
    for (first, one), (second, other) in combinations(splits.items(), 2):
        held = {place(path) for paths in other for path in paths}
        if held and (both := [path for paths in one for path in paths if place(path) in held]):
            raise UserError(
                f"{len(both)} images are both for {first} and for {second}, the first is {printable(min(both))}: "
                f"give other images for {second}"
            )


def _places(root: str) -> Callable[[str], str]:
    """Where a stored path leads: the path itself, unless a link is in it or in the root's."""
    real_root = os.path.realpath(root)

    @cache
    def above_of(folder: str) -> str | None:
        """What stands before the name of a file in this folder; None if that is the folder as it is."""
        real = os.path.realpath(os.path.join(real_root, folder))
        above = "" if real == real_root else f"{below(real_root, real)}/"
        return None if above == folder else above

    def place(path: str) -> str:
        name = path.rpartition("/")[2]
        above = above_of(path[: len(path) - len(name)])
        return path if above is None else f"{above}{name}"

    return place


def _given_images(
    split: Split, source: Source, given: HeldOut, asked: Asked, progress: Progress, known: KnownLabels
) -> Found:
    if isinstance(given, str | os.PathLike):
        path = existing_source(given)
        if leads_to_folder(path):
            if asked.multi_label:
                raise UserError(f"the {split} images are a folder, and its images have one label each: {TABLE_NEEDED}")
            return find_images(class_folders(path, source.found.classes), source.root, progress)
        listing = from_file(Path(path), asked)
    elif isinstance(given, Frame):
        listing = from_frame(given, asked)
    else:
        raise UserError(f"{split} must be a folder, a table or a pair (images, labels), not {described(given)}")
    found = gather(listing, source.root, progress, known)
    held = _of_split(split, found, "the DataFrame" if isinstance(given, Frame) else printable(os.fspath(given)))
    lacking = lacking_marks(listing.marks, source.found.label_names)
    held.notes, held.grouping, held.weighting = found.notes, found.grouping, found.weighting  # of the table as a whole
    held.notes += (lacking,) if lacking else ()
    return held


def _of_split(split: Split, found: Found, name: str) -> Found:
    """The images of a table that are for a split: those that it says are, or all if it has one split only.

    Raises:
        UserError: it has several splits, and this is none of them.
    """
    parts = {"train": found if found.classes else None, "validation": found.validation, "test": found.test}
    held = {role: part for role, part in parts.items() if part is not None}
    if split in held or not held:
        return held.get(split, found)
    if len(held) > 1:
        raise UserError(
            f"{name} is given for {split}, and has images of the splits {' and '.join(held)}: leave out the column of "
            f"splits, or write {split} in it"
        )
    return held.popitem()[1]


def _join_groups(split: Split, grouping: Grouping | None, held: Found) -> Iterator[str]:
    """Add the groups of images that are given to those of the training; says where that cannot be.

    Other rows of their table, such as those for training, say nothing of the images of the data.
    """
    if grouping is None:
        return
    if held.grouping is not None and same_column(grouping.column, held.grouping.column):
        grouping.value_of.update(_of_images(held, held.grouping.value_of))
    elif grouping.is_asked:
        column = printable(repr(grouping.column))
        yield f"the {split} images have no {column}: whether some belong to images of the training is not known"


def _join_weights(split: Split, weighting: Weighting | None, held: Found) -> Iterator[str]:
    """Add the weights of images that are given for validation, as with groups; says where they do not count.

    A test has none.
    """
    if split == "test":
        return
    if held.weighting is not None and weighting is None:
        yield f"the weights of the {split} images are not used, as the training images have none"
    elif held.weighting is not None and weighting is not None:
        weighting.weight_of.update(_of_images(held, held.weighting.weight_of))
    elif weighting is not None:
        yield f"no weights are known of the {split} images: each counts like the mean training image"


def _of_images(held: Found, value_of: Mapping[str, T]) -> dict[str, T]:
    """What a table says of those of its images that are held out."""
    return {path: value_of[path] for path in chain.from_iterable(held.classes.values()) if path in value_of}


def _by_class(source: Source, held: Found, name: str, folder: str = "") -> Classes:
    """The images of a split, perhaps those of a folder, in the order of the training classes."""
    source.found.skipped.update(held.skipped)
    if not held.classes:
        raise UserError(f"{name} holds no images ({held.skipped.total()} other files)")
    if source.found.label_names:
        return _by_label_set(source, held, name)
    known = source.found.classes
    for class_name, other in other_notations(held.classes.keys() - known.keys(), known).items():
        images = held.classes.pop(class_name)
        held.classes[other] = sorted([*held.classes.get(other, []), *images])
    if unknown := held.classes.keys() - known.keys():
        if folder and {name.lower() for name in held.classes} <= IMAGE_NAMES:
            raise UserError(f"{name} has no class folders, but {min(unknown)}: {give_table(folder)}")
        if folder and (splits := roles_of(held.classes)):
            raise UserError(f"{name} holds {shown(splits)}, which look like splits: give one of them")
        raise UserError(
            f"{name} has the class {min(unknown)!r:.60} that training has no images of: "
            f"remove it, or name it as one of the {len(known)} training classes"
        )
    return [held.classes.get(class_name, []) for class_name in known]


def _by_label_set(source: Source, held: Found, name: str) -> Classes:
    """The images of a split in the order of the training's sets of labels; sets that training lacks are added last.

    Raises:
        UserError: a label is not one of the training's.
    """
    sets, known = source.found.classes, set(source.found.label_names)
    for text in held.classes:
        if unknown := sorted(set(names_of_set(text)) - known):
            raise UserError(
                f"{name} has the label {unknown[0]!r:.60} that training does not know: remove it, or name it as one of "
                f"the {len(known)} labels of training"
            )
        sets.setdefault(text, [])
    return [held.classes.get(text, []) for text in sets]
