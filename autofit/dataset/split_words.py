"""Recognises names of splits, of folders and in the column of a table, in the usual spellings. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

Role = Literal["train", "validation", "test"]

_ROLES: Final[dict[str, Role]] = {
    **dict.fromkeys(("train", "training", "trainval", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
FLAGS: Final[dict[str, Role]] = {
    **dict.fromkeys(("isvalid", "isvalidation", "isval"), "validation"),
    "istest": "test",
}
"""Names of columns of 0 and 1, in lower case without punctuation, and the split of rows with 1: fastai's `is_valid`."""

_ADDED = ("set", "sets", "data", "dataset", "images", "image", "imgs", "img", "split", "folder")
"""Words that may be added without a change of meaning: `training_set`, `train_images`."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


class SplitName(NamedTuple):
    """The split that a name stands for, and its other words, which its siblings share (`seg` of `seg_train`)."""

    role: Role
    others: tuple[str, ...]


def split_name(name: str) -> SplitName | None:
    """The split that a name stands for, with its other words; None if it has no word for a split, or words for two."""
    words = words_of(name)
    roles = [_ROLES[word] for word in words if word in _ROLES]
    if len(roles) != 1:
        return None
    return SplitName(roles[0], tuple(word for word in words if word not in _ROLES and word not in _ADDED))


def lists_splits(stem: str) -> bool:
    """Whether a file's name is that of a list that says which split each image is in, and not that of one split."""
    return re.search("partition|split", stem, re.IGNORECASE) is not None and split_role(stem) is None


def words_of(name: str) -> list[str]:
    """The words of a name in lower case, without digits, each without an added word that is joined to it."""
    return [_bare(word.lower()) for word in _WORD.findall(name)]


def split_role(name: str) -> Role | None:
    """The split that a name stands for; None if it stands for none."""
    meant = split_name(name)
    return meant.role if meant else None


def is_bare_split(name: str) -> bool:
    """Whether a name is the word for a split and nothing else."""
    return bare_name(name) in _ROLES


def split_groups(names: Iterable[str]) -> dict[tuple[str, ...], dict[str, Role]]:
    """The names that stand for splits, by their other words: two splits or more of one data set have the same ones.

    `train_station` and `test_tube` are not splits of the same data set. Names without other words come first.
    """
    alike: dict[tuple[str, ...], dict[str, Role]] = defaultdict(dict)
    for name in sorted(names):
        if meant := split_name(name):
            alike[meant.others][name] = meant.role
    return {others: roles for others, roles in sorted(alike.items()) if len(set(roles.values())) > 1}


def roles_of(names: Iterable[str]) -> dict[str, Role]:
    """The names that stand for splits of one data set, if possible of the one without other words; else empty."""
    return next(iter(split_groups(names).values()), {})


def _bare(word: str) -> str:
    """A word without an added word that is joined to it: `trainset` is `train`."""
    for added in _ADDED:
        if word.removesuffix(added) in _ROLES:
            return word.removesuffix(added)
    return word


def bare_name(name: object) -> str:
    """The name of a column in lower case, without blanks and punctuation."""
    return re.sub(r"[^a-z0-9]", "", str(name).casefold())
