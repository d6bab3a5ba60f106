"""Lists of splits that lie beside images or their table, in data that names no splits: they are not followed."""

# ruff: noqa: PTH118, PTH119, PTH120 - paths are str in this package

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice

from autofit.dataset.flat_images import TEXT_NAMES
from autofit.dataset.inside import shown
from autofit.dataset.side_folders import IMAGE_NAMES
from autofit.dataset.split_words import lists_splits, split_groups, words_of

_SUFFIXES = (".csv", ".tsv", ".txt", ".lst", ".json", ".jsonl", ".ndjson", ".mat")
_FOLDERS = TEXT_NAMES | {"split", "splits", "list", "lists", "partition", "partitions", "anno", "eval", "devkit"}
_LIST_WORDS = frozenset(
    {
        *("list", "lists", "label", "labels", "annotation", "annotations", "anno", "instances", "info", "metadata"),
        *("file", "files", "filename", "filenames", "path", "paths", "name", "names", "id", "ids", "index"),
    }
)
"""Words that lists of the images of a split have in their name; others, such as loss or config, may mean anything."""

_BESIDE_LISTS = IMAGE_NAMES - {"photos", "pictures"}
"""Names of folders of images beside which lists may lie; a person's photos and pictures lie in a home."""

MOST_NAMES = 10_000
"""So many names of a folder are looked at: one of very many images takes long to be listed."""


def unfollowed_lists(*folders: str, own: str = "") -> str | None:
    """One line on lists such as `meta/train.txt` and `meta/test.txt`, or `list_eval_partition.csv`; None without any.

    Args:
        folders: absolute; they may lie in one of these, or in one of its folders that is called as one of text. Of one
            that is called as one of images, they may lie beside it.
        own: the name of the table that was given, which is none of them.
    """
    found: list[str] = []
    above = [os.path.dirname(folder) for folder in folders if os.path.basename(folder).lower() in _BESIDE_LISTS]
    for folder in dict.fromkeys((*folders, *above)):
        names = _names(folder)
        inner = {name: _names(os.path.join(folder, name)) for name in names if name.lower() in _FOLDERS}
        found += [name for name in _of_splits(names) if name != own]
        found += [f"{name}/{each}" for name, held in inner.items() for each in _of_splits(held)]
    if not found:
        return None
    return (
        f"lists of splits lie beside the images and are not followed: {shown(found)}; to follow them give a table with "
        "the columns path,label,split, or that of the training as the data and others with validation= and test="
    )


def _of_splits(names: Sequence[str]) -> list[str]:
    """The lists of the splits of one data set, or of the split of each image."""
    stem_of = {name: os.path.splitext(name)[0] for name in names if name.lower().endswith(_SUFFIXES)}  # noqa: PTH122
    groups = split_groups(stem_of.values()).items()
    of_data = (roles for others, roles in groups if _LIST_WORDS.issuperset(others) and "train" in roles.values())
    named = next(of_data, {})
    return [name for name, stem in stem_of.items() if stem in named or _says_split_of_each(stem)]


def _says_split_of_each(stem: str) -> bool:
    return lists_splits(stem) and not {"split", "partition"}.isdisjoint(words_of(stem))


def _names(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in islice(entries, MOST_NAMES) if not entry.name.startswith("."))
    except OSError:
        return []
