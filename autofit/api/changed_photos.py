"""Which photos of a run are new, gone or changed since it began, so that a person is told and not only refused."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain

from autofit.dataset import ImageIndex
from autofit.errors import UserError
from autofit.printable import printable
from autofit.runs.result_record import ResultRecord
from autofit.runs.run_record import RunRecord, listed_images
from autofit.storage.run_directory import RunDirectory

MOST_SECONDS = 2.0
"""How long times of files are compared. Files that a slow drive has not reported by then count as unchanged."""

CLOCKS_APART_SECONDS = 2.0
"""The largest difference expected between the clocks of a file server and of this machine."""


Places = dict[str, tuple[tuple[str, ...], str]]
"""The classes and the split of each path."""


@dataclass(frozen=True, slots=True)
class PhotoChanges:
    """How many photos have changed in which way, the name of one of them, and whether the lists differ at all."""

    added: int = 0
    gone: int = 0
    changed: int = 0
    relabelled: int = 0
    example: str = ""
    is_other: bool = False

    def __bool__(self) -> bool:
        return bool(self.changed or self.is_other)

    @property
    def words(self) -> str:
        """What has changed, such as `3 photos added, 1 changed (cat/9.jpg)`; empty for nothing."""
        counts = {
            "added": self.added,
            "gone": self.gone,
            "changed": self.changed,
            "in another class or split": self.relabelled,
        }
        parts = [f"{count:,} {what}" for what, count in counts.items() if count]
        if not parts:
            return "other images, or another order of theirs" if self.is_other else ""
        number, _, rest = parts[0].partition(" ")
        first = f"{number} {'photo' if number == '1' else 'photos'} {rest}"
        return f"{', '.join([first, *parts[1:]])} (such as {printable(self.example)})"


def photo_changes(
    files: RunDirectory, record: RunRecord, index: ImageIndex, clock: Callable[[], float] = time.monotonic
) -> PhotoChanges:
    """The differences between the photos of this call and those that the run began with.

    A photo whose file was written since then counts as changed, except one that the run could not read: the user may
    have repaired it.
    """
    listed, there = _in_list(files, record, index)
    changed = [path for path in _written_since(record, index, clock) if there is None or path in there]
    if changed:
        unread = _unread(files)
        changed = [path for path in changed if os.path.join(index.root, path) not in unread]  # noqa: PTH118
    return replace(listed, changed=len(changed), example=listed.example or next(iter(changed), ""))


def _in_list(files: RunDirectory, record: RunRecord, index: ImageIndex) -> tuple[PhotoChanges, Places | None]:
    """The differences in the list of photos, and the photos' places in the run; None if they need not be compared."""
    if record.data.fingerprint == index.fingerprint():
        return PhotoChanges(), None
    try:
        there = _places(listed_images(files, record.data))
    except UserError:  # the list is damaged: that they differ is all that is known
        return PhotoChanges(is_other=True), None
    here = _places(index)
    added = [path for path in here if path not in there]
    gone = [path for path in there if path not in here]
    moved = [path for path, place in here.items() if there.get(path, place) != place]
    if added or gone:  # the split follows from the photos, and so do the others' places
        moved = []
    example = next(iter([*added, *gone, *moved]), "")
    return PhotoChanges(len(added), len(gone), 0, len(moved), example, is_other=True), there


def _written_since(record: RunRecord, index: ImageIndex, clock: Callable[[], float]) -> list[str]:
    if record.data.root != index.root:  # a copy, whose times say nothing
        return []
    since, deadline = record.started + CLOCKS_APART_SECONDS, clock() + MOST_SECONDS
    found = []
    for path in chain(index.paths, index.test_paths):
        if _written_at(os.path.join(index.root, path)) > since:  # noqa: PTH118 - likewise
            found.append(path)
        if clock() > deadline:
            break
    return found


def _places(index: ImageIndex) -> Places:
    """Each photo's classes and split."""
    names = [tuple(index.class_names[number] for number in index.classes_of(label)) for label in _label_numbers(index)]
    splits = ("train" if number < index.validation_from else "validation" for number in range(len(index.paths)))
    pairs = zip(index.paths, index.labels, splits, strict=True)
    places = {path: (names[label], split) for path, label, split in pairs}
    tested = zip(index.test_paths, index.test_labels, strict=True)
    return places | {path: (names[label], "test") for path, label in tested}


def _label_numbers(index: ImageIndex) -> range:
    """The numbers that a photo's label may be: of a class, or of a set of classes where a photo may have several."""
    return range(len(index.label_sets or index.class_names))


def _written_at(path: str) -> float:
    """When a file was last written: the earlier of mtime and ctime, as copying and renaming set only one of them."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a hundred thousand of them
    except OSError:
        return 0.0
    return min(status.st_mtime, status.st_ctime)


def _unread(files: RunDirectory) -> set[str]:
    """The photos that the run could not read."""
    result = ResultRecord.load_or_none(files.result, follow_links=False)
    return {image.path for image in result.quarantined} if result else set()
