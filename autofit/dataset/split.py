"""Splits images into training and validation, and orders them. Pure."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise, repeat

Classes = Sequence[list[str]]
"""Paths by class number."""


def stratified_split(classes: Classes, share: float, seed: int) -> tuple[Classes, Classes]:
    """Split each class into training and validation.

    Each class is ordered by a hash of seed and path, and its first images are for validation. So the split needs no
    random state; files added to one class do not change the split of the others, and move few images of that class.

    Args:
        classes: paths by class number; with a share above 0 each class has two or more.
        share: the share of each class for validation, 0 <= share < 1; above 0 both sides have an image of each class.
        seed: the seed of the split.
    """
    training, validation = [], []
    for paths in classes:
        held_out = held_out_count(len(paths), share)
        ordered = drawn_order(paths, seed) if held_out else paths
        validation.append(ordered[:held_out])
        training.append(ordered[held_out:])
    return training, validation


def drawn_order(paths: Iterable[str], seed: int) -> list[str]:
    """The paths in the order of a hash of seed and path."""

    def place(path: str) -> bytes:
        return hashlib.blake2b(f"{seed}:{path}".encode(errors="surrogateescape"), digest_size=8).digest()

    return sorted(paths, key=place)


def in_order(classes: Classes) -> tuple[list[str], array[int]]:
    """All paths sorted, with the class number of each."""
    parts = sorted((sorted(each), number) for number, each in enumerate(classes) if each)  # by their first paths
    paths: list[str] = []
    labels = array("i")
    for part, number in parts:
        paths += part
        labels.extend(repeat(number, len(part)))
    if all(earlier[-1] < later[0] for (earlier, _), (later, _) in pairwise(parts)):  # each class has its own folder
        return paths, labels
    del parts
    order = sorted(range(len(paths)), key=paths.__getitem__)  # pairs of path and label would need twice the memory
    return [paths[place] for place in order], array("i", map(labels.__getitem__, order))


def held_out_count(count: int, share: float) -> int:
    """How many images of a class are for validation: at least one with a share above 0, but never all."""
    return min(max(round(count * share), 1), count - 1) if share else 0
