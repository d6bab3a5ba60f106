"""Probabilities of rows by heads that were not solved on them, and by their neighbours. No TensorFlow.

Each fifth of the rows is judged by a head of the other four. Heads and neighbours are wrong about different images, so
the mean of both ranks more wrong labels at the top than either does (docs/decisions/0048).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from autofit.worker.features.head_rows import Floats, LabelledRows
from autofit.worker.features.head_solver import COMPARISON, HeadProblem, one_blas_thread
from autofit.worker.features.head_strength import FOLDS, fold_of_rows
from autofit.worker.features.neighbours import neighbour_votes


def unseen_probabilities(
    rows: LabelledRows,
    num_classes: int,
    *,
    l2: float,
    threads: int = 1,
    goes_on: Callable[[], bool] = lambda: True,
) -> NDArray[np.float32]:
    """The mean of the probabilities by heads and by neighbours, neither of which know the row's own label.

    Args:
        rows: as in `out_of_fold`.
        num_classes: k.
        l2: the strength of the penalty.
        threads: how many threads compute.
        goes_on: as in `out_of_fold`.

    Returns:
        float32 (n, k), NaN as in `out_of_fold`.
    """
    by_heads = out_of_fold(rows, num_classes, l2=l2, threads=threads, goes_on=goes_on)
    return (by_heads + neighbour_votes(rows, num_classes, threads=threads, goes_on=goes_on)) / 2


@one_blas_thread
def out_of_fold(
    rows: LabelledRows,
    num_classes: int,
    *,
    l2: float,
    threads: int = 1,
    goes_on: Callable[[], bool] = lambda: True,
) -> NDArray[np.float32]:
    """The probabilities of each row by a head that was solved on the other folds.

    Args:
        rows: the rows, with one label each, or any number of labels.
        num_classes: k.
        l2: the strength of the penalty.
        threads: how many threads compute; the result does not depend on it.
        goes_on: called repeatedly; it may raise. Once it returns False, heads are solved no further.

    Returns:
        float32 (n, k); NaN for a row whose class does not occur in the other folds, since nothing is known of it. If
        rows may have several labels, NaN for a label that no row or every row of the other folds has.
    """
    folds = fold_of_rows(rows.labels, rows.groups)
    found = np.full((len(rows), num_classes), np.nan, np.float32)
    for fold in range(FOLDS):
        others = rows.of(np.flatnonzero(folds != fold))
        is_known = np.isin(rows.labels, others.labels) if rows.table is None else True
        left_out = np.flatnonzero((folds == fold) & is_known)
        if len(left_out) and len(others):
            problem = HeadProblem(others, num_classes, threads=threads)
            head = problem.solve(l2, tolerance=COMPARISON, goes_on=goes_on).head
            found[left_out] = _probabilities(head.logits(rows.of(left_out)), others)
    return found


def _probabilities(logits: Floats, seen: LabelledRows) -> Floats:
    """The probabilities of a head that was solved on the rows `seen`; NaN for labels that could not be learnt there."""
    if seen.table is None:
        by_class: Floats = softmax(logits, axis=1)
        return by_class
    shares = seen.table.targets[seen.labels].mean(axis=0)
    by_label: Floats = expit(logits)
    by_label[:, (shares == 0) | (shares == 1)] = np.nan
    return by_label
