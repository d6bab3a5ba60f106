"""Listed images sorted into classes, each image once."""

# ruff: noqa: PTH111, PTH118 - a Path for each of a million files would take most of the time

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from autofit.dataset.found import Found, Progress, below
from autofit.dataset.groups import Grouping
from autofit.dataset.inside import shown
from autofit.dataset.label_sets import NONE_KNOWN, Cell, KnownLabels, sort_into_sets
from autofit.dataset.labels import Label, class_order, joined_labels_warning, refuse_no_classes
from autofit.dataset.listing import Listed, Listing
from autofit.dataset.missing_files import ADDRESS, MissingFiles
from autofit.dataset.sample_weights import Weighting
from autofit.dataset.split_words import Role, lists_splits, roles_of
from autofit.errors import UserError
from autofit.printable import printable


def gather(listing: Listing, root: str, progress: Progress, known: KnownLabels = NONE_KNOWN) -> Found:
    """Sort listed images into classes, each image once. Text labels are ordered as text, whole numbers as numbers.

    Args:
        listing: is read to its end; `~` is expanded.
        root: absolute folder that the stored paths are relative to.
        progress: counts the images.
        known: the labels of the training, where these are other images, which may have several labels.

    Raises:
        UserError: too many files are missing, one is listed with two labels or weights, in two splits or in two groups,
            labels mix text and numbers, or one lists others.
    """
    gathered = _Gathered(root, progress, listing)
    for row in listing.rows:
        gathered.take(row, listing.root)
    gathered.missing.require_few(len(gathered.label_of), listing.other_paths)
    missing_note = gathered.missing.note(len(gathered.label_of))
    if listing.multi_label:
        sorted_sets = sort_into_sets(gathered.cells_of, listing.marks, known)
        gathered.label_of = dict(sorted_sets.set_of)
        _refuse_splits(listing.bare_list, sorted_sets.names)
        notes = [*listing.notes, *sorted_sets.notes, listing.places.note, missing_note]
        texts = sorted(set(sorted_sets.set_of.values()))
        found = gathered.by_class(texts, tuple(note for note in notes if note), sorted_sets.names)
        return gathered.with_columns(replace(found, separator=sorted_sets.separator))
    labels = set(gathered.label_of.values())
    if len({type(label) for label in labels}) > 1:
        raise UserError("the labels mix text and whole numbers: give all of one kind")
    names = class_order(map(str, labels))
    refuse_no_classes(names)
    _refuse_splits(listing.bare_list, names)
    notes = [*listing.notes, listing.places.note, missing_note, joined_labels_warning(names)]
    return gathered.with_columns(gathered.by_class(names, tuple(note for note in notes if note)))


def _refuse_splits(bare_list: Path | None, names: Collection[str]) -> None:
    """Refuse a list without names of columns that says in which split each image is, by its labels or by its own name.

    Raises:
        UserError: it is one, as `list_eval_partition.txt` of CelebA, with 0, 1 and 2.
    """
    if bare_list is None:
        return
    are_numbers = len(names) <= len(get_args(Role)) and all(map(str.isdecimal, names))
    if 0 < len(names) == len(roles_of(names)) or (are_numbers and lists_splits(bare_list.stem)):
        raise UserError(
            f"{printable(str(bare_list))} seems to say which split an image is in ({shown(names)}), and not its class: "
            "give the table of the classes; if these are the classes, write path,label above them, with commas between"
        )


class _Gathered:
    """Each listed image with its label, with its split if that is not the training, and with its group and weight."""

    def __init__(self, root: str, progress: Progress, listing: Listing) -> None:
        self.root, self._multi_label = root, listing.multi_label
        self.progress = progress
        self.grouping = Grouping(listing.group, {}, listing.keeps_groups) if listing.group is not None else None
        self.weighting = Weighting(listing.weight, {}) if listing.weight is not None else None
        self.label_of: dict[str, Label] = {}
        self.role_of: dict[str, Role] = {}
        self.cells_of: dict[str, tuple[Cell, ...]] = {}
        self.missing = MissingFiles()
        self._first_equal: dict[Label, Label] = {}  # each line of a CSV file has a new object for the same text
        self._first_equal_group: dict[str, str] = {}
        self._first_equal_cells: dict[tuple[Cell, ...], tuple[Cell, ...]] = {}

    def take(self, row: Listed, folder: str) -> None:
        place, path, label, role, missing, group, weight = row
        absolute = os.path.normpath(os.path.join(folder, os.path.expanduser(path)))
        stored = below(self.root, absolute)
        if stored == path and type(path) is str:
            stored = path  # the caller's object: copies of a million paths would take 100 MB
        if self._multi_label:
            self._add_cell(stored, label)
            label = ""
        assert not isinstance(label, tuple)  # noqa: S101 - only cells are
        if stored not in self.label_of:
            self.label_of[stored] = self._first_equal.setdefault(label, label)
            if role != "train":
                self.role_of[stored] = role
            self.progress.count_one()
            if missing:
                self.missing.add(missing, printable(path if missing == ADDRESS else absolute), place)
        elif self.label_of[stored] != label:
            raise UserError(
                f"{printable(path)} has the labels {self.label_of[stored]!r:.60} and, {place}, {label!r:.60}: keep "
                "one, or give multi_label=True if an image may have several labels"
            )
        elif self.role_of.get(stored, "train") != role:
            first = self.role_of.get(stored, "train")
            raise UserError(f"{printable(path)} is in the splits {first!r} and, {place}, {role!r}: keep one")
        if group and self.grouping is not None:
            self._add_group(self.grouping, stored, group, place)
        if self.weighting is not None and self.weighting.weight_of.setdefault(stored, weight) != weight:
            before = self.weighting.weight_of[stored]
            raise UserError(f"{printable(path)} has the weights {before:g} and, {place}, {weight:g}: keep one of them")

    def _add_group(self, grouping: Grouping, path: str, group: str, place: str) -> None:
        """Add the value of an image that belongs to others; a second one is another only where one was asked for."""
        known = grouping.value_of.setdefault(path, self._first_equal_group.setdefault(group, group))
        if known != group and grouping.is_asked:
            column = printable(grouping.column)
            raise UserError(
                f"{printable(path)} has the {column} {known[:40]!r} and, {place}, {group[:40]!r}: keep one of them"
            )

    def _add_cell(self, path: str, cell: Any) -> None:
        """Add what a row says of an image: it may be listed once for each label."""
        before = self.cells_of.get(path, ())
        if cell not in before:
            cells = (*before, cell)
            self.cells_of[path] = self._first_equal_cells.setdefault(cells, cells)

    def with_columns(self, found: Found) -> Found:
        """The found images with what further columns say of them."""
        return replace(found, grouping=self.grouping, weighting=self.weighting)

    def by_class(self, names: list[str], notes: tuple[str, ...], label_names: tuple[str, ...] = ()) -> Found:
        splits: dict[Role, dict[str, list[str]]] = {role: {name: [] for name in names} for role in get_args(Role)}
        for path, label in self.label_of.items():
            splits[self.role_of.get(path, "train")][str(label)].append(path)
        train, validation, test = (
            Found({name: paths for name, paths in splits[role].items() if paths}, label_names=label_names)
            for role in get_args(Role)
        )
        train.notes = notes
        train.validation = validation if validation.classes else None
        train.test = test if test.classes else None
        return train
