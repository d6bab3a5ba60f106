"""What the readers of folders and listings hand to the split, and the words they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

PROGRESS_EVERY_FILES = 4096


@dataclass(frozen=True, slots=True)
class Found:
    """Images by class.

    Args:
        classes: class name -> paths as an ImageIndex stores them. In class order; none is empty, no path comes twice.
        empty_classes: names of class folders without an image.
        skipped_files: files that are no images.
    """

    classes: dict[str, list[str]]
    empty_classes: tuple[str, ...] = ()
    skipped_files: int = 0


class Progress:
    """Counts images and calls `report(count)` every few thousand of them."""

    __slots__ = ("count", "report")

    def __init__(self, report: Callable[[int], None] | None = None) -> None:
        self.count = 0
        self.report = report

    def one_more(self) -> None:
        """Count one image."""
        self.count += 1
        if self.report and self.count % PROGRESS_EVERY_FILES == 0:
            self.report(self.count)


def below(root: str, path: str) -> str:
    """An absolute `path` as an index stores it: relative to `root` where it lies under it, as it is otherwise."""
    prefix = root if root.endswith("/") else root + "/"
    return path.removeprefix(prefix)


def shown(path: object) -> str:
    """A path as it may stand in a one-line message: control characters and undecodable bytes escaped."""
    text = str(path)
    return text if text.isprintable() else repr(text)
