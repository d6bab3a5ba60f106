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
"""How long files are looked at for a later time of change; those that a slow drive does not tell of count as equal."""

CLOCKS_APART_SECONDS = 2.0
"""How far the clocks of a file server and of this machine may be apart."""


Places = dict[str, tuple[tuple[str, ...], str]]
"""The classes and the split of each path."""


@dataclass(frozen=True, slots=True)
class PhotoChanges:
    """What has changed, in numbers of photos; the name of one; and whether the lists of photos differ at all."""

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
    """The photos of a call that are not those that the run began with.

    A photo that was written since is changed, but for one that the run could not read: it may have been put right.
    """
    listed, there = _in_list(files, record, index)
    changed = [path for path in _written_since(record, index, clock) if there is None or path in there]
    if changed:
        unread = _unread(files)
        changed = [path for path in changed if os.path.join(index.root, path) not in unread]  # noqa: PTH118
    return replace(listed, changed=len(changed), example=listed.example or next(iter(changed), ""))


def _in_list(files: RunDirectory, record: RunRecord, index: ImageIndex) -> tuple[PhotoChanges, Places | None]:
    """What is different in the list of photos, and the places there; None for these where they need no look."""
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
    """All that a photo's label may be: a class, or a set of classes where a photo may have several labels."""
    return range(len(index.label_sets or index.class_names))


def _written_at(path: str) -> float:
    """When a file was written, by both its times: one is kept by a copy, the other is set by a change of its name."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a hundred thousand of them
    except OSError:
        return 0.0
    return min(status.st_mtime, status.st_ctime)


def _unread(files: RunDirectory) -> set[str]:
    """The photos that the run could not read."""
    try:
        return {image.path for image in ResultRecord.load(files.result, follow_links=False).quarantined}
    except (OSError, ValueError):
        return set()
