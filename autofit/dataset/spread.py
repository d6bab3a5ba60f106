"""Orders images so that any number of first images has all classes in about their proportions."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from autofit.dataset.index import ImageIndex


def evenly_spread(index: ImageIndex, seed: int) -> ImageIndex:
    """The same images, with those for training and those for validation each in a seeded, stratified order.

    If a time budget ends before all images were read, those that were read are a stratified sample. The order begins
    with one image of each class.
    """
    labels, first = list(index.labels), index.validation_from
    order = [
        *spread_order(labels[:first], seed),
        *(first + number for number in spread_order(labels[first:], seed)),
    ]
    paths, spread = [index.paths[number] for number in order], array("i", (labels[number] for number in order))
    groups = array("i", (index.groups[number] for number in order if index.groups))
    weights = array("d", (index.weights[number] for number in order if index.weights))
    return replace(index, paths=paths, labels=spread, groups=groups, weights=weights)


def spread_over(count: int, most: int) -> range:
    """At most `most` of `count` places, evenly spread, since images are sorted by class."""
    return range(0, count, max(1, -(-count // most)))


def spread_order(labels: Sequence[int], seed: int) -> list[int]:
    """The numbers of all samples in an order that spreads each class evenly; within a class the order is random."""
    counts, met = Counter(labels), defaultdict[int, int](int)
    keys: dict[int, tuple[float, int]] = {}
    for place, number in enumerate(np.random.default_rng(seed).permutation(len(labels)).tolist()):
        label = labels[number]
        keys[number] = met[label] / counts[label], place
        met[label] += 1
    return sorted(keys, key=keys.__getitem__)
