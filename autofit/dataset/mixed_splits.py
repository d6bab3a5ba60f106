"""Images whose paths name several splits, in data that names none itself: they are mixed, and it is said. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, get_args

from autofit.dataset.found import Found
from autofit.dataset.inside import shown
from autofit.dataset.split_words import Role, SplitName, roles_of, split_name, split_role, words_of
from autofit.printable import printable

FEW_FOLDERS = 64
"""The most folders at one depth of which some may be splits, and not one for each image or patient."""
SAMPLED_FILES = 1000
LEAST_SAMPLED_SHARE = 0.25
LEAST_SHARE = 0.5
FEW_FILES = 3
"""The least files of each split: fewer may be called so by chance."""

_DIGITS = re.compile("[a-f]+")


def mixed_folders(found: Found) -> str | None:
    """One line of warning on a table that names no splits, and whose images lie in `train/` and `test/`; or None.

    The names of folders tell only at a depth at which there are few.
    """
    levels = defaultdict[int, set[str]](set)
    for folder in {path.rpartition("/")[0] for paths in found.classes.values() for path in paths}:
        for depth, name in enumerate(folder.split("/")):
            levels[depth].add(name)
    for names in levels.values():
        if len(names) <= FEW_FOLDERS and (splits := roles_of(names)):
            return (
                f"warning: the listed images lie in {shown(splits)}, which look like splits, and are mixed: give a "
                "table with the columns path,label,split (train, validation or test) to follow these folders"
            )
    return None


def held_out_folders(found: Found) -> str | None:
    """One line of warning on folders that are called as images held out, as `cat/test` and `dog/test`; or None.

    They hold images of several classes, or lie in several, beside others of the data. A single class may be called so.
    """
    of_classes = {name: Counter(path.rpartition("/")[0] for path in paths) for name, paths in found.classes.items()}
    names = {name for folders in of_classes.values() for folder in folders for name in folder.split("/")}
    held_out = _held_out(names)
    if not held_out:
        return None
    near = _near_the_images(of_classes, held_out)
    images, classes, examples = Counter[str](), defaultdict[str, set[str]](set), dict[str, str]()
    for label, folders in of_classes.items():
        for folder in folders.keys() & near.keys():
            for name in near[folder]:
                images[name] += folders[folder]
                classes[name].add(label)
                examples[name] = min(examples.get(name, folder), folder)
    count = sum(map(len, found.classes.values()))
    called = next((name for name in sorted(images) if len(classes[name]) > 1 and images[name] < count), None)
    return called and (
        f"warning: {images[called]:,} images lie in folders called {printable(repr(called))}, such as "
        f"{printable(examples[called])}, and are mixed with the others: if they are held out, move them elsewhere, or "
        "give a table with the columns path,label,split"
    )


def _held_out(names: set[str]) -> set[str]:
    """The names of images held out; not those that another one ends with, as valid and invalid do.

    Nor those of several that are numbered, as the sessions `test1` and `test2`.
    """
    said = {name for name in names if _is_held_out(name)}
    alike = Counter(map(_unnumbered, said))
    said = {name for name in said if name.lower() == _unnumbered(name) or alike[_unnumbered(name)] == 1}
    if len(said) > FEW_FOLDERS:
        return set()
    lower = [(name, name.lower()) for name in names]
    return {each for each in said if not any(low.endswith(each.lower()) and name != each for name, low in lower)}


def _unnumbered(name: str) -> str:
    return re.sub("[0-9]+", "", name.lower())


def _near_the_images(of_classes: Mapping[str, Counter[str]], names: set[str]) -> dict[str, set[str]]:
    """For each folder with one of the names in its path, those of them that are not above the data.

    The data is in the lowest folder with images of several classes: what is above it may be called anything.
    """
    several, only = set[str](), dict[str, str]()
    for label, folders in of_classes.items():
        for folder in folders:
            if not names.isdisjoint(folder.split("/")):
                several.update(upper for upper in _upwards(folder) if only.setdefault(upper, label) != label)
    beside = _with_splits(of_classes) if any("dev" in words_of(name) for name in names) else set[str]()
    near = dict[str, set[str]]()
    for folder in {folder for folders in of_classes.values() for folder in folders}:
        if not names.isdisjoint(folder.split("/")):
            uppers = _upwards(folder)
            lowest = next((place for place, upper in enumerate(uppers) if upper in several), len(uppers))
            parts = (upper.rpartition("/") for upper in uppers[: lowest + 1])
            near[folder] = {
                name for above, _, name in parts if name in names and ("dev" not in words_of(name) or above in beside)
            }
    return near


def _with_splits(of_classes: Mapping[str, Counter[str]]) -> set[str]:
    """The folders that hold one called train or test: a dev beside it is no device, and no developer's."""
    parts = {upper.rpartition("/") for folders in of_classes.values() for each in folders for upper in _upwards(each)}
    return {
        above
        for above, _, name in parts
        if (said := split_name(name)) and said.role != "validation" and not said.others
    }


def _upwards(folder: str) -> list[str]:
    """A folder and those that hold it, from the lowest."""
    names = folder.split("/")
    return ["/".join(names[:depth]) for depth in range(len(names), 0, -1)]


def _is_held_out(name: str) -> bool:
    said = split_name(name)
    return said is not None and said.role != "train" and not said.others


def mixed_files(found: Found) -> str | None:
    """One line of warning on files of one class that are named by splits, as `train_1.jpg` and `test_1.jpg`; or None.

    Files that are named by their class, as `train_1.jpg` among vehicles, have the name of one split in each class.
    Those of splits have the same other words: `train_station_1.jpg` and `test_lab_1.jpg` are of none.
    """
    of_classes = list(found.classes.items())
    if found.label_names:  # very many sets of labels may have an image each
        of_classes = [("", [path for paths in found.classes.values() for path in paths])]
    images = sum(len(paths) for _, paths in of_classes)
    sampled = [path for _, paths in of_classes for path in paths[:: 1 + images // SAMPLED_FILES]]
    if sum(_said_by(path) is not None for path in sampled) < LEAST_SAMPLED_SHARE * len(sampled):
        return None
    named = defaultdict[tuple[str, ...], list[_Named]](list)
    for label, paths in of_classes:
        for others, roles in _by_words(paths).items():
            named[others].append(_Named(label, roles))
    alike = [held for _, held in sorted(named.items()) if any(each.is_mixed for each in held)]
    return _mixed_line([each for held in alike for each in held], images)


class _Named(NamedTuple):
    """The files of a class that are named by a split, by split, with the same other words."""

    label: str
    files: dict[Role, list[str]]

    @property
    def is_mixed(self) -> bool:
        """Whether they are of several splits; a class may be called train itself."""
        return len(self.files) > 1 and split_role(self.label) is None


def _mixed_line(held: Sequence[_Named], images: int) -> str | None:
    mixed = [each.files for each in held if each.is_mixed]
    several = [role for role in get_args(Role) if sum(len(files.get(role, ())) for files in mixed) >= FEW_FILES]
    counts = {role: sum(len(each.files.get(role, ())) for each in held) for role in get_args(Role)}
    if len(several) < 2 or sum(counts.values()) <= LEAST_SHARE * images:  # noqa: PLR2004 - two splits are mixed
        return None
    first, second, *_ = (printable(files[0]) for files in mixed[0].values())
    named = ", ".join(f"{count:,} {role}" for role, count in counts.items() if count)
    return (
        f"warning: names of files say for which split they are ({named}, such as {first} and {second}), and these are "
        "mixed: give a table with the columns path,label,split (train, validation or test) to follow the names"
    )


def _by_words(paths: Iterable[str]) -> dict[tuple[str, ...], dict[Role, list[str]]]:
    """The files that are named by a split, by their other words and by split."""
    found = defaultdict[tuple[str, ...], dict[Role, list[str]]](dict)
    for path in paths:
        if said := _said_by(path):
            found[said.others].setdefault(said.role, []).append(path)
    return found


def _said_by(path: str) -> SplitName | None:
    """The split that a file's name has a word for, and no other, with its other words."""
    return _said_by_stem(re.sub("[0-9]+", "0", path.rpartition("/")[2].rpartition(".")[0]))


@lru_cache(4096)
def _said_by_stem(stem: str) -> SplitName | None:
    """The same of a name whose numbers are all one, as those of very many files are.

    Letters that may be digits of hexadecimal numbers are no words.
    """
    said = split_name(stem)
    return said and said._replace(others=tuple(word for word in said.others if not _DIGITS.fullmatch(word)))
