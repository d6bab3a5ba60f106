"""Solves the final head: chooses its strength, and solves it on the training rows and again on all. No TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from autofit.worker.features.head_rows import (
    LabelledRows,
    check_labels,
    count_alike,
    joined,
    part_of_rows,
    with_class_weights,
)
from autofit.worker.features.head_solver import (
    COMPARISON,
    OPTIMUM_OF_MANY,
    Head,
    HeadProblem,
    Solution,
    held_rows,
    one_blas_thread,
)
from autofit.worker.features.head_strength import (
    MOST_CROSS_VALIDATED,
    HowChosen,
    PathPoint,
    can_judge,
    choose_l2,
    fold_splits,
)
from autofit.worker.features.photo_scores import photo_scores

LEAST_LEFT_OUT = 50
"""With fewer photos left out, their accuracy has a standard error of up to 7 points and more, and tells too little."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadFit:
    """The final head, and how it was found.

    Attributes:
        head: the final head, solved on training and validation rows together if `refitted`, else on training rows.
        trained: the head solved on training rows only.
        l2: the strength of the penalty.
        how_chosen: how the strength was chosen.
        cross_validated_accuracy: the accuracy on photos of the folds that were left out, if the strength was chosen by
            cross-validation, or as `left_out_accuracy` says; None with class weights, which count in it.
        refitted: whether `head` was solved on the validation rows too.
        path: the strengths that were tried.
        seconds: the time of everything.
        converged: whether the optimum was reached; not if there was no time for that.
    """

    head: Head
    trained: Head
    l2: float
    how_chosen: HowChosen
    cross_validated_accuracy: float | None
    refitted: bool
    path: tuple[PathPoint, ...]
    seconds: float
    converged: bool


@one_blas_thread
def fit_head(
    train: LabelledRows,
    validation: LabelledRows,
    num_classes: int,
    *,
    class_weights: Mapping[int, float] | None = None,
    refit: bool = True,
    threads: int = 1,
    goes_on: Callable[[], bool] = lambda: True,
    clock: Callable[[], float] = time.perf_counter,
) -> HeadFit:
    """Choose the strength, solve the head on the training rows, and solve it again on all rows.

    Args:
        train: the rows to solve it on.
        validation: rows of other photos, by which the strength is chosen; if there are few, cross-validation chooses.
        num_classes: k.
        class_weights: the weights of the classes' losses; 1 for a class that is not named.
        refit: whether the final head is solved on the validation rows as well. It must be False for validation images
            that the user gave: these have to stay unseen.
        threads: how many threads compute; the result does not depend on it.
        goes_on: called repeatedly; it may raise. Once it returns False, no further strength is tried, the head is
            solved with `LEAST_ITERATIONS` (on a part of the rows, if they do not fit into memory), and not again on all
            rows.
        clock: gives the time in seconds.

    Raises:
        ValueError: as for `HeadProblem`.
    """
    started = clock()
    check_labels(validation, num_classes)
    weighted = with_class_weights(train, class_weights), with_class_weights(validation, class_weights)
    strength = choose_l2(*weighted, num_classes, may_pool=refit, threads=threads, goes_on=goes_on, clock=clock)

    def solved(rows: LabelledRows, near: Head | None = None) -> Solution:
        problem = HeadProblem(rows, num_classes, threads=threads)
        if near is None:
            return problem.solve(strength.l2, goes_on=goes_on)
        start = problem.near(near)
        return problem.solve(strength.l2, start, tolerance=OPTIMUM_OF_MANY, goes_on=goes_on, least_iterations=0)

    most = held_rows(train.width)
    is_large = len(train) > most
    trained = solution = solved(weighted[0], solved(part_of_rows(weighted[0], most)).head if is_large else None)
    refitted = refit and len(validation) > 0 and goes_on()
    if refitted:
        solution = solved(joined(*weighted), trained.head if is_large else None)
    left_out = strength.cross_validated_accuracy
    weighs = bool(class_weights) or not count_alike(train, validation)
    if not refit and strength.how_chosen == "validation" and not weighs and goes_on():
        left_out = left_out_accuracy(weighted[0], num_classes, strength.l2, threads=threads, goes_on=goes_on)
    return HeadFit(
        head=solution.head,
        trained=trained.head,
        l2=strength.l2,
        how_chosen=strength.how_chosen,
        cross_validated_accuracy=None if weighs or train.table else left_out,
        refitted=refitted,
        path=strength.path,
        seconds=clock() - started,
        converged=solution.converged,
    )


def left_out_accuracy(
    train: LabelledRows,
    num_classes: int,
    l2: float,
    *,
    threads: int = 1,
    goes_on: Callable[[], bool] = lambda: True,
) -> float | None:
    """The accuracy on a fifth of the training photos of a head that was solved on the others.

    It says whether validation photos of the user's are of another kind than those for training. Of more than
    `MOST_CROSS_VALIDATED` rows it is that of a head on a part of them, which is rather too low than too high.

    Returns:
        None if there are too few photos to judge by, or if rows may have several labels.
    """
    seen, unseen = fold_splits(part_of_rows(train, MOST_CROSS_VALIDATED))[0]
    if train.table is not None or len(np.unique(unseen.judges)) < LEAST_LEFT_OUT or not can_judge(seen, unseen):
        return None
    problem = HeadProblem(seen, num_classes, threads=threads)
    found = problem.solve(l2, tolerance=COMPARISON, goes_on=goes_on, least_iterations=0)
    return float(photo_scores(found.head, unseen.unweighted()).hits.mean()) if found.converged else None
