"""Splits images so that those of one group are on one side, with about the share of each label on it. Pure.

All groups are for training at first. In the order of a hash of seed and name, a group goes to validation where that
brings the numbers of its labels nearer to the wanted ones, by the squares of what they lack; labels of the fewest
groups come first. No label loses its last group of training.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from autofit.dataset.split import Classes, drawn_order, held_out_count

Groups = dict[str, dict[str, int]]
"""How many images each group has of each label, in the order in which the groups are drawn."""


class _Sides:
    """Deals groups out to validation.

    Args:
        groups: all of them.
        share: for validation.

    Attributes:
        held: the groups that are for validation.
    """

    def __init__(self, groups: Groups, share: float) -> None:
        self._groups = groups
        self._total = Counter[str]()
        self._groups_of = defaultdict[str, list[str]](list)
        for name, counts in groups.items():
            for label, count in counts.items():
                self._total[label] += count
                self._groups_of[label].append(name)
        self._lacks = {label: held_out_count(count, share) for label, count in self._total.items()}
        self._scale = {label: max(lacking, 1) for label, lacking in self._lacks.items()}
        self._count = Counter[str]()
        self.held: set[str] = set()

    def give_each_label_a_group(self) -> None:
        """Let each label have images for validation, where it can."""
        by_rarity = sorted(self._groups_of, key=lambda label: (len(self._groups_of[label]), label))
        for label in by_rarity:
            if not self._count[label]:
                self._give_one(label)

    def fill(self) -> None:
        """Give validation what brings it nearer to its numbers."""
        for name in self._groups:
            if name not in self.held and self._gain(name) > 0 and self._may_go(name):
                self._move(name)

    def take_back(self) -> None:
        """Take from validation what it has too much of; each label that it has stays there."""
        for name in [name for name in self._groups if name in self.held]:
            stays = all(self._count[label] > count for label, count in self._groups[name].items())
            if stays and self._gain(name, -1) > 0:
                self._move(name, -1)

    def _give_one(self, label: str) -> None:
        """Hold out the first drawn group of a label that brings validation nearer to its numbers, or the least bad."""
        names = self._groups_of[label]
        nearer = (name for name in names if self._gain(name) > 0 and self._may_go(name))
        chosen = next(nearer, None) or max(filter(self._may_go, names), key=self._gain, default=None)
        if chosen is not None:
            self._move(chosen)

    def _may_go(self, name: str) -> bool:
        """Whether each label of a group has other images for training."""
        return all(self._total[label] - self._count[label] > count for label, count in self._groups[name].items())

    def _gain(self, name: str, sign: int = 1) -> float:
        """How much nearer validation is to its numbers with a group, or without it."""
        gain = 0.0
        for label, count in self._groups[name].items():  # x^2 - (x - n)^2 = n (2x - n)
            gain += count * (2 * sign * self._lacks[label] - count) / self._scale[label]
        return gain

    def _move(self, name: str, sign: int = 1) -> None:
        for label, count in self._groups[name].items():
            self._lacks[label] -= sign * count
            self._count[label] += sign * count
        (self.held.add if sign > 0 else self.held.discard)(name)


def split_groups(
    classes: Classes, sets: Sequence[frozenset[str]], group_of: Mapping[str, str], share: float, seed: int
) -> tuple[Classes, Classes]:
    """Split images into training and validation, those of one group to one side.

    Args:
        classes: paths by class number, or by the number of their set of labels.
        sets: the labels of each class: its own name, or those of the set.
        group_of: the group of each path; one that is not there is a group of its own.
        share: for validation, 0 < share < 1. Each label keeps images for training; one of several groups has some for
            validation too, unless these are all that others have for training.
        seed: another seed, another split; groups are drawn by a hash of seed and name.
    """
    counts: Groups = {}
    for labels, paths in zip(sets, classes, strict=True):
        in_order = sorted(labels) or [""]  # images without labels have their share as well
        for path in paths:
            of_group = counts.setdefault(_name(path, group_of), {})
            for label in in_order:
                of_group[label] = of_group.get(label, 0) + 1
    sides = _Sides({name: counts[name] for name in drawn_order(counts, seed)}, share)
    sides.give_each_label_a_group()
    sides.fill()
    sides.take_back()
    held = sides.held
    training = [[path for path in paths if _name(path, group_of) not in held] for paths in classes]
    return training, [[path for path in paths if _name(path, group_of) in held] for paths in classes]


def _name(path: str, group_of: Mapping[str, str]) -> str:
    """The name of an image's group; no value of a table begins as that of one alone."""
    group = group_of.get(path)
    return f"\0{path}" if group is None else group
