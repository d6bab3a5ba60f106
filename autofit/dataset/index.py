"""The index of all images of a run, compact enough for millions, and its file `samples.csv`."""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from autofit.dataset.table import damaged, read_rows, write_rows

COLUMNS = ("index", "path", "label", "split")


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """All images of a run, with class and split. About 100 bytes an image.

    Args:
        root: absolute folder.
        paths: relative to `root` if they are inside it, absolute otherwise; sorted within training and validation,
            or spread evenly (`autofit/dataset/spread.py`).
        labels: class number of each path.
        class_names: the name of each class number.
        validation_from: samples [0, validation_from) are for training, the rest for validation.
        skipped_files: number of files in the folders that are not images. Not stored in `samples.csv`.
    """

    root: str
    paths: list[str]
    labels: array[int]
    class_names: tuple[str, ...]
    validation_from: int
    skipped_files: int = 0

    @property
    def train_count(self) -> int:
        """Images for training."""
        return self.validation_from

    @property
    def validation_count(self) -> int:
        """Images for validation."""
        return len(self.paths) - self.validation_from

    def path(self, index: int) -> str:
        """The absolute path of one sample."""
        return os.path.join(self.root, self.paths[index])  # noqa: PTH118 - paths are str in this package

    def class_counts(self) -> tuple[int, ...]:
        """Training images of each class, in the order of `class_names`."""
        return self._counts(self.labels[: self.validation_from])

    def validation_counts(self) -> tuple[int, ...]:
        """Validation images of each class, in the order of `class_names`."""
        return self._counts(self.labels[self.validation_from :])

    def _counts(self, labels: array[int]) -> tuple[int, ...]:
        counts = Counter(labels)
        return tuple(counts[number] for number in range(len(self.class_names)))

    def fingerprint(self) -> str:
        """SHA-256 over stored paths, labels, class names and split; moving the folder does not change it."""
        digest = hashlib.sha256(json.dumps([self.class_names, self.validation_from]).encode())
        for path, label in zip(self.paths, self.labels, strict=True):
            digest.update(f"\0{path}\0{label}".encode(errors="surrogateescape"))  # no path contains NUL
        return digest.hexdigest()

    def write_csv(self, path: Path) -> None:
        """Write `samples.csv`, completely or not at all: UTF-8, file names of other encodings byte for byte.

        Raises:
            OSError: it cannot be written.
        """
        write_rows(path, COLUMNS, self._rows())

    @classmethod
    def read_csv(cls, path: Path, root: str, class_names: Sequence[str]) -> Self:
        """Read `samples.csv`.

        Raises:
            UserError: it cannot be read, or a line is damaged; the message names its number.
        """
        number_of = {name: number for number, name in enumerate(class_names)}
        paths: list[str] = []
        labels = array("i")
        train_count = 0
        for line, (index, image, label, split) in read_rows(path, COLUMNS):
            if index != str(len(paths)):
                raise damaged(path, line, f"the index is {index!r}, not {len(paths)}")
            if label not in number_of:
                raise damaged(path, line, f"{label!r} is none of the {len(class_names)} classes")
            if split != "validation" and (split != "train" or train_count < len(paths)):
                raise damaged(path, line, f"the split {split!r} is out of place: first come all train, then validation")
            train_count += split == "train"
            paths.append(image)
            labels.append(number_of[label])
        return cls(root, paths, labels, tuple(class_names), train_count)

    def _rows(self) -> Iterator[tuple[int, str, str, str]]:
        for index, (path, label) in enumerate(zip(self.paths, self.labels, strict=True)):
            yield index, path, self.class_names[label], "train" if index < self.validation_from else "validation"
