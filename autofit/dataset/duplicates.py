"""Groups of images that are the same, byte for byte, and of images that look alike. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


def equal_groups(identities: NDArray[np.uint64]) -> list[list[int]]:
    """Groups of two and more images with the same identity, each in order, by their first images.

    Args:
        identities: uint64 (n, 2); zeros for an image without any.
    """
    known = np.flatnonzero(identities.any(axis=1))
    _, which, counts = np.unique(identities[known], axis=0, return_inverse=True, return_counts=True)
    return _groups(known, which.ravel(), counts)


def linked_groups(count: int, pairs: Numbers) -> list[list[int]]:
    """Groups of two and more images that pairs join, perhaps by way of others, each in order, by their first images.

    Args:
        count: of images.
        pairs: int64 (k, 2).
    """
    from scipy.sparse import coo_array  # noqa: PLC0415 - takes 0.2 s
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    if not len(pairs):
        return []
    links = coo_array((np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, which = connected_components(links, directed=False)
    return _groups(np.arange(count), which, np.bincount(which))


def representatives(count: int, groups: Sequence[Sequence[int]]) -> Numbers:
    """The images without all but the first of each group."""
    kept = np.ones(count, np.bool_)
    for group in groups:
        kept[list(group[1:])] = False
    return np.flatnonzero(kept)


def _groups(numbers: Numbers, which: NDArray[np.integer], counts: NDArray[np.integer]) -> list[list[int]]:
    """Numbers by the group that each is in, of groups of two and more."""
    several = np.flatnonzero(counts[which] > 1)
    ordered = several[np.argsort(which[several], kind="stable")]
    borders = np.flatnonzero(np.diff(which[ordered])) + 1
    return sorted(numbers[part].tolist() for part in np.split(ordered, borders) if len(part))
