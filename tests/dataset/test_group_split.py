"""The split that keeps images together: no group on both sides, seeded, and with the share of each class."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from autofit.dataset.group_split import split_groups
from autofit.dataset.split import Classes
from tests.support.datasets import quick

SHARES = st.floats(0.01, 0.99)
SEEDS = st.integers(-(2**70), 2**70)
GROUPS_OF_ONE_CLASS = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=9), min_size=1, max_size=4)
"""The size of each group of each class."""
IMAGES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=80)
"""Class and group of each image; group 0 is none."""


def named(classes: Classes) -> list[frozenset[str]]:
    return [frozenset({str(number)}) for number in range(len(classes))]


def of_images(drawn: list[tuple[int, int]]) -> tuple[list[list[str]], dict[str, str]]:
    """Images by class, and their groups."""
    classes: list[list[str]] = [[] for _ in range(4)]
    groups: dict[str, str] = {}
    for number, (label, group) in enumerate(drawn):
        path = f"{number}.png"
        classes[label].append(path)
        groups |= {path: str(group)} if group else {}
    return classes, groups


@quick
@given(drawn=IMAGES, share=SHARES, seed=SEEDS)
def test_no_group_is_on_both_sides_and_each_class_is_trained(
    drawn: list[tuple[int, int]], share: float, seed: int
) -> None:
    """A patient would be in training and validation, and the accuracy be a lie; or images be lost."""
    classes, groups = of_images(drawn)
    training, validation = split_groups(classes, named(classes), groups, share, seed)
    for paths, ours, theirs in zip(classes, training, validation, strict=True):
        assert sorted([*ours, *theirs]) == sorted(paths)
        assert bool(ours) == bool(paths)
    sides = [{groups[path] for paths in side for path in paths if path in groups} for side in (training, validation)]
    assert sides[0].isdisjoint(sides[1])


@quick
@given(sizes=GROUPS_OF_ONE_CLASS, share=SHARES, seed=SEEDS)
def test_each_class_has_its_share_but_for_a_group(sizes: list[list[int]], share: float, seed: int) -> None:
    """A class would not be validated, or mostly not trained on, though its groups allow both."""
    classes = [
        [f"{label}/{group}/{number}" for group, size in enumerate(of_class) for number in range(size)]
        for label, of_class in enumerate(sizes)
    ]
    groups = {path: path.rpartition("/")[0] for paths in classes for path in paths}
    training, validation = split_groups(classes, named(classes), groups, share, seed)
    for of_class, ours, theirs in zip(sizes, training, validation, strict=True):
        assert ours
        assert bool(theirs) == (len(of_class) > 1)
        assert len(of_class) == 1 or abs(len(theirs) - share * sum(of_class)) <= max(of_class) + 1


@quick
@given(drawn=IMAGES, seed=SEEDS, shuffler=st.randoms())
def test_the_order_of_the_table_does_not_matter(
    drawn: list[tuple[int, int]], seed: int, shuffler: random.Random
) -> None:
    """The same table, sorted in another way, would be another run."""
    classes, groups = of_images(drawn)
    once = split_groups(classes, named(classes), groups, 0.3, seed)[1]
    for paths in classes:
        shuffler.shuffle(paths)
    again = split_groups(classes, named(classes), groups, 0.3, seed)[1]
    assert [sorted(paths) for paths in again] == [sorted(paths) for paths in once]


def test_the_seed_decides_which_groups_are_held_out() -> None:
    """Runs with other seeds would be judged by the same patients."""
    classes, groups = of_images([(number % 2, 1 + number % 40) for number in range(200)])
    held = {str(split_groups(classes, named(classes), groups, 0.2, seed)[1]) for seed in range(5)}
    assert len(held) == 5


def test_a_class_is_validated_if_only_a_large_group_can() -> None:
    """The class would have no figure at all, since its smallest group is beyond the share."""
    classes, groups = of_images([(0, 1)] * 30 + [(0, 2)] * 40 + [(1, number) for number in range(3, 10)] * 4)
    training, validation = split_groups(classes, named(classes), groups, 0.2, 0)
    assert (len(training[0]), len(validation[0])) == (40, 30)
    assert len(validation[1]) in {4, 8}


@quick
@given(seed=st.integers(0, 10_000))
def test_each_of_several_labels_has_its_share(seed: int) -> None:
    """A label that is on few patients would be in training or in validation alone."""
    source = random.Random(seed)
    sets = [frozenset(text) for text in ("", "a", "b", "ab", "abc", "c")]
    classes: list[list[str]] = [[] for _ in sets]
    groups: dict[str, str] = {}
    for group in range(60):
        for image in range(source.randint(1, 6)):
            path = f"{group}-{image}"
            classes[source.randrange(6) if group > 9 else 5].append(path)
            groups[path] = str(group)
    _, validation = split_groups(classes, sets, groups, 0.25, seed)
    for label in "abc":
        total, held = (
            sum(len(paths) for paths, labels in zip(side, sets, strict=True) if label in labels)
            for side in (classes, validation)
        )
        assert abs(held / total - 0.25) < 0.1, (label, held, total)
