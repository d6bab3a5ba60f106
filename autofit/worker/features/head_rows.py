"""Rows of features with their labels, on which a head is solved. They are read in blocks, from memory or a file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

BLOCK_VALUES = 2**22
"""The number of values in a block: 32 MiB in float64."""
QUIET_SHARE = 0.1
"""A column's standard deviation counts as at least about this share of the root mean square of all columns' deviations.
Otherwise a channel that is nearly dead on the training rows would be amplified a hundredfold, and would dominate
wherever it is not dead. 300 digits, with a MobileNet pretrained on photos, gained 6.1 ± 2.3 points of accuracy by it
(five splits; with a share of 0.05: 5.3, with 0.3: 7.4); on three sets of food photos it cost 0.0, 0.1 and 0.6 ± 0.3
points. The value was chosen with these test photos in view."""
SMALLEST_DEVIATION = 1e-6
"""A column whose standard deviation is below this share of its largest value counts as constant, within float32's
precision."""


class RowSource(Protocol):
    """A source of features: an array, a memory-mapped array, or anything that gathers rows by their numbers.

    Attributes:
        shape: (n, d).
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""
        ...

    def __getitem__(self, rows: Any, /) -> Any:
        """A copy of the features of these rows (int64), (k, d), of any float type."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class LabelTable:
    """The sets of labels that rows may have.

    Attributes:
        targets: 1 for a label in the set, else 0, float64 (sets, k).
        weights: the weight of the loss of each label, float64 (sets, k).
    """

    targets: Floats
    weights: Floats


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRows:
    """Rows of features, each with a class, a weight and the photo that it is a view of.

    Attributes:
        parts: the sources of the features; row i of the whole is row `row_of[i]` of `parts[part_of[i]]`.
        part_of: int64 (n,).
        row_of: int64 (n,).
        labels: the class number of each row, or with a `table` the number of its set of labels; int64 (n,), from 0.
        weights: the weight of each row's loss, float64 (n,), 0 or more.
        groups: int64 (n,); rows with the same number are views of one photo.
        table: the sets of labels; None if each row has one label.
        families: int64 (n,); photos with the same number belong together, as those of one patient and copies do, and
            none of them may judge a head that has seen another. None if nothing is known of such.
    """

    parts: tuple[RowSource, ...]
    part_of: Numbers
    row_of: Numbers
    labels: Numbers
    weights: Floats
    groups: Numbers
    table: LabelTable | None = None
    families: Numbers | None = None

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.labels)

    @property
    def width(self) -> int:
        """The number of features of a row."""
        return self.parts[0].shape[1]

    @property
    def judges(self) -> Numbers:
        """Of each row the number of what judges a head by itself: its photo, or its family."""
        return self.groups if self.families is None else self.families

    @property
    def shared_weight(self) -> float | None:
        """The weight of a photo with all its views, if all rows weigh the same; None if not, and for no rows."""
        if not len(self) or (self.weights != self.weights[0]).any():
            return None
        views = int(np.unique(self.groups, return_counts=True)[1].max())
        return views * float(self.weights[0])

    def of(self, numbers: Numbers) -> LabelledRows:
        """Some of the rows."""
        return replace(
            self,
            part_of=self.part_of[numbers],
            row_of=self.row_of[numbers],
            labels=self.labels[numbers],
            weights=self.weights[numbers],
            groups=self.groups[numbers],
            families=None if self.families is None else self.families[numbers],
        )

    def counting(self) -> LabelledRows:
        """The rows with a weight above 0; the object itself if that is all rows."""
        counts = self.weights > 0
        return self if counts.all() else self.of(np.flatnonzero(counts))

    def weighted(self, weights: Floats) -> LabelledRows:
        """The same rows with other weights."""
        return replace(self, weights=weights)

    def unweighted(self) -> LabelledRows:
        """The same rows, all with a weight of 1."""
        table = self.table and replace(self.table, weights=np.ones_like(self.table.weights))
        return replace(self, weights=np.ones(len(self)), table=table)

    def block_rows(self) -> list[slice]:
        """The rows of each block; they depend only on the number of rows and their width."""
        step = max(1, BLOCK_VALUES // max(1, self.width))
        return [slice(start, min(start + step, len(self))) for start in range(0, len(self), step)]

    def read(self, rows: slice, dtype: type[np.float32 | np.float64] = np.float64) -> NDArray[Any]:
        """The features of a block, (k, d), float64 or float32."""
        if len(self.parts) == 1:
            return np.asarray(self.parts[0][self.row_of[rows]], dtype)
        features = np.empty((len(range(*rows.indices(len(self)))), self.width), dtype)
        for place, part in enumerate(self.parts):
            here = self.part_of[rows] == place
            if here.any():
                features[here] = part[self.row_of[rows][here]]
        return features


def labelled_rows(
    features: RowSource,
    labels: Sequence[int] | Numbers,
    *,
    sample_weights: Sequence[float] | Floats | None = None,
    groups: Sequence[int] | Numbers | None = None,
) -> LabelledRows:
    """The rows of one source.

    Args:
        features: (n, d).
        labels: the class numbers, (n,), from 0.
        sample_weights: the weight of each row's loss, (n,); 1 by default.
        groups: (n,); rows with the same number are views of one photo. By default each row is a photo of its own.

    Raises:
        ValueError: the lengths differ, or a weight is negative or not finite.
    """
    count = features.shape[0]
    weights = np.ones(count) if sample_weights is None else np.asarray(sample_weights, np.float64)
    photos = np.arange(count) if groups is None else np.asarray(groups)
    classes = np.asarray(labels)
    if not len(classes) == len(weights) == len(photos) == count:
        raise ValueError(f"{count} rows have {len(classes)} labels, {len(weights)} weights and {len(photos)} groups")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("a sample weight is negative or not finite")
    order = np.arange(count, dtype=np.int64)
    return LabelledRows(
        (features,), np.zeros_like(order), order, classes.astype(np.int64), weights, photos.astype(np.int64)
    )


def check_labels(rows: LabelledRows, num_classes: int) -> None:
    """Check that each label is a class.

    Raises:
        ValueError: one is not.
    """
    known = num_classes if rows.table is None else len(rows.table.targets)
    if len(rows) and not 0 <= rows.labels.min() <= rows.labels.max() < known:
        raise ValueError(f"a label is not one of the {num_classes} classes")


def count_alike(train: LabelledRows, validation: LabelledRows) -> bool:
    """Whether all photos of both have the same weight; there need be none for validation."""
    weights = [rows.shared_weight for rows in (train, validation) if len(rows)]
    return all(weight is not None and math.isclose(weight, weights[0] or 0.0) for weight in weights)


def joined(first: LabelledRows, second: LabelledRows) -> LabelledRows:
    """All rows of both; equal groups of the two are different photos, and equal families the same."""
    photos = second.groups + (first.groups.max(initial=-1) - second.groups.min(initial=0) + 1)
    return LabelledRows(
        (*first.parts, *second.parts),
        np.concatenate([first.part_of, second.part_of + len(first.parts)]),
        np.concatenate([first.row_of, second.row_of]),
        np.concatenate([first.labels, second.labels]),
        np.concatenate([first.weights, second.weights]),
        np.concatenate([first.groups, photos]),
        first.table,
        _of_both(first.families, second.families),
    )


def _of_both(first: Numbers | None, second: Numbers | None) -> Numbers | None:
    return None if first is None or second is None else np.concatenate([first, second])


def part_of_rows(rows: LabelledRows, most: int) -> LabelledRows:
    """About `most` rows, if there are more: evenly spread, with the same share of each class, but at least one row.

    If rows may have several labels, they are only evenly spread, since there may be as many sets of labels as rows.
    """
    if len(rows) <= most:
        return rows
    if rows.table is not None:
        return rows.of(np.arange(most) * len(rows) // most)
    counts = np.bincount(rows.labels)
    shared = max(most - int(np.count_nonzero(counts)), 1)  # the others are for classes whose share is less than a row
    wanted = np.where(counts, np.maximum(counts * shared // len(rows), 1), 0)
    by_class = np.argsort(rows.labels, kind="stable")
    ends = np.cumsum(counts)
    chosen = [
        by_class[end - count + np.arange(share) * count // share]
        for end, count, share in zip(ends, counts, wanted, strict=True)
        if share
    ]
    return rows.of(np.sort(np.concatenate(chosen)))


def with_class_weights(rows: LabelledRows, class_weights: Mapping[int, float] | None) -> LabelledRows:
    """The rows, with each weight multiplied by that of its class; the weight of a class that is not named is 1.

    Raises:
        ValueError: a weight is negative or not finite.
    """
    if not class_weights:
        return rows
    of_class = np.ones(1 + max(int(rows.labels.max(initial=0)), *class_weights))
    of_class[list(class_weights)] = list(class_weights.values())
    if not (np.isfinite(of_class).all() and (of_class >= 0).all()):
        raise ValueError("a class weight is negative or not finite")
    return rows.weighted(rows.weights * of_class[rows.labels])


@dataclass(frozen=True, slots=True, eq=False)
class Standardisation:
    """The weighted mean of each column, and the factor for its deviations from the mean.

    Attributes:
        mean: float64 (d,).
        scale: float64 (d,): about the inverse of the column's standard deviation (see `QUIET_SHARE`); 0 for a constant
            column.
    """

    mean: Floats
    scale: Floats

    def __call__(self, features: NDArray[Any]) -> NDArray[Any]:
        """Standardise the features in place, in their precision, and return them."""
        features -= self.mean.astype(features.dtype, copy=False)
        features *= self.scale.astype(features.dtype, copy=False)
        return features


def standardisation(rows: LabelledRows) -> Standardisation:
    """The standardisation by these rows and their weights, in one pass over them.

    Raises:
        ValueError: a feature is not finite.
    """
    total, largest = 0.0, np.zeros(rows.width)
    mean, squares = np.zeros(rows.width), np.zeros(rows.width)  # of deviations from the mean so far
    for block in rows.block_rows():
        features, weights = rows.read(block), rows.weights[block]
        if not np.isfinite(features).all():
            raise ValueError("a feature is not a finite number")
        weight = float(weights.sum())
        if weight == 0.0:
            continue
        np.maximum(largest, np.abs(features).max(axis=0), out=largest)
        block_mean = weights @ features / weight
        shift, features = block_mean - mean, features - block_mean
        total += weight
        mean += shift * (weight / total)
        squares += weights @ np.square(features) + np.square(shift) * (weight * (total - weight) / total)
    variance = squares / total if total else squares
    constant = np.sqrt(variance) <= SMALLEST_DEVIATION * largest
    raised = np.sqrt(variance + QUIET_SHARE**2 * variance.mean())
    return Standardisation(mean, np.divide(1.0, raised, out=np.zeros_like(raised), where=~constant))
