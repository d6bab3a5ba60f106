"""What an image's nearest neighbours by features say of its labels: a vote that no row has in its own favour."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from autofit.worker.features.head_rows import LabelledRows, Numbers, Standardisation, standardisation
from autofit.worker.features.head_solver import one_blas_thread

NEIGHBOURS = (5, 10, 20)
"""The votes of so many neighbours are averaged: few are a coarse measure, many reach beyond small classes."""
REFERENCE_BYTES = 64 * 2**20
"""Rows that all are compared with, at most; of more rows, evenly spread ones: time grows with their number alone."""
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
    """The share of each class among the neighbours of each row, which are of other photos.

    Rows are standardised, and compared by the cosine of their angle.

    Args:
        rows: with one label each, or any number of them.
        num_classes: k.
        threads: that may compute at once; the result does not depend on it.
        goes_on: called again and again; it may raise.

    Returns:
        float32 (n, k), above 0 and below 1: a neighbour more is added that knows nothing.
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
    """The rows that all are compared with, in order."""
    most = max(NEIGHBOURS[-1] + 1, REFERENCE_BYTES // (4 * max(1, width)))
    if count <= most:
        return np.arange(count)
    return np.arange(most) * count // most


def parts(count: int) -> list[slice]:
    """So many rows in blocks."""
    return [slice(start, min(start + BLOCK_ROWS, count)) for start in range(0, count, BLOCK_ROWS)]


def directions(rows: LabelledRows, numbers: Numbers, scale: Standardisation) -> Floats32:
    """Some rows, standardised and of length 1, float32 (k, d)."""
    some = rows.of(numbers)
    features = scale(some.read(slice(0, len(some)))).astype(np.float32)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return features


def _targets(rows: LabelledRows, num_classes: int) -> tuple[Floats32, float]:
    """What each label says of each class, 0 or 1, and what is said where nothing is known."""
    if rows.table is None:
        return np.eye(num_classes, dtype=np.float32), 1.0 / num_classes
    return rows.table.targets.astype(np.float32), 0.5
