"""The order of images in which any beginning is a stratified sample."""

from __future__ import annotations

from array import array
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.dataset import ImageIndex
from autofit.dataset.spread import evenly_spread, spread_order, spread_over


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(0, 2**32 - 1), st.integers(0, 60))
def test_each_beginning_has_all_classes_in_their_shares(labels: list[int], seed: int, first: int) -> None:
    """A head that is solved on a part of the images would know some classes only."""
    order = spread_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    counts, share = Counter(labels), min(first, len(labels)) / max(len(labels), 1)
    met = Counter(labels[number] for number in order[:first])
    assert all(abs(met[label] - share * count) <= 2 + len(counts) for label, count in counts.items())
    assert len({labels[number] for number in order[: len(counts)]}) == len(counts)


def test_the_split_stays_and_each_image_keeps_its_class() -> None:
    """A validation image would be trained on, or an image be taken for another class."""
    paths = [f"{label}/{number}.png" for label in "ab" for number in range(10)] + ["a/v.png", "b/v.png", "b/w.png"]
    labels = array("i", [0] * 10 + [1] * 10 + [0, 1, 1])
    index = ImageIndex("/photos", paths, labels, ("a", "b"), 20)
    spread = evenly_spread(index, 7)
    assert set(spread.paths[:20]) == set(paths[:20])
    assert set(spread.paths[20:]) == set(paths[20:])
    assert all("ab"[label] == path[0] for path, label in zip(spread.paths, spread.labels, strict=True))
    assert spread.paths != paths
    assert evenly_spread(index, 7).fingerprint() == spread.fingerprint() != evenly_spread(index, 8).fingerprint()


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (1, 1), (200, 200), (201, 101), (1_000_000, 200)])
def test_images_are_spread_over_all_classes(count: int, expected: int) -> None:
    """Paths are sorted by class: the first two hundred would be of one class."""
    places = spread_over(count, 200)
    assert len(places) == expected
    assert not count or places[-1] >= count - max(1, places.step)
