"""Chooses the strength of the head's penalty. No TensorFlow.

Strengths are tried from strong to weak, each from the solution of the one before, until the loss on other rows has long
been rising. The other rows are the validation set; where that is small they are those of five folds of training and
validation together, each left out in turn. The views of a photo stay in one fold, as do photos that belong together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from autofit.worker.features.head_memory import HELD_BYTES
from autofit.worker.features.head_rows import (
    Floats,
    LabelledRows,
    Numbers,
    joined,
    part_of_rows,
)
from autofit.worker.features.head_solver import (
    COMPARISON,
    HeadProblem,
    Solution,
    held_rows,
    one_blas_thread,
)
from autofit.worker.features.photo_scores import PhotoScores, photo_scores, together

HowChosen = Literal["validation", "cross-validation"]

STRENGTHS = tuple(10.0 ** (half / 2) for half in range(9, -7, -1))
"""The strengths that are tried: from 30,000 to 0.001, two per decade."""
RISING_STRENGTHS = 4
"""The path ends when the loss has been above its minimum for so many strengths: two decades."""
SMALL_VALIDATION = 200
"""With fewer validation photos of weight, chance would decide: a standard error of the accuracy is 3 points or more."""
DEFAULT_L2 = 30.0
"""The strength if there is no photo to judge by. It was among the best on every data set that was tried."""
FOLDS = 5
MOST_CROSS_VALIDATED = 5000
"""With more photos, only one of the five folds is left out: it has a thousand photos, and folds cost time."""
WORSE_ERRORS = 2.0
"""A strength is excluded if its accuracy is worse than the best by more than so many standard errors of the difference.
Of the others, the one with the least loss is chosen. The loss alone can be dominated by a few outlying rows. Accuracy
alone is too coarse: it cost 0.2 to 0.6 points on average."""
JUDGED_SHARE = 4
"""If rows do not fit into memory, heads are judged on at most 1/4 of the rows that would: with 1,280 features on 52,000
rows, for a standard error of at most 0.2 points."""
SPREAD = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio: its multiples modulo 2^64 are evenly distributed (Fibonacci hashing)."""


@dataclass(frozen=True, slots=True)
class PathPoint:
    """One strength, and how good its heads were on photos that they were not solved on.

    Attributes:
        l2: the strength.
        loss: the mean cross-entropy in nats, weighted as in training.
        accuracy: the accuracy, with the same weights.
        accuracy_gap: the difference to the best accuracy of the path, in standard errors of that difference.
        passes: the number of passes over the rows, for all folds.
        seconds: the time for all folds.
    """

    l2: float
    loss: float
    accuracy: float
    accuracy_gap: float
    passes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Strength:
    """The strength that was chosen.

    Attributes:
        l2: the strength.
        how_chosen: on the validation set, or by cross-validation.
        photos: the number of photos by which strengths were judged.
        path: all strengths that were tried, from strong to weak.
    """

    l2: float
    how_chosen: HowChosen
    photos: int
    path: tuple[PathPoint, ...]

    @property
    def cross_validated_accuracy(self) -> float | None:
        """The accuracy with this strength on the folds that were left out; None if there were none."""
        if self.how_chosen != "cross-validation":
            return None
        return next((point.accuracy for point in self.path if point.l2 == self.l2), None)


@one_blas_thread
def choose_l2(
    train: LabelledRows,
    validation: LabelledRows,
    num_classes: int,
    *,
    may_pool: bool = True,
    threads: int = 1,
    goes_on: Callable[[], bool] = lambda: True,
    clock: Callable[[], float] = time.perf_counter,
) -> Strength:
    """Choose the strength on the validation set, or by stratified cross-validation if that is small.

    If the rows do not fit into memory, heads are solved and compared on a part of them: each strength needs dozens of
    passes.

    Args:
        train: the training rows, with the weights that they are solved with.
        validation: rows of other photos.
        num_classes: k.
        may_pool: whether cross-validation may also solve heads on the validation rows. Otherwise it divides only the
            training rows.
        threads: how many threads compute.
        goes_on: called repeatedly; it may raise. Once it returns False, no further strength is tried.
        clock: gives the time in seconds.
    """
    unseen = _not_of(validation, train)
    if len(np.unique(unseen.counting().judges)) >= SMALL_VALIDATION:
        how_chosen: HowChosen = "validation"
        splits = [(train, unseen)]
    else:
        how_chosen = "cross-validation"
        splits = fold_splits(joined(train, validation) if may_pool else train)
    most = held_rows(train.width)
    parts = [
        (part_of_rows(rows, most), part_of_rows(other, most // JUDGED_SHARE)) if len(rows) > most else (rows, other)
        for rows, other in splits
    ]
    judged = [(rows, other) for rows, other in parts if can_judge(rows, other)]
    paths = [_heads(rows, other, num_classes, threads, HELD_BYTES // len(judged), goes_on) for rows, other in judged]
    return _chosen(paths, how_chosen, goes_on, clock)


def _not_of(rows: LabelledRows, others: LabelledRows) -> LabelledRows:
    """The rows of families that have none among the others: a photo's copy knows it by heart."""
    if rows.families is None or others.families is None:
        return rows
    is_known = np.isin(rows.families, others.families)
    return rows.of(np.flatnonzero(~is_known)) if is_known.any() else rows


def fold_splits(pool: LabelledRows) -> list[tuple[LabelledRows, LabelledRows]]:
    """The rows to solve on and those to judge by, for each fold that is left out."""
    folds = fold_of_rows(pool.labels, pool.judges)
    left_out = 1 if len(np.unique(pool.groups)) > MOST_CROSS_VALIDATED else FOLDS
    return [
        (pool.of(np.flatnonzero(folds != fold)), pool.of(np.flatnonzero(folds == fold))) for fold in range(left_out)
    ]


def fold_of_rows(labels: Numbers, groups: Numbers) -> Numbers:
    """The fold of each row: the photos of each class are distributed evenly, and the views of a photo stay together.

    So it is with families of photos, in place of photos and views.

    Args:
        labels: int64 (n,). The class of a photo is that of its first view.
        groups: int64 (n,), the photo of each row, or its family.
    """
    photos, first, photo_of = np.unique(groups, return_index=True, return_inverse=True)
    mixed = np.argsort(np.arange(len(photos), dtype=np.uint64) * np.uint64(SPREAD), kind="stable")
    by_class = mixed[np.argsort(labels[first][mixed], kind="stable")]
    folds = np.empty(len(photos), np.int64)
    folds[by_class] = np.arange(len(photos)) % FOLDS
    return folds[photo_of]


def can_judge(rows: LabelledRows, other: LabelledRows) -> bool:
    """Whether heads can be solved on `rows` and judged by a row of `other`, whose class has to be in `rows`."""
    if rows.table is not None:
        return bool((rows.weights > 0).any() and (other.weights > 0).any())
    return bool(np.isin(other.labels[other.weights > 0], rows.labels[rows.weights > 0]).any())


def _heads(
    rows: LabelledRows,
    other: LabelledRows,
    num_classes: int,
    threads: int,
    held_bytes: int,
    goes_on: Callable[[], bool],
) -> Iterator[tuple[int, PhotoScores]]:
    """The number of passes and the scores for each strength in turn."""
    if rows.table is None:  # a head knows nothing about a class without rows
        other = other.of(np.flatnonzero(np.isin(other.labels, rows.labels[rows.weights > 0])))
    problem = HeadProblem(rows, num_classes, threads=threads, held_bytes=held_bytes)
    solution: Solution | None = None
    for l2 in STRENGTHS:
        solution = problem.solve(l2, solution, tolerance=COMPARISON, goes_on=goes_on, least_iterations=0)
        yield solution.passes, photo_scores(solution.head, other)


def _chosen(
    paths: Sequence[Iterator[tuple[int, PhotoScores]]],
    how_chosen: HowChosen,
    goes_on: Callable[[], bool],
    clock: Callable[[], float],
) -> Strength:
    """Follow the paths of all folds in parallel, strength by strength, and choose."""
    if not paths:  # no class has photos on both sides
        return Strength(DEFAULT_L2, how_chosen, 0, ())
    tried: list[PathPoint] = []
    hits: list[Floats] = []
    started = clock()
    for l2, found in zip(STRENGTHS, zip(*paths, strict=True), strict=True):
        scores = together([each for _, each in found])
        hits.append(scores.hits)
        loss, accuracy = (float(np.average(each, weights=scores.weights)) for each in (scores.losses, scores.hits))
        tried.append(PathPoint(l2, loss, accuracy, 0.0, sum(passes for passes, _ in found), clock() - started))
        started = clock()
        rising = len(tried) - 1 - int(np.argmin([point.loss for point in tried]))
        if rising >= RISING_STRENGTHS or not goes_on():
            break
    gaps = accuracy_gaps(np.stack(hits), scores.weights, scores.families)
    path = tuple(replace(point, accuracy_gap=float(gap)) for point, gap in zip(tried, gaps, strict=True))
    return Strength(best_of(path).l2, how_chosen, len(scores.hits), path)


def best_of(path: tuple[PathPoint, ...]) -> PathPoint:
    """The point with the least loss, of the strengths whose accuracy is not clearly worse than the best."""
    return min((point for point in path if point.accuracy_gap <= WORSE_ERRORS), key=lambda point: point.loss)


def accuracy_gaps(hits: Floats, weights: Floats, families: Numbers | None = None) -> Floats:
    """How far the accuracy of each strength is from the best, in standard errors of the difference.

    The comparison is paired by photos: those about which both are right do not count for their difference. Where photos
    belong together, the error is the cluster-robust one, F / (F - 1) * sum over families of (sum of the share of each
    photo * (its difference - the mean difference))^2 for F families, as in `effective_images`.

    Args:
        hits: whether each strength is right about each photo, (strengths, photos), from 0 to 1.
        weights: the weights of the photos, (photos,).
        families: the number of each photo's family, (photos,); None if each is on its own.
    """
    shares = weights / weights.sum()
    differences = hits[int(np.argmax(hits @ shares))] - hits
    gaps = differences @ shares
    errors = np.sqrt(_variances((differences - gaps[:, None]) * shares, families))
    return np.divide(gaps, errors, out=np.where(gaps > 0, np.inf, 0.0), where=errors > 0)


def _variances(parts: Floats, families: Numbers | None) -> Floats:
    """The variance of each sum of parts, (strengths, photos), of which those of a family are not independent.

    A single family says nothing of others.
    """
    if families is None:
        return np.square(parts).sum(axis=1)
    numbers, family_of = np.unique(families, return_inverse=True)
    count = len(numbers)
    of_families = np.stack([np.bincount(family_of, row, count) for row in parts])
    return np.square(of_families).sum(axis=1) * count / (count - 1) if count > 1 else np.full(len(parts), np.inf)
