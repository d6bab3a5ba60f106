"""Votes of an image's nearest neighbours, by features, on its label; no row votes for itself."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from autofit.worker.features.head_rows import LabelledRows, Numbers, Standardisation, standardisation
from autofit.worker.features.head_solver import one_blas_thread

NEIGHBOURS = (5, 10, 20)
"""The votes of these numbers of neighbours are averaged: few are a coarse measure, many reach beyond small classes."""
REFERENCE_BYTES = 64 * 2**20
"""The most bytes of reference rows, with which all rows are compared. If there are more rows, evenly spread ones are
taken as references, so that the time grows only linearly with the number of rows."""
BLOCK_ROWS = 256

Floats32 = NDArray[np.float32]


@one_blas_thread
def neighbour_votes(
    rows: LabelledRows,
    num_classes: int,
    *,
    threads: int = 1,
    goes_on: Callable[[], bool] = lambda: True,
) -> Floats32:
    """The share of each class among the nearest neighbours of each row, without those of the same photo.

    Rows are standardised, and compared by their cosine similarity.

    Args:
        rows: the rows, with one label each, or any number of labels.
        num_classes: k.
        threads: how many threads compute; the result does not depend on it.
        goes_on: called repeatedly; it may raise to stop.

    Returns:
        float32 (n, k), above 0 and below 1, since one neighbour with a uniform vote is added.
    """
    scale = standardisation(rows)
    reference = _reference(len(rows), rows.width)
    compared = np.concatenate([directions(rows, reference[part], scale) for part in parts(len(reference))])
    targets, unknown = _targets(rows, num_classes)
    found = np.empty((len(rows), num_classes), np.float32)

    def vote(part: slice) -> None:
        numbers = np.arange(len(rows))[part]
        likeness = directions(rows, numbers, scale) @ compared.T
        likeness[rows.groups[numbers][:, None] == rows.groups[reference]] = -np.inf
        nearest = np.argsort(-likeness, axis=1, kind="stable")[:, : NEIGHBOURS[-1]]
        is_other = np.isfinite(np.take_along_axis(likeness, nearest, axis=1))
        votes = targets[rows.labels[reference[nearest]]] * is_other[..., None]
        found[part] = np.mean(
            [
                (votes[:, :count].sum(axis=1) + unknown) / (is_other[:, :count].sum(axis=1, keepdims=True) + 1)
                for count in NEIGHBOURS
            ],
            axis=0,
        )

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(vote, parts(len(rows))):
            goes_on()
    return found


def _reference(count: int, width: int) -> Numbers:
    """The numbers of the reference rows, in order."""
    most = max(NEIGHBOURS[-1] + 1, REFERENCE_BYTES // (4 * max(1, width)))
    if count <= most:
        return np.arange(count)
    return np.arange(most) * count // most


def parts(count: int) -> list[slice]:
    """Blocks of `count` rows."""
    return [slice(start, min(start + BLOCK_ROWS, count)) for start in range(0, count, BLOCK_ROWS)]


def directions(rows: LabelledRows, numbers: Numbers, scale: Standardisation) -> Floats32:
    """Some rows, standardised and normalised to length 1, float32 (k, d)."""
    some = rows.of(numbers)
    features = scale(some.read(slice(0, len(some)))).astype(np.float32)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return features


def _targets(rows: LabelledRows, num_classes: int) -> tuple[Floats32, float]:
    """The vote of each label for each class, 0 or 1, and the uniform vote."""
    if rows.table is None:
        return np.eye(num_classes, dtype=np.float32), 1.0 / num_classes
    return rows.table.targets.astype(np.float32), 0.5
