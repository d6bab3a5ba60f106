"""Lists of images by name, without a suffix and without names of columns: a name and a label in each line.

Only the files tell such a list from other text: nearly all names have to be those of images, all with the same suffix,
and the labels must not be names of images, too.
"""

# ruff: noqa: PTH120 - paths are str in this package

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from autofit.dataset.asked import Asked
from autofit.dataset.bare_list import bare_lists
from autofit.dataset.flat_images import are_images_by_name
from autofit.dataset.folder import ends_as_image
from autofit.dataset.listed_places import MOST_SEARCHES, ListedPlaces
from autofit.dataset.missing_files import MOST_MISSING
from autofit.errors import UserError
from autofit.printable import printable


def mark_of_named_list(path: Path, lines: Iterable[str], asked: Asked) -> str | None:
    """What stands between name and label in the first lines of a file; None if it can be something else.

    Raises:
        UserError: images of these names are in several folders, and nothing says which are meant.
    """
    for found in bare_lists(lines, multi_label=asked.multi_label, lacks_suffix=True):
        names, labels = zip(*found.lines, strict=True)
        if _are_images(names, path, asked) and not _are_images(labels, path, asked):
            return found.mark
    return None


def lacks_images(path: Path, lines: Iterable[str], asked: Asked) -> bool:
    """Whether a file looks like such a list, by names with numbers and classes that recur, of which no image is found.

    Raises:
        UserError: images of these names are in several folders, and nothing says which are meant.
    """
    found = next(bare_lists(lines, multi_label=asked.multi_label, lacks_suffix=True), None)
    if found is None:
        return False
    names, labels = zip(*found.lines, strict=True)
    if not are_images_by_name(names, labels):
        return False
    places = ListedPlaces(os.path.dirname(path), asked.images_in, name=path.stem)
    return not any(map(places.find, names[:MOST_SEARCHES]))


def _are_images(names: Sequence[str], path: Path, asked: Asked) -> bool:
    """Whether nearly all of these, and the first, are names of images with the same suffix.

    Raises:
        UserError: too few are found, and whether one of the others exists cannot be found out, as on a drive that
            fails; or images of these names are in several folders, and nothing says which are meant.
    """
    places = ListedPlaces(os.path.dirname(path), asked.images_in, name=path.stem)
    suffixes, missing, unanswered = set[str](), 0, list[str]()
    for number, name in enumerate(names):
        found = places.find(name)
        if found is None:
            missing += 1
            unanswered += _unanswered(name, places)
        elif not ends_as_image(found):
            return False
        else:
            suffixes.add(found.rpartition(".")[2].lower())
        if (found is None and not number) or missing > MOST_MISSING * len(names):
            if unanswered:
                raise UserError(unanswered[0])
            return False
        if len(suffixes) > 1:
            return False
    return True


def _unanswered(name: str, places: ListedPlaces) -> list[str]:
    """What is said of a name if it cannot be found out whether a file has it; nothing else."""
    why = places.why_missing(name)
    if why is None or not why.is_unanswered:
        return []
    return [f"{printable(name)}, a name in the list, {why.of_one}: {why.remedy}"]
