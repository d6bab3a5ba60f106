"""The index of all images of a run, compact enough for millions, and its file `samples.csv`."""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from autofit.dataset.groups import SharedGroups
from autofit.dataset.label_sets import label_counts, numbers_of_sets, set_text
from autofit.dataset.sample_weights import weight_of_cell
from autofit.dataset.table import columns_of, damaged, read_rows, write_rows

COLUMNS = ("index", "path", "label", "split")
MULTI_LABEL_COLUMNS = ("index", "path", "labels", "split")
"""The columns if an image may have several labels: `labels` is a JSON list."""
GROUP_COLUMN = "group"
"""The next column if images belong together: equal numbers stand for one group."""
WEIGHT_COLUMN = "weight"
"""The last column if images count by weights: empty for the test."""
HEADERS = tuple(
    (*columns, *groups, *weights)
    for columns in (COLUMNS, MULTI_LABEL_COLUMNS)
    for groups in ((), (GROUP_COLUMN,))
    for weights in ((), (WEIGHT_COLUMN,))
)
"""All headers that a `samples.csv` may have."""
MOST_GROUP_DIGITS = 9
SPLITS = ("train", "validation", "test")  # in this order


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """All images of a run, with class and split. It takes about 100 bytes per image.

    Args:
        root: absolute folder.
        paths: relative to `root` if they are inside it, absolute otherwise; sorted within training and validation,
            or spread evenly (`autofit/dataset/spread.py`).
        labels: class number of each path.
        class_names: the name of each class number.
        validation_from: samples [0, validation_from) are for training, the rest for validation.
        skipped_files: number of files in the folders that are not images. Not stored in `samples.csv`.
        test_paths: the images held out for the test, sorted; no training ever sees them, and no index counts them.
        test_labels: class number of each of these.
        skipped_kinds: number of the skipped files by kind, such as `.txt`. Not stored.
        notes: lines that say how the data was understood. Not stored.
        keeps_validation: whether the validation images were given as such, and not split off here. Not stored.
        label_sets: if an image may have any number of labels, the sorted sets of labels that occur, each as class
            numbers in ascending order; `labels` and `test_labels` are then numbers of sets. Empty if each image has one
            label.
        empty_classes: names of class folders without an image. Not stored.
        store: the folder to which images in memory were written; empty if there were none. A run does not depend on
            where it is. Not stored.
        separator: the separator of labels in a cell of the data's table; empty if none was found. Not stored.
        groups: if images belong together, the number of the group of each of `paths`; otherwise empty.
        test_groups: the same for each test image.
        weights: how much each of `paths` counts in the loss, 0 or more, if a column says so; otherwise empty. Only
            ratios matter.
        shared_groups: the groups that a split which was given has in common with the training. Not stored.
    """

    root: str
    paths: list[str]
    labels: array[int]
    class_names: tuple[str, ...]
    validation_from: int
    skipped_files: int = 0
    test_paths: list[str] = field(default_factory=list)
    test_labels: array[int] = field(default_factory=lambda: array("i"))
    skipped_kinds: dict[str, int] = field(default_factory=dict, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    keeps_validation: bool = field(default=False, compare=False)
    label_sets: tuple[tuple[int, ...], ...] = ()
    empty_classes: tuple[str, ...] = field(default=(), compare=False)
    store: str = field(default="", compare=False)
    separator: str = field(default="", compare=False)
    groups: array[int] = field(default_factory=lambda: array("i"))
    test_groups: array[int] = field(default_factory=lambda: array("i"))
    weights: array[float] = field(default_factory=lambda: array("d"))
    shared_groups: tuple[SharedGroups, ...] = field(default=(), compare=False)

    @property
    def is_multi_label(self) -> bool:
        """Whether an image may have any number of labels."""
        return bool(self.label_sets)

    @property
    def train_count(self) -> int:
        """Images for training."""
        return self.validation_from

    @property
    def validation_count(self) -> int:
        """Images for validation."""
        return len(self.paths) - self.validation_from

    @property
    def test_count(self) -> int:
        """Images for the test."""
        return len(self.test_paths)

    def path(self, index: int) -> str:
        """The absolute path of one sample."""
        return os.path.join(self.root, self.paths[index])  # noqa: PTH118 - paths are str in this package

    def classes_of(self, label: int) -> tuple[int, ...]:
        """The class numbers that a label stands for: the label itself, or the members of a set."""
        return self.label_sets[label] if self.label_sets else (label,)

    def test_path(self, number: int) -> str:
        """The absolute path of one of the images for the test."""
        return os.path.join(self.root, self.test_paths[number])  # noqa: PTH118 - paths are str in this package

    def without_validation(self) -> Self:
        """The same images, all of them for training."""
        return replace(self, validation_from=len(self.paths))

    def class_counts(self) -> tuple[int, ...]:
        """Training images of each class, in the order of `class_names`."""
        return self._counts(self.labels[: self.validation_from])

    def validation_counts(self) -> tuple[int, ...]:
        """Validation images of each class, in the order of `class_names`."""
        return self._counts(self.labels[self.validation_from :])

    def _counts(self, labels: array[int]) -> tuple[int, ...]:
        if self.label_sets:
            return label_counts(labels, self.label_sets, len(self.class_names))
        counts = Counter(labels)
        return tuple(counts[number] for number in range(len(self.class_names)))

    def with_store(self, folder: str) -> Self:
        """The same images, with those that were given in memory in another folder."""
        paths, test_paths = (
            [folder + path[len(self.store) :] if self._is_in_store(path) else path for path in paths]
            for paths in (self.paths, self.test_paths)
        )
        root = folder if self.root == self.store else self.root
        return replace(self, root=root, paths=paths, test_paths=test_paths, store=folder)

    def _is_in_store(self, path: str) -> bool:
        return bool(self.store) and path.startswith(f"{self.store}/")

    @property
    def _has_groups(self) -> bool:
        return bool(self.groups) or bool(self.test_groups)

    def fingerprint(self) -> str:
        """SHA-256 over stored paths, labels, class names and split; moving the folder or store does not change it."""
        digest = hashlib.sha256(json.dumps([self.class_names, self.validation_from, *self.label_sets]).encode())
        for path, label in zip(self.paths, self.labels, strict=True):
            digest.update(f"\0{self._known_as(path)}\0{label}".encode(errors="surrogateescape"))  # no path contains NUL
        for path, label in zip(self.test_paths, self.test_labels, strict=True):
            digest.update(f"\0test\0{self._known_as(path)}\0{label}".encode(errors="surrogateescape"))
        if self._has_groups:
            digest.update(b"\0groups\0" + self.groups.tobytes())  # the test's change nothing that is trained
        if self.weights:
            digest.update(b"\0weights\0" + self.weights.tobytes())
        return digest.hexdigest()

    def _known_as(self, path: str) -> str:
        return f"in memory\0{path[len(self.store) :]}" if self._is_in_store(path) else path

    def write_csv(self, path: Path) -> None:
        """Write `samples.csv`, completely or not at all: UTF-8, file names of other encodings byte for byte.

        Raises:
            OSError: it cannot be written.
        """
        columns: tuple[str, ...] = MULTI_LABEL_COLUMNS if self.label_sets else COLUMNS
        rows: Iterator[tuple[float | str, ...]] = self._rows()
        if self._has_groups:
            columns, groups = (*columns, GROUP_COLUMN), (*self.groups, *self.test_groups)
            rows = ((*row, group) for row, group in zip(rows, groups, strict=True))
        if self.weights:
            weights: tuple[float | str, ...] = (*self.weights, *[""] * self.test_count)
            columns = (*columns, WEIGHT_COLUMN)
            rows = ((*row, weight) for row, weight in zip(rows, weights, strict=True))
        write_rows(path, columns, rows)

    @classmethod
    def read_csv(cls, path: Path, root: str, class_names: Sequence[str]) -> Self:
        """Read `samples.csv`.

        Raises:
            UserError: it cannot be read, or a line is damaged; the message names its number.
        """
        sets = _sets_of_file(path, class_names)
        number_of = {text: number for number, text in enumerate(_texts(sets, class_names))}
        paths, labels, groups, weights = list[str](), array("i"), array("i"), array("d")
        counts = Counter[str]()
        plain: tuple[str, ...] = MULTI_LABEL_COLUMNS if sets else COLUMNS
        header = columns_of(path)
        columns = header if header in HEADERS and header[: len(plain)] == plain else plain
        rows = read_rows(path, columns, may_be_empty=(WEIGHT_COLUMN,))
        for line, (index, image, label, split, *others) in rows:
            if index != str(len(paths)):
                raise damaged(path, line, f"the index is {index!r}, not {len(paths)}")
            if label not in number_of:
                raise damaged(path, line, f"{label!r} is none of the {len(class_names)} classes")
            if split not in SPLITS or any(counts[later] for later in SPLITS[SPLITS.index(split) + 1 :]):
                raise damaged(
                    path, line, f"the split {split!r} is out of place: first come all train, then validation, then test"
                )
            counts[split] += 1
            paths.append(image)
            labels.append(number_of[label])
            if GROUP_COLUMN in columns:
                groups.append(_group_number(others[0], path, line))
            if WEIGHT_COLUMN in columns and split != "test":
                weights.append(_weight(others[-1], path, line))
        first_tested = len(paths) - counts["test"]
        test_paths, test_labels = paths[first_tested:], labels[first_tested:]
        test_groups = groups[first_tested:]
        del paths[first_tested:], labels[first_tested:], groups[first_tested:]
        return cls(
            root,
            paths,
            labels,
            tuple(class_names),
            counts["train"],
            test_paths=test_paths,
            test_labels=test_labels,
            label_sets=sets,
            groups=groups,
            test_groups=test_groups,
            weights=weights,
        )

    def _rows(self) -> Iterator[tuple[int, str, str, str]]:
        texts = _texts(self.label_sets, self.class_names)
        for index, (path, label) in enumerate(zip(self.paths, self.labels, strict=True)):
            yield index, path, texts[label], "train" if index < self.validation_from else "validation"
        for index, (path, label) in enumerate(zip(self.test_paths, self.test_labels, strict=True), len(self.paths)):
            yield index, path, texts[label], "test"


def lists_weights(path: Path) -> bool:
    """Whether the images of a `samples.csv` count by weights."""
    header = columns_of(path)
    return header in HEADERS and WEIGHT_COLUMN in header


def _sets_of_file(path: Path, class_names: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """The sets of labels in a `samples.csv`; none if its images have one label each."""
    header = columns_of(path)
    if header not in HEADERS or header[: len(MULTI_LABEL_COLUMNS)] != MULTI_LABEL_COLUMNS:
        return ()
    texts = set[str]()
    for line, (text,) in read_rows(path, MULTI_LABEL_COLUMNS[2:3]):
        if text not in texts:
            texts.add(text)
            try:
                numbers_of_sets([text], class_names)
            except (KeyError, ValueError):
                problem = f"{text!r} is no list of the {len(class_names)} labels"
                raise damaged(path, line, problem) from None
    return numbers_of_sets(texts, class_names)


def _group_number(text: str, path: Path, line: int) -> int:
    """The number of an image's group.

    Raises:
        UserError: it is none.
    """
    if not text.isdecimal() or len(text) > MOST_GROUP_DIGITS:
        raise damaged(path, line, f"the group {text[:40]!r} is no number of one")
    return int(text)


def _weight(text: str, path: Path, line: int) -> float:
    """The weight of an image.

    Raises:
        UserError: it is none.
    """
    try:
        return weight_of_cell(text, WEIGHT_COLUMN)
    except ValueError as error:
        raise damaged(path, line, str(error)) from None


def _texts(sets: Sequence[tuple[int, ...]], class_names: Sequence[str]) -> Sequence[str]:
    """Each class or set as `samples.csv` holds it."""
    return [set_text(class_names[number] for number in numbers) for numbers in sets] if sets else class_names
