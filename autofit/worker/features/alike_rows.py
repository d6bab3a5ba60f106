"""Finds rows with nearly equal features, in bounded memory: copies that were mirrored, cropped or brightened.

How near two copies are depends on the data: digits are all near each other, photos of anything are not. Two rows are
alike if their distance (1 - cosine, standardised) is far below the distance of each to its fourth nearest row. This is
the ratio test of Lowe ("Distinctive Image Features from Scale-Invariant Keypoints", 2004), but with the fourth nearest
row in place of the second, so that up to three copies of an image are found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from autofit.dataset.duplicates import linked_groups
from autofit.worker.features.head_rows import LabelledRows, Numbers, Standardisation, standardisation
from autofit.worker.features.head_solver import one_blas_thread
from autofit.worker.features.neighbours import REFERENCE_BYTES, directions, parts

LEAST_COSINE = 0.75
"""The least cosine of two rows that are alike."""
NEARER = 0.4
"""The distance of two rows that are alike is at most this share of the distance of each to its fourth nearest row. Both
constants were chosen on the data sets of docs/benchmarks.md."""
RIVAL = 4
CELLS_OF_A_ROW = 2
"""If there are more rows than fit into `REFERENCE_BYTES`, they are divided into cells, around some of the rows as
centres. Each row is in the cells of its two nearest centres, and is compared with the rows of these cells."""

Floats32 = NDArray[np.float32]


@one_blas_thread
def alike_rows(rows: LabelledRows, *, threads: int = 1, goes_on: Callable[[], bool] = lambda: True) -> Numbers:
    """The pairs of rows that are nearly equal and of different photos.

    Args:
        rows: as in `neighbour_votes`.
        threads: how many threads compute; the result does not depend on it.
        goes_on: called repeatedly; it may raise to stop.

    Returns:
        The numbers of the rows, int64 (k, 2): each pair once, the smaller number first, sorted.
    """
    scale = standardisation(rows)
    rival = np.full(len(rows), np.inf, np.float32)
    found = [np.empty((0, 2), np.int64)]
    distances = [np.empty(0, np.float32)]
    with ThreadPoolExecutor(threads) as pool:
        for cell in _cells(rows, scale, pool, goes_on):
            near, how_far, fourth = _nearest(rows.groups[cell], directions(rows, cell, scale), pool, goes_on)
            rival[cell] = np.minimum(rival[cell], fourth)
            pairs = np.sort(cell[near], axis=1)
            kept = how_far <= NEARER * rival[pairs].min(axis=1)
            found.append(pairs[kept])
            distances.append(how_far[kept])
    pairs, how_far = np.concatenate(found), np.concatenate(distances)
    return np.unique(pairs[how_far <= NEARER * rival[pairs].min(axis=1)], axis=0)


def together(rows: LabelledRows, alike: Numbers) -> LabelledRows:
    """The same rows, in which those that are alike and have the same label count as views of one photo.

    Otherwise a copy would vouch for a label that is wrong. One with another label does not: it casts doubt. Photos of
    one family are views of one as well: a wrong label is often that of them all.
    """
    same_label = rows.labels[alike[:, 0]] == rows.labels[alike[:, 1]]
    photo = np.arange(int(rows.groups.max(initial=-1)) + 1)
    links = np.concatenate([rows.groups[alike[same_label]], _links_in_families(rows)])
    for group in linked_groups(len(photo), links):
        photo[group] = group[0]
    return replace(rows, groups=photo[rows.groups])


def _links_in_families(rows: LabelledRows) -> Numbers:
    """Pairs of photos that link those of each family, int64 (k, 2)."""
    if rows.families is None:
        return np.empty((0, 2), np.int64)
    order = np.argsort(rows.families, kind="stable")
    is_same = np.diff(rows.families[order]) == 0
    return np.stack([rows.groups[order[:-1]][is_same], rows.groups[order[1:]][is_same]], axis=1)


def _nearest(
    groups: Numbers, of_length_1: Floats32, pool: ThreadPoolExecutor, goes_on: Callable[[], bool]
) -> tuple[Numbers, Floats32, Floats32]:
    """The near pairs of a cell's rows, their distances, and the distance of each row to its fourth nearest.

    Near pairs are those of a row and one of its three nearest, with a cosine of at least `LEAST_COSINE`.
    """
    most = min(RIVAL, len(groups) - 1)

    def search(part: slice) -> tuple[Numbers, Floats32]:
        likeness = of_length_1[part] @ of_length_1.T
        likeness[groups[part][:, None] == groups] = 0.0
        nearest = np.argpartition(-likeness, most - 1, axis=1)[:, :most]
        cosines = np.take_along_axis(likeness, nearest, axis=1)
        order = np.argsort(-cosines, axis=1, kind="stable")
        return np.take_along_axis(nearest, order, axis=1), np.take_along_axis(cosines, order, axis=1)

    pairs, how_far, fourth = [], [], np.ones(len(groups), np.float32)
    for part, (nearest, cosines) in zip(parts(len(groups)), pool.map(search, parts(len(groups))), strict=True):
        goes_on()
        if most == RIVAL:
            fourth[part] = 1 - cosines[:, -1]
        row, place = np.nonzero(cosines[:, : RIVAL - 1] >= LEAST_COSINE)
        pairs.append(np.stack([row + part.start, nearest[row, place]], axis=1))
        how_far.append(1 - cosines[row, place])
    return np.concatenate(pairs), np.concatenate(how_far), fourth


def _cells(
    rows: LabelledRows, scale: Standardisation, pool: ThreadPoolExecutor, goes_on: Callable[[], bool]
) -> Iterator[Numbers]:
    """Cells of rows that are small enough to compare all rows with all; rows that are alike should share one.

    Yields:
        The numbers of the rows of a cell, int64 (n,).
    """
    most = max(2, REFERENCE_BYTES // (4 * max(1, rows.width)))
    if len(rows) <= most:
        yield from [np.arange(len(rows))] if len(rows) > 1 else []
        return
    count = max(2 * -(-len(rows) // most), int(len(rows) ** 0.5))
    centres = directions(rows, np.arange(count) * len(rows) // count, scale)

    def assign(part: slice) -> Numbers:
        likeness = directions(rows, np.arange(len(rows))[part], scale) @ centres.T
        near: Numbers = np.argpartition(-likeness, CELLS_OF_A_ROW - 1, axis=1)[:, :CELLS_OF_A_ROW]
        return near

    assigned = []
    for near in pool.map(assign, parts(len(rows))):
        goes_on()
        assigned.append(near)
    cell_of = np.concatenate(assigned).ravel()
    order = np.argsort(cell_of, kind="stable")
    borders = np.searchsorted(cell_of[order], np.arange(1, count))
    for cell in np.split(order // CELLS_OF_A_ROW, borders):
        yield from (part for start in range(0, len(cell), most) if len(part := cell[start : start + most]) > 1)
