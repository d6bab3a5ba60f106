"""Finds images that belong to other images, by their names: masks beside them, or versions in each class. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from autofit.dataset.side_folders import holds_originals, image_of_mask, may_hold_versions
from autofit.printable import printable

_PARTS = ("mask", "segmentation", "superpixels", "groundtruth", "_gt", "-gt", "gt_", "gt-")
"""The name of each mask that is found contains one of these words, so that other names can be skipped quickly."""

BLOCK_PATHS = 1000

MOST_VERSIONS = 8
SAMPLED_NAMES = 50
LEAST_NAMES = 4
SAME_SHARE = 0.9
MOST_WORDS = 2
DIGITS_OF_COUNTER = 6
SAMPLED_OF_A_CLASS = 3
LEAST_CLASSES_IN_ALL = 2


def masks_among(classes: Mapping[str, Sequence[str]]) -> str | None:
    """One line of warning on images like `a_mask.png` beside `a.png`; None if there are none.

    Args:
        classes: paths by class name.
    """
    found = [pair for paths in classes.values() for pair in _masks_of(paths)]
    if not found:
        return None
    mask, image = (printable(path) for path in min(found))
    return (
        f"warning: {len(found):,} images are named as masks of others ({mask} beside {image}) and are trained on like "
        "these: move them elsewhere if they are masks"
    )


def versions_below(classes: Mapping[str, Sequence[str]]) -> str | None:
    """One line of warning on folders in classes that hold masks or versions of the images beside them; or None.

    Names that may be counters tell that only in folders that are called so, such as `thumbs`.

    Args:
        classes: paths by class name.
    """
    found = [pair for paths in classes.values() for pair in _versions_of(paths)]
    if not found:
        return None
    version, image = (printable(path) for path in min(found))
    return (
        f"warning: {len(found):,} images in folders within the classes are named as those beside them ({version} and "
        f"{image}) and are trained on like these: move them elsewhere if they are masks or versions of these"
    )


def class_of_all(classes: Mapping[str, Sequence[str]]) -> str | None:
    """One line of warning on a class that has the names of the files of all others, such as a folder `all`; or None.

    Where the names of several classes are the same, they are counters, and tell nothing.

    Args:
        classes: paths by class name.
    """
    largest = max(classes, key=lambda name: len(classes[name]), default="")
    others = [paths for name, paths in classes.items() if name != largest and paths]
    if len(others) < LEAST_CLASSES_IN_ALL or len(classes[largest]) < SAME_SHARE * sum(map(len, others)):
        return None
    sampled = [_name(path) for paths in others for path in paths[:: max(1, len(paths) // SAMPLED_OF_A_CLASS)]]
    if len(sampled) < LEAST_NAMES or len(set(sampled)) < len(sampled):
        return None
    names = set(map(_name, classes[largest]))
    if sum(name in names for name in sampled) < SAME_SHARE * len(sampled):
        return None
    return (
        f"warning: {printable(repr(largest))} has files of the names that those of the other classes have, such as "
        f"{printable(repr(min(names & {*sampled})))}: if it holds all images, it is no class: move it elsewhere"
    )


def versions_in_classes(classes: Mapping[str, Sequence[str]]) -> str | None:
    """One line of warning if all classes have the same file names, and these are not just counters; or None.

    Such folders may hold versions of the same images, in other sizes or from other cameras.

    Args:
        classes: paths by class name.
    """
    if not 1 < len(classes) <= MOST_VERSIONS:
        return None
    first, *others = sorted(classes.values(), key=len)
    names = {_name(path) for path in first[:: max(1, len(first) // SAMPLED_NAMES)]}
    if len(names) < LEAST_NAMES or _are_counters(names):
        return None
    if any(len({_name(path) for path in paths} & names) < SAME_SHARE * len(names) for paths in others):
        return None
    return (
        f"warning: the same names of files are in all classes, such as {printable(min(names))!r}: if these are "
        "versions of the same images, the folders are no classes"
    )


def _are_counters(names: Collection[str]) -> bool:
    """Whether the names consist of a word and a small number, so that each class may count from one: `IMG_0001`."""
    words = {re.sub("[0-9]+", "", name) for name in names}
    longest = max(len(number) for name in names for number in re.findall("[0-9]+", name) or [""])
    return len(words) <= MOST_WORDS and longest <= DIGITS_OF_COUNTER


def _name(path: str) -> str:
    return _stem(_file(path))


def _file(path: str) -> str:
    return path.rpartition("/")[2]


def _masks_of(paths: Sequence[str]) -> list[tuple[str, str]]:
    """Each path of a mask with that of its image."""
    named = [path for path in _perhaps(paths) if any(part in _file(path).lower() for part in _PARTS)]
    if not named:
        return []
    by_stem = {_stem(path): path for path in paths}
    stems = {path: f"{path[: -len(_file(path))].lower()}{image_of_mask(_name(path)) or ''}" for path in named}
    return [(path, by_stem[stem]) for path, stem in stems.items() if stem in by_stem]


def _versions_of(paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each path in a folder of versions, with that of its image in the folder above or in that of the images beside."""
    folders = {path.rpartition("/")[0] for path in paths}
    if len(folders) == 1:
        return
    lower = {folder: base for folder in folders if (base := _base_of(folder, folders)) is not None}
    if not lower:
        return
    held: dict[str, dict[str, str]] = {folder: {} for folder in (*lower, *lower.values())}
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder in held:
            held[folder][_stem(name)] = path
    for folder, base in lower.items():
        versions, images = held[folder], held[base]
        pairs = {stem: meant for stem in versions if (meant := _meant(stem, images))}
        is_named = may_hold_versions(folder.rpartition("/")[2])
        tell = is_named or (len(versions) >= LEAST_NAMES and not _are_counters(versions.keys()))
        if tell and len(pairs) >= SAME_SHARE * len(versions):
            yield from ((versions[stem], images[meant]) for stem, meant in pairs.items())


def _base_of(folder: str, folders: Collection[str]) -> str | None:
    """The folder of the images of which those in `folder` may be versions; None if there is none."""
    above, _, name = folder.rpartition("/")
    if above in folders:
        return above
    if not may_hold_versions(name):
        return None
    beside = sorted(other for other in folders if other.rpartition("/")[0] == above)
    images = image_of_mask(name)  # `cat` of `cat GT`
    return next((other for other in beside if holds_originals(other) or _file(other).lower() == images), None)


def _meant(stem: str, images: Mapping[str, str]) -> str | None:
    return stem if stem in images else image if (image := image_of_mask(stem)) in images else None


def _perhaps(paths: Sequence[str]) -> Iterator[str]:
    """The paths of all blocks in which at least one has such a part: searching joined text is ten times as fast."""
    for start in range(0, len(paths), BLOCK_PATHS):
        block = paths[start : start + BLOCK_PATHS]
        text = "\n".join(block).lower()
        if any(part in text for part in _PARTS):
            yield from block


def _stem(path: str) -> str:
    return path.lower().rpartition(".")[0]
