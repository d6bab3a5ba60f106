"""The result of looking at a folder or table: images by class, and the other files that were there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from autofit.dataset.groups import Grouping, SharedGroups
from autofit.dataset.sample_weights import Weighting
from autofit.printable import printable

PROGRESS_EVERY_FILES = 4096
SHOWN_KINDS = 4


@dataclass(slots=True)
class Found:
    """Images by class.

    Args:
        classes: class name -> paths as an ImageIndex stores them, in class order; no class is empty, and each path
            occurs once.
        empty_classes: names of class folders without an image.
        skipped: number of files that are not images, by kind, such as `.txt`.
        empty_kinds: for class folders without an image, the number of their other files by kind.
        validation: the images that the data itself holds out for validation.
        test: the images that the data itself holds out for the test.
        subfolders: names of the folders in a class's folder, for classes with folders and fewer images beside them.
        notes: lines that say how the data was understood.
        label_names: all labels in order, if an image may have several; `classes` are then sets of labels
            (`label_sets.py`).
        separator: the separator of labels in a cell of the table; empty if none was found.
        grouping: which images of all splits belong together, if a column of the table says so.
        shared_groups: what a split that was given has of these in common with the training.
        weighting: how much the images of all splits count, if a column of the table says so.
    """

    classes: dict[str, list[str]]
    empty_classes: tuple[str, ...] = ()
    skipped: Counter[str] = field(default_factory=Counter)
    empty_kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    subfolders: dict[str, frozenset[str]] = field(default_factory=dict)
    validation: Found | None = None
    test: Found | None = None
    notes: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()
    separator: str = ""
    grouping: Grouping | None = None
    shared_groups: tuple[SharedGroups, ...] = ()
    weighting: Weighting | None = None

    @property
    def skipped_files(self) -> int:
        """The number of files that are not images."""
        return self.skipped.total()


class Progress:
    """Counts images and calls `report(count)` every few thousand of them."""

    __slots__ = ("count", "report")

    def __init__(self, report: Callable[[int], None] | None = None) -> None:
        self.count = 0
        self.report = report

    def count_one(self) -> None:
        """Count one image."""
        self.count += 1
        if self.report and self.count % PROGRESS_EVERY_FILES == 0:
            self.report(self.count)


def below(root: str, path: str) -> str:
    """An absolute `path` as an index stores it: relative to `root` if it is inside `root`, unchanged otherwise."""
    prefix = root if root.endswith("/") else root + "/"
    return path.removeprefix(prefix)


def kinds_text(kinds: Mapping[str, int]) -> str:
    """Files by kind, most first, such as `10 .heic, 2 without suffix`."""
    most = sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))
    shown = [f"{count} {printable(kind)}" for kind, count in most[:SHOWN_KINDS]]
    rest = sum(count for _, count in most[SHOWN_KINDS:])
    return ", ".join([*shown, f"{rest} others"] if rest else shown)
