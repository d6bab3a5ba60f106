"""The split of images with several labels: complete, seeded, and with the share of each label on both sides."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from autofit.dataset.label_set_split import split_label_sets
from tests.support.datasets import quick

NAMES = ("common", "half", "rare", "pair")
RATES = (0.8, 0.5, 0.06)


def drawn(seed: int, count: int) -> tuple[list[list[str]], list[frozenset[str]]]:
    """Images by set, of which `pair` is on two."""
    source = random.Random(seed)
    of_set: dict[frozenset[str], list[str]] = {}
    for number in range(count):
        labels = frozenset(name for name, rate in zip(NAMES, RATES, strict=False) if source.random() < rate)
        of_set.setdefault(labels | ({"pair"} if number < 2 else set()), []).append(f"{number}.png")
    return list(of_set.values()), list(of_set)


@quick
@given(seed=st.integers(0, 10_000), count=st.integers(60, 300), share=st.sampled_from([0.1, 0.2, 0.5]))
def test_each_label_has_its_share_on_both_sides(seed: int, count: int, share: float) -> None:
    """A rare label would be missing in validation or, worse, in training; or images be lost, or on both sides."""
    classes, sets = drawn(seed, count)
    training, validation = split_label_sets(classes, sets, share, seed)
    for paths, ours, theirs in zip(classes, training, validation, strict=True):
        assert sorted([*ours, *theirs]) == sorted(paths)
    for name in NAMES:
        sides = [
            sum(len(paths) for paths, labels in zip(side, sets, strict=True) if name in labels)
            for side in (training, validation)
        ]
        total = sum(sides)
        assert total < 2 or all(sides), (name, sides)
        assert abs(sides[1] - share * total) <= 1 + 0.02 * count, (name, sides)
    assert abs(sum(map(len, validation)) - share * count) <= 2 + 0.02 * count  # labels first: no split has all shares


def test_the_split_depends_on_the_seed_alone() -> None:
    """A rerun would train on what it validated on before."""
    classes, sets = drawn(0, 80)
    once = split_label_sets(classes, sets, 0.2, 3)
    turned = split_label_sets([paths[::-1] for paths in classes[::-1]], sets[::-1], 0.2, 3)
    assert [sorted(paths) for paths in turned[1][::-1]] == [sorted(paths) for paths in once[1]]
    assert split_label_sets(classes, sets, 0.2, 4) != once
