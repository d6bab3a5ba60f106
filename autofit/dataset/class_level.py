"""Checks whether the folders of one level are classes: folders that may as well be something else are refused."""

# ruff: noqa: PTH118 - paths are str in this package

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from autofit.dataset.flat_images import TEXT_NAMES, give_table
from autofit.dataset.inside import NUMBERS, Inside, look_past_few, peek, shown
from autofit.dataset.labels import composed, share_a_name
from autofit.dataset.side_folders import IMAGE_NAMES, are_masks_of, describes_images, may_hold_masks
from autofit.dataset.split_words import roles_of, split_name, words_of
from autofit.errors import UserError
from autofit.printable import printable

PART_WORDS = frozenset(
    {"images", "image", "imgs", "img", "photos", "part", "parts", "batch", "chunk", "fold", "shard"}
    | {"patient", "patients", "case", "study"}
)
"""Words in the names of folders into which a data set may be divided: `images_001`, `photos_part_2`, `patient00001`."""

_CAMERA_FOLDER = re.compile(r"[0-9]{3}(?=[0-9_]*[A-Z])[A-Z0-9_]{5}")
"""The name of a camera's folder, such as `101CANON` (JEITA CP-3461, Design rule for Camera File system). A name of
digits only is the number of a class."""

_DAY = re.compile(r"(19|20)[0-9]{2}[-_. ](0[1-9]|1[0-2])([-_. ][0-3][0-9])?")
"""A date or a month, by which photos may be sorted; a year alone may be a class."""


def require_classes(folder: str, names: frozenset[str]) -> None:
    """Refuse folders that may not be classes: a split, parts of a data set, or folders with the same subfolders.

    Subfolders with years, dates or numbers as names only divide a class, unless the folders above differ in a number
    only (`fold_1`).

    Raises:
        UserError: there are two readings; the message names both.
    """
    _refuse_lone_set(folder, names)
    _refuse_lone_split(folder, names)
    _refuse_masks(folder, names)
    shared = _shared_subfolders(folder, names)
    _require_other_inside(folder, names, shared)
    if len(shared) < 2:  # noqa: PLR2004 - two classes
        _refuse_parts(folder, names)


def refuse_same_inside(folder: str, names: frozenset[str], subfolders: Mapping[str, frozenset[str]]) -> None:
    """Refuse classes that turn out to hold the same subfolders, though a few images lie beside these.

    Args:
        folder: the folder of the classes.
        names: of all classes that have images.
        subfolders: for each class that has folders and fewer images beside them, the names of these folders.

    Raises:
        UserError: there are two readings; the message names both.
    """
    if names <= subfolders.keys():
        _require_other_inside(folder, names, _shared_of(names, ((name, subfolders[name]) for name in sorted(names))))


def _require_other_inside(folder: str, names: frozenset[str], shared: frozenset[str]) -> None:
    """Refuse folders that share two subfolders or more, unless these only divide a class.

    Raises:
        UserError: they do.
    """
    if len(shared) < 2:  # noqa: PLR2004 - two classes
        return
    is_split = any((said := split_name(name)) and not said.others for name in names)
    if is_split or _numbered_alike(names) or not all(map(NUMBERS.fullmatch, shared)):
        raise _same_inside(folder, names, shared)


def _same_inside(folder: str, names: frozenset[str], shared: frozenset[str]) -> UserError:
    """The error about folders that hold the same subfolders."""
    if roles_of(shared):
        return UserError(
            f"in {printable(folder)} each of {shown(names)} holds {shown(shared)}, which look like splits inside "
            "classes: if each is a data set, give one of them; if they are classes, put the splits above them, or give "
            "a CSV file with the columns path,label,split"
        )
    if not IMAGE_NAMES.isdisjoint(map(str.lower, shared)) and (
        masks := {name for name in shared if describes_images(name)}
    ):
        return UserError(
            f"in {printable(folder)} each of {shown(names)} holds {shown(shared)}: what is in {shown(masks)} would be "
            "trained on as images: move these folders elsewhere, or give a CSV file with the columns path,label"
        )
    if as_splits := _given_apart(folder, names):
        return UserError(
            f"in {printable(folder)} {shown(names)} hold the same subfolders {shown(shared)}: if these are the "
            f"classes, {as_splits}; if {shown(names)} are, {give_table(folder)}"
        )
    return UserError(
        f"in {printable(folder)} {shown(names)} hold the same subfolders {shown(shared)}: either these are "
        f"the classes and {shown(names)} are splits (then give one as the data, and another with validation= "
        f"unless it has the same images in another form, as in grey), or the reverse (then "
        f"{give_table(folder)})"
    )


def _refuse_lone_split(folder: str, names: frozenset[str]) -> None:
    """Refuse a single split among folders that are not splits, such as `test` beside classes.

    Words that all names have do not count (`Test cases` beside `Normal cases`).

    Raises:
        UserError: there is one.
    """
    if len(names) < 3:  # noqa: PLR2004 - two classes and a split
        return
    shared = frozenset.intersection(*(frozenset(words_of(name)) for name in names))
    held_out = {name: said.role for name in names if (said := split_name(name)) and shared.issuperset(said.others)}
    if len(held_out) != 1:
        return
    ((split, role),) = held_out.items()
    others = names - {split}
    if role != "train" and not any(other.lower().endswith(split.lower()) for other in others):  # valid and invalid
        instead = f"move it elsewhere, or give it with {role}= if it has class folders"
        raise UserError(
            f"{printable(folder)} holds {printable(split)} beside {shown(others)}: if it is no class, "
            f"{_given_apart(folder, names) or instead}; if it is one, rename it"
        )


def _given_apart(folder: str, names: frozenset[str]) -> str:
    """The advice where one folder is for training and one held-out split has the same subfolders; else empty.

    As their names have different other words (`train_mini` and `val`), they are not taken for splits of one data set.
    """
    role_of = {name: said.role for name in sorted(names) if (said := split_name(name))}
    training = [name for name, role in role_of.items() if role == "train"]
    if len(training) != 1:
        return ""
    classes = _past_few(folder, training[0]).folders
    others = (name for name in role_of if name != training[0])
    held_out = [name for name in others if share_a_name(_past_few(folder, name).folders, classes)]
    if len(held_out) != 1:
        return ""
    train, held = printable(training[0]), printable(held_out[0])
    return f"give {train} in it as the data, and {held} with {role_of[held_out[0]]}="


def _refuse_lone_set(folder: str, names: frozenset[str]) -> None:
    """Refuse a folder that has class folders, beside folders with images only, where a name says which is the data set.

    Either it is called `train`, `images` or the like, or all folders beside it are called as splits that are held out.
    One with splits inside is left to `refuse_splits_inside`, which looks deeper.

    Raises:
        UserError: there is such a folder.
    """
    called = {name for name in names if _is_called_as_set(name)}
    not_held_out = {name for name in names if not _is_called_as_held_out(name)}
    sets = called | not_held_out if len(not_held_out) == 1 else called
    held = {name: _past_few(folder, name) for name in sorted(sets)}
    deep = {name: inside.folders for name, inside in held.items() if not inside.has_images and len(inside.folders) > 1}
    if len(deep) != 1 or len(names) == 1:
        return
    ((name, classes),) = deep.items()
    others = names - {name}
    if not roles_of(classes) and all(_is_flat(folder, other) for other in others):
        misleading = {name} if name in called else others
        raise UserError(
            f"{printable(folder)} holds {printable(name)}, in which are {shown(classes)}, beside "
            f"{shown(others)}, in which are images: if those are the classes, give "
            f"{printable(os.path.join(folder, name))}; if {shown(misleading)} is one, rename it"
        )


def _is_called_as_held_out(name: str) -> bool:
    said = split_name(name)
    return said is not None and said.role != "train"


def _is_called_as_set(name: str) -> bool:
    said = split_name(name)
    return name.lower() in IMAGE_NAMES | {"data", "dataset"} or (said is not None and said.role == "train")


def _is_flat(folder: str, name: str) -> bool:
    """Whether images lie in a folder, or in the only folder in it."""
    inside = peek(folder, name)
    if inside.has_images:
        inside = look_past_few(os.path.join(folder, name))
    if inside.has_images or len(inside.folders) != 1:
        return inside.has_images
    return peek(os.path.join(folder, name), *inside.folders).has_images


def _refuse_masks(folder: str, names: frozenset[str]) -> None:
    """Refuse a folder of masks, or of labels drawn as images, beside the one of the images that they belong to.

    Raises:
        UserError: there is one.
    """
    masks = {name for name in names if may_hold_masks(name)}
    for mask in sorted(masks) if masks != names else ():
        described = [name for name in sorted(names - masks) if are_masks_of(folder, mask, name)]
        if len(described) == 1:  # of several, the names are numbers that each class has
            raise UserError(
                f"{printable(folder)} holds {printable(mask)}, whose files are named as those in "
                f"{printable(described[0])}: if they are masks, {give_table(folder)}; if these are classes, "
                "rename the folder"
            )


def _refuse_parts(folder: str, names: frozenset[str]) -> None:
    """Refuse folders whose names differ in a number only and are those of parts of a data set, a camera, or data sets.

    Raises:
        UserError: the folders have such names.
    """
    words = set(re.findall("[a-z]+", min(names, default="").lower()))
    if len(names) < 2 or not _numbered_alike(names):  # noqa: PLR2004 - two parts
        return
    if all(map(_DAY.fullmatch, names)):
        raise UserError(
            f"{printable(folder)} holds {shown(names)}, which are dates and not like classes: {give_table(folder)}, or "
            "put the images of each class in a folder of its own"
        )
    is_part = words & PART_WORDS or all(map(_CAMERA_FOLDER.fullmatch, names))
    if is_part or all(_is_described(peek(folder, name)) for name in names):
        raise UserError(
            f"{printable(folder)} holds {shown(names)}, which differ in a number only: if they are parts or patients "
            f"of one data set, {give_table(folder)}; if they are classes, rename them"
        )


def _is_described(inside: Inside) -> bool:
    """Whether a folder has one of images and one of what describes them, such as each year of Pascal VOC."""
    held = {name.lower() for name in inside.folders}
    return not held.isdisjoint(IMAGE_NAMES) and any(map(describes_images, held))


def _shared_subfolders(folder: str, names: frozenset[str]) -> frozenset[str]:
    """The names of the subfolders that all folders have, if none holds images directly and most are shared; else empty.

    For folders that differ in a number only, such as those of patients, it is enough that two of them have a subfolder:
    not every patient has all classes.
    """
    insides = ((name, _inside(folder, name)) for name in sorted(names) if len(names) > 1)
    return _shared_of(names, ((name, None if inside.has_images else inside.folders) for name, inside in insides))


def _shared_of(names: frozenset[str], insides: Iterable[tuple[str, frozenset[str] | None]]) -> frozenset[str]:
    """The same of the names of subfolders; None for a folder with images."""
    is_numbered, counts = _numbered_alike(names), Counter[str]()
    shared = frozenset[str]()
    for seen, (_, folders) in enumerate(insides, start=1):
        counts.update({composed(inner) for inner in folders or () if inner.lower() not in TEXT_NAMES})
        shared = frozenset(inner for inner, count in counts.items() if count >= (2 if is_numbered else seen))
        if folders is None or (2 * len(shared) < len(counts) and not is_numbered):
            return frozenset()
    return shared if 2 * len(shared) >= len(counts) else frozenset()


def _past_few(folder: str, name: str) -> Inside:
    """The content as of `_inside`, listed whole, where images that are fewer than the folders do not count."""
    inside = _inside(folder, name)
    return look_past_few(os.path.join(folder, name)) if inside.has_images else inside


def _inside(folder: str, name: str) -> Inside:
    """The content of a folder, or of its only subfolder, since a data set may be wrapped in one more folder."""
    inside = peek(folder, name)
    if inside.has_images or len(inside.folders) != 1:
        return inside
    deeper = peek(os.path.join(folder, name), *inside.folders)
    return inside if deeper.has_images or not deeper.folders else deeper


def _numbered_alike(names: frozenset[str]) -> bool:
    return len({re.sub(r"\d+", "", name) for name in names}) == 1
