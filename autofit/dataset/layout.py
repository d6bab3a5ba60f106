"""How a folder is laid out: class folders, splits of class folders, or a folder around them. Few entries are read.

A folder that can be read in two ways is refused with both named: as classes, its splits would train a network that
distinguishes the training set from the test set.
"""

# ruff: noqa: PTH118 - paths are str in this package

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, get_args

from autofit.dataset.class_level import require_classes
from autofit.dataset.flat_images import contained, remedy, tables_in
from autofit.dataset.inside import Inside, look, look_past_few, peek, shown
from autofit.dataset.labels import share_a_name
from autofit.dataset.side_folders import IMAGE_NAMES, describes_images, holds_images
from autofit.dataset.split_words import Role, split_groups, split_name
from autofit.errors import UserError
from autofit.printable import printable

MOST_WRAPPERS = 8

UNLABELLED = frozenset({"unknown", "unlabeled", "unlabelled"})
"""The name of the one folder that some loaders require around images without classes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the class folders are. `validation` and `test` are None without them; `notes` say what was understood."""

    train: str
    validation: str | None = None
    test: str | None = None
    notes: tuple[str, ...] = ()


def find_layout(folder: str, leave_out: Collection[str] = ()) -> Layout:
    """Find the class folders in `folder`: in itself, in its splits, or in the one folder that it only wraps.

    Splits are recognised by their names and by their structure: they hold no images directly, and the same subfolders.

    Args:
        folder: absolute.
        leave_out: absolute paths of folders that are ignored.

    Raises:
        UserError: a folder cannot be read, or its layout can be read in two ways.
    """
    here, notes = folder, list[str]()
    for _ in range(MOST_WRAPPERS):
        inside = look(here)
        named = _named_as_splits(here, inside.folders)  # also by those that the user gives as another split
        inside = inside._replace(folders=frozenset(n for n in inside.folders if os.path.join(here, n) not in leave_out))
        roles = {name: role for name, role in named.items() if name in inside.folders}
        if len(roles) > 1 or "train" in roles.values():
            return _of_splits(here, inside, roles, notes)
        wrapped = _wrapped(here, inside)
        if wrapped is None:
            break
        here = os.path.join(here, wrapped)
        notes.append(f"the data set is in {printable(os.path.relpath(here, folder))}/")
    require_classes(here, inside.folders)
    return Layout(here, notes=tuple(notes[-1:]))


def class_folders(folder: str, classes: Collection[str] = ()) -> str:
    """The folder that has the class folders: `folder`, or the one folder that it only wraps.

    A folder with one of the `classes` of the training has them itself, though it may be the only one, with subfolders.
    """
    for _ in range(MOST_WRAPPERS):
        inside = look(folder)
        wrapped = None if share_a_name(inside.folders, classes) else _wrapped(folder, inside)
        if wrapped is None:
            break
        folder = os.path.join(folder, wrapped)
    return folder


def _wrapped(folder: str, inside: Inside) -> str | None:
    """The only subfolder, if it holds the classes; folders that describe the images do not count."""
    name = _only_one(folder, inside.folders)
    if inside.has_images or name is None:
        return None
    sides = inside.folders - {name}
    deeper = look_past_few(os.path.join(folder, name))
    is_named = name.lower() in IMAGE_NAMES
    if is_named and sides and deeper.has_images:
        places = [os.path.join(folder, each) for each in ("", *sorted(sides), name)]
        raise UserError(
            f"{printable(folder)} holds {shown(inside.folders)}: images without class folders, and what describes "
            f"them; these are no classes: {remedy(*places)}"
        )
    if deeper.has_images or not deeper.folders:
        return None
    if not is_named and not all(_describes(folder, side, name) for side in sides):
        return None  # it may be a class like the other
    return name


def _only_one(folder: str, names: frozenset[str]) -> str | None:
    """The only folder that does not describe images; or the one named as a folder of images if the others have none."""
    held = {name for name in names if not describes_images(name)}
    named = {name for name in held if name.lower() in IMAGE_NAMES}
    if len(named) == 1 and not any(holds_images(os.path.join(folder, name)) for name in held - named):
        held = named
    return held.pop() if len(held) == 1 else None


def _describes(folder: str, side: str, name: str) -> bool:
    """Whether a folder has no images, or a folder for each class in `name`, as masks have."""
    path = os.path.join(folder, side)
    if not holds_images(path):
        return True
    inside = look(path, stops_at_image=True)
    return bool(inside.folders) and inside.folders <= look(class_folders(os.path.join(folder, name))).folders


# Splits ---------------------------------------------------------------------------------------------------------------


def _named_as_splits(folder: str, names: frozenset[str]) -> dict[str, Role]:
    """The names of splits of one data set; of several that have images to train on, the one whose names say no more.

    Such as `train` and `test`, and not `mini_train` and `mini_test` beside them.

    Raises:
        UserError: there are splits of several, and each has further words in its name.
    """
    groups = split_groups(names)
    if len(groups) > 1:
        groups = {others: roles for others, roles in groups.items() if _has_training(folder, roles)} or groups
    if len(groups) > 1 and () not in groups:
        named = {name: role for roles in groups.values() for name, role in roles.items()}
        (first, *_), (second, *_), *_ = groups.values()
        _refuse(folder, named, f"of several data sets, such as {printable(first)} and {printable(second)}")
    return next(iter(groups.values()), {})


def _has_training(folder: str, roles: Mapping[str, Role]) -> bool:
    return any(holds_images(os.path.join(folder, name)) for name, role in roles.items() if role == "train")


def _of_splits(folder: str, inside: Inside, roles: Mapping[str, Role], notes: Sequence[str]) -> Layout:
    named: dict[Role, str] = {}
    for name, role in roles.items():
        if role in named:
            _refuse(folder, roles, f"{named[role]} and {name} both look like {role}")
        named[role] = name
    if "train" not in named:
        _refuse(folder, roles, "none of them is for training", _with_named_apart(folder, inside, roles))
    paths: dict[Role, str] = {"train": class_folders(os.path.join(folder, named["train"]))}
    train = look_past_few(paths["train"])
    held_out = [role for role in get_args(Role) if role in named and role != "train"]
    paths |= {role: class_folders(os.path.join(folder, named[role]), train.folders) for role in held_out}
    if len(set(map(os.path.realpath, paths.values()))) < len(paths):
        _refuse(folder, roles, "two of them are links to one folder")
    if train.has_images or not train.folders:
        inside_train = os.path.join(folder, named["train"])
        in_other_form = "" if train.has_images or train.folders else contained(paths["train"])
        what_to_do = in_other_form or remedy(folder, inside_train, paths["train"]) + _tables_of_held_out(paths)
        beside = f"images lie in {named['train']} beside its {shown(train.folders)}" if train.folders else ""
        _refuse(folder, roles, beside or f"{named['train']} has no class folders", what_to_do)
    said = list(notes[-1:])
    for role in held_out:
        held = look_past_few(paths[role])
        if _is_unlabelled(paths[role], held, role, train.folders):
            said.append(f"{named[role]}/ is left out: its images have no class folders")
            del paths[role]
        elif not share_a_name(held.folders, train.folders):
            _refuse(folder, roles, f"{named[role]} has none of the subfolders of {named['train']}")
    require_classes(paths["train"], train.folders)
    if left_out := inside.folders - roles.keys():
        said.append(f"left out beside the splits: {shown(left_out)}")
    said += [f"{role} images are those of {printable(named[role])}/" for role in paths if role != "train"]
    return Layout(paths["train"], paths.get("validation"), paths.get("test"), tuple(said))


def _with_named_apart(folder: str, inside: Inside, roles: Mapping[str, Role]) -> str:
    """The advice where one folder beside splits is for training, but has further words in its name; else empty.

    Such as `train_mini` beside `val` and `test`.
    """
    training = [name for name in inside.folders if (said := split_name(name)) and said.role == "train"]
    if len(training) != 1:
        return ""
    classes = look(class_folders(os.path.join(folder, training[0])), stops_at_image=True).folders
    held = {n: look(class_folders(os.path.join(folder, n)), stops_at_image=True).folders for n in sorted(roles)}
    given = [
        f"{printable(name)} with {roles[name]}=" for name, folders in held.items() if share_a_name(folders, classes)
    ]
    if not given:
        return ""
    return f"give {printable(training[0])} in it as the data, and {' and '.join(given)}, if those are its splits"


def _tables_of_held_out(paths: Mapping[Role, str]) -> str:
    """Further advice if the folders of several splits have a table each, as those of Hugging Face have."""
    tables = {role: tables_in(path) for role, path in paths.items()}
    held_out = [f"{role}={table}" for role, table in tables.items() if role != "train" and table]
    return f", with {' and '.join(held_out)}" if tables["train"] and held_out else ""


def _is_unlabelled(path: str, held: Inside, role: Role, classes: frozenset[str]) -> bool:
    """Whether a split has no class folders: its images lie in it, or in the only folder in it, which is no class."""
    if share_a_name(held.folders, classes):
        return False
    if held.has_images or not held.folders:
        return True
    if len(held.folders) > 1:
        return False
    (name,) = held.folders
    meant = split_name(name)
    is_plain = name.lower() in IMAGE_NAMES | UNLABELLED or (meant is not None and meant.role == role)
    return is_plain and peek(path, name).has_images


def _refuse(folder: str, names: Mapping[str, Role] | frozenset[str], why: str, what_to_do: str = "") -> NoReturn:
    instead = what_to_do or (
        "if they are splits, give the one for training as the data and others with validation= and test=; "
        "if they are classes, give a CSV file with the columns path,label"
    )
    raise UserError(
        f"{printable(folder)} holds {shown(frozenset(names))}, which look like splits and not like classes, "
        f"but {why}: {instead}"
    )
