"""Finds classes whose files only look like images: empty files, Git LFS pointers, web pages. Few files are opened."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from autofit.dataset.findings import listed
from autofit.dataset.index import ImageIndex
from autofit.errors import UserError
from autofit.printable import printable
from autofit.storage.safe_files import open_plain

SAMPLED_OF_A_CLASS = 3
MOST_SAMPLED_CLASSES = 1000
MOST_SAMPLED = 300
READ_BYTES = 64

EMPTY = "empty"
LFS_POINTER = "Git LFS pointers, for which 'git lfs pull' brings the images"
WEB_PAGE = "web pages, not images"
OF_ONE = {
    EMPTY: "the file is empty",
    LFS_POINTER: "a Git LFS pointer: 'git lfs pull' brings the image",
    WEB_PAGE: "a web page, not an image",
}
"""The words for a single file of each kind."""


def require_images(index: ImageIndex) -> None:
    """Refuse classes without a single training file that can be an image; one message names all such classes.

    The first, the middle and the last file of each class are opened; all files of a class only if none of these can be
    an image.

    Raises:
        UserError: there are such classes; each is named with the number of its files and what they are.
    """
    places = _by_class(index)
    hollow = [
        f"{index.class_names[number]!r} ({_words(index, of_class)})"
        for number, of_class in list(places.items())[:MOST_SAMPLED_CLASSES]
        if all(what_instead(index.path(place)) for place in _sample(of_class))
        and all(what_instead(index.path(place)) for place in of_class)
    ]
    if hollow:
        raise UserError(
            f"no file of these classes is an image: {listed(hollow)}: bring the images or remove the classes"
        )


def odd_files(index: ImageIndex) -> str | None:
    """One line on files that cannot be images, if there are any in a sample; None if there are none."""
    places = [place for of_class in _by_class(index).values() for place in _sample(of_class)][:MOST_SAMPLED]
    kinds = [(kind, place) for place in places if (kind := what_instead(index.path(place)))]
    if not kinds:
        return None
    counts, examples = Counter(kind for kind, _ in kinds), dict(reversed(kinds))
    shown = [
        f"{count} {kind} (such as {printable(index.paths[examples[kind]])})" for kind, count in counts.most_common()
    ]
    return f"of {len(places)} files that were looked at, some are no images: {listed(shown)}"


def looked_at(index: ImageIndex) -> tuple[ImageIndex, str | None]:
    """The images, and a line about files that are not images.

    Raises:
        UserError: as `require_images`.
    """
    require_images(index)
    return index, odd_files(index)


def what_instead(path: str | os.PathLike[str]) -> str | None:
    """The kind of a file that cannot be an image, by its first bytes; None if it may be one, or cannot be read."""
    try:
        with open_plain(Path(path)) as file:
            start = file.read(READ_BYTES)
    except OSError:
        return None  # the loader tries again, and says why
    if not start:
        return EMPTY
    if start.startswith(b"version https://git-lfs"):
        return LFS_POINTER
    return WEB_PAGE if start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html")) else None


def _by_class(index: ImageIndex) -> dict[int, list[int]]:
    places = defaultdict[int, list[int]](list)
    for place, label in enumerate(index.labels[: index.train_count]):
        for number in index.classes_of(label):
            places[number].append(place)
    return {number: places[number] for number in range(len(index.class_names)) if places[number]}


def _sample(places: Sequence[int]) -> list[int]:
    last, parts = len(places) - 1, SAMPLED_OF_A_CLASS - 1
    return [places[place] for place in dict.fromkeys(last * part // parts for part in range(parts + 1))]


def _words(index: ImageIndex, places: Sequence[int]) -> str:
    kinds = Counter(what_instead(index.path(place)) or "images" for place in places)
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
