"""What heads say of rows that they were not solved on: each fifth by a head of the other four; no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from autofit.worker.features.head_rows import LabelledRows
from autofit.worker.features.head_solver import COMPARISON, HeadProblem, one_blas_thread
from autofit.worker.features.head_strength import FOLDS, fold_of_rows


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
        rows: with one label each.
        num_classes: k.
        l2: the strength of the penalty.
        threads: that may compute at once; the result does not depend on it.
        goes_on: asked again and again; it may raise. Once it says False, the heads are as far as they came.

    Returns:
        float32 (n, k); NaN for a row whose class the other folds do not have: nothing is known of it.
    """
    folds = fold_of_rows(rows.labels, rows.groups)
    found = np.full((len(rows), num_classes), np.nan, np.float32)
    for fold in range(FOLDS):
        others = rows.of(np.flatnonzero(folds != fold))
        left_out = np.flatnonzero((folds == fold) & np.isin(rows.labels, others.labels))
        if len(left_out):
            problem = HeadProblem(others, num_classes, threads=threads)
            head = problem.solve(l2, tolerance=COMPARISON, goes_on=goes_on).head
            found[left_out] = softmax(head.logits(rows.of(left_out)), axis=1)
    return found
