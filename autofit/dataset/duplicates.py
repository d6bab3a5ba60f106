"""Groups of images that are the same, byte for byte, and of images that look alike."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from autofit.storage.records import Record

Numbers = NDArray[np.int64]

MOST_NOTED, MOST_IN_A_GROUP = 1_000, 20
"""The most groups that a run records, and the most images of a group: a folder that holds everything twice needs no
complete list."""


class EqualImages(Record):
    """`equal-images.json`: the groups of a run's images that are equal byte for byte, by their numbers."""

    schema_: Literal["autofit/equal-images/1"] = Field("autofit/equal-images/1", alias="schema")
    groups: list[list[int]]


def note_equal_images(file: Path, identities: NDArray[np.uint64]) -> list[list[int]]:
    """Record which images are equal, if any are. A disk error is ignored, since nothing depends on the record.

    Args:
        file: `equal-images.json`.
        identities: as in `equal_groups`.

    Returns:
        All groups, as in `equal_groups`.
    """
    found = equal_groups(identities)
    groups = [
        group if len(group) <= MOST_IN_A_GROUP else [*group[: MOST_IN_A_GROUP - 1], group[-1]]
        for group in found[:MOST_NOTED]
    ]
    with contextlib.suppress(OSError):
        if groups:
            EqualImages(groups=groups).save(file)
        else:
            file.unlink(missing_ok=True)
    return found


def noted_equal_images(file: Path, count: int) -> list[list[int]]:
    """The groups in a file, which may be untrusted, of a run with `count` images; empty if there is no such file."""
    with contextlib.suppress(OSError, ValueError):
        groups = EqualImages.load(file, follow_links=False).groups
        return [group for group in groups if len(group) > 1 and all(0 <= number < count for number in group)]
    return []


def copied_to_validation(groups: Sequence[Sequence[int]], train_count: int) -> int:
    """How many images in groups of equal ones are for validation while another one of the group is for training."""
    return sum(number >= train_count for group in groups if min(group) < train_count for number in group)


def families_of(count: int, groups: Sequence[int], copies: Sequence[Sequence[int]]) -> Numbers | None:
    """The number of each image's family, int64 (count,): images of one group belong together, and so do copies.

    Args:
        count: the number of images.
        groups: the number of each image's group, as that of a patient; empty if nothing is known of such.
        copies: groups of equal images, as in `equal_groups`.

    Returns:
        None if nothing is known to belong together.
    """
    if not copies:
        return np.asarray(groups, np.int64) if groups else None
    own = np.unique(np.asarray(groups, np.int64), return_inverse=True)[1] if groups else np.arange(count)
    family = np.arange(count)
    for linked in linked_groups(count, np.array([[own[one[0]], own[other]] for one in copies for other in one[1:]])):
        family[linked] = linked[0]
    families: Numbers = family[own]
    return families


def equal_groups(identities: NDArray[np.uint64]) -> list[list[int]]:
    """Groups of two or more images with the same identity, each in ascending order; the groups by their first images.

    Args:
        identities: uint64 (n, 2); zeros for an image without an identity.
    """
    known = np.flatnonzero(identities.any(axis=1))
    _, which, counts = np.unique(identities[known], axis=0, return_inverse=True, return_counts=True)
    return _groups(known, which.ravel(), counts)


def linked_groups(count: int, pairs: Numbers) -> list[list[int]]:
    """Groups of two or more images that are connected by pairs, directly or through other images.

    Each group is in ascending order; the groups are ordered by their first images.

    Args:
        count: the number of images.
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
    """The images, of which each group is represented by its first image only."""
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
