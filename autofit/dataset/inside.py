"""The direct content of a folder, of which no more is read than necessary, and names of folders for messages."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from typing import NamedTuple

from autofit.dataset.folder import is_folder, is_image, visible
from autofit.printable import printable

SHOWN_NAMES = 6

NUMBERS = re.compile(r"[0-9]+([-_. ][0-9]+)*")
"""The name of a folder that is a year, a date or a number."""


class Inside(NamedTuple):
    """Whether images lie in a folder, and the names of its subfolders."""

    has_images: bool
    folders: frozenset[str]


def look(folder: str, *, stops_at_image: bool = False) -> Inside:
    """The direct content of a folder; with `stops_at_image`, only until the first image is seen."""
    has_images, folders = False, set[str]()
    for entry in visible(folder):
        if is_folder(entry):
            folders.add(entry.name)
        elif not has_images and is_image(entry):
            has_images = True
            if stops_at_image:
                break
    return Inside(has_images, frozenset(folders))


def look_past_few(folder: str) -> Inside:
    """The content of a folder that may hold classes, all of it: images fewer than its folders do not count."""
    images, folders = 0, set[str]()
    for entry in visible(folder):
        if is_folder(entry):
            folders.add(entry.name)
        else:
            images += is_image(entry)
    return Inside(images > 0 and images >= len(folders), frozenset(folders))


def peek(folder: str, name: str) -> Inside:
    """The direct content of a subfolder, listed only until its first image."""
    return look(os.path.join(folder, name), stops_at_image=True)  # noqa: PTH118 - paths are str in this package


def shown(names: Collection[str]) -> str:
    """Names in order, only the first of many, such as `cat, dog and 4 more`."""
    first = [printable(name) for name in sorted(names)[:SHOWN_NAMES]]
    more = [f"{len(names) - SHOWN_NAMES} more"] if len(names) > SHOWN_NAMES else []
    *others, last = first + more
    return f"{', '.join(others)} and {last}" if others else last
