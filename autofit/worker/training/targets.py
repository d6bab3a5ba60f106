"""The labels and weights of all samples as a training step takes them: one class each, or any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autofit.config.training_options import ClassWeight
from autofit.dataset import ImageIndex
from autofit.dataset.class_weights import weights_by_class
from autofit.worker.features.head_rows import LabelTable


def balanced_weights(counts: Sequence[float] | NDArray[np.float64]) -> np.ndarray:
    """Class weights that give all classes the same total weight: `n / (classes * n_of_class)`, float32.

    The "balanced" rule of King and Zeng, Logistic Regression in Rare Events Data (2001), as scikit-learn names it.

    Args:
        counts: how many training images each class has, or the sum of their weights; a class that has none gets 1.
    """
    numbers = np.asarray(counts, np.float64)
    weights = numbers.sum() / (len(numbers) * np.where(numbers > 0, numbers, 1.0))
    return np.where(numbers > 0, weights, 1.0).astype(np.float32)


class Targets:
    """The labels and weights of samples.

    Args:
        index: the images, perhaps with weights of their own, which are multiplied by those of their classes.
        class_weight: the class weights; `balanced` gives all classes the same total weight. With several labels an
            image, the images with a label then have the same total weight as those without it.

    Attributes:
        numbers: the number of each sample's class, or of its set of labels, int64 (n,).
        class_weights: float32 (classes,); None if all are 1. With several labels an image they are not used.
        sample_weights: float64 (n,), with a mean of 1 over the training images, since only ratios matter and a step
            is as long as with equal weights; None if all samples count alike.
        table: the sets of labels; None if each sample has one class.
        mean_weight: the mean weight of the training images; 1 with several labels an image.
    """

    def __init__(self, index: ImageIndex, class_weight: ClassWeight = "none") -> None:
        self.numbers = np.asarray(index.labels, np.int64)
        self.sample_weights = relative_weights(index)
        counts, balances = class_totals(index, self.sample_weights), class_weight == "balanced"
        self.table = label_table(index, counts if balances else None) if index.is_multi_label else None
        self.class_weights = balanced_weights(counts) if balances and self.table is None else None
        if isinstance(class_weight, dict):
            self.class_weights = np.asarray(weights_by_class(class_weight, index.class_names), np.float32)
        self.mean_weight = 1.0
        if self.class_weights is not None and self.table is None:
            self.mean_weight = float(self.weights(np.arange(index.train_count)).mean())
        if self.table is not None:
            self._rows, self._row_weights = (
                values.astype(np.float32) for values in (self.table.targets, self.table.weights)
            )

    def labels(self, samples: NDArray[np.int64]) -> NDArray[Any]:
        """Class numbers, int64 (k,); with several labels an image rows of 0 and 1, float32 (k, classes)."""
        numbers = self.numbers[samples]
        return numbers if self.table is None else self._rows[numbers]

    def judged_from(self, first: int) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
        """The class numbers and weights (n,) of the samples from this one on; None if all weights are 1."""
        if self.table is not None or (self.class_weights is None and self.sample_weights is None):
            return self.numbers[first:], None
        return self.numbers[first:], self.weights(np.arange(first, len(self.numbers)))

    def weights(self, samples: NDArray[np.int64]) -> NDArray[np.float32]:
        """The weights in the loss, in the shape of the labels."""
        numbers = self.numbers[samples]
        own = None if self.sample_weights is None else self.sample_weights[samples].astype(np.float32)
        if self.table is not None:
            rows: NDArray[np.float32] = self._row_weights[numbers]
            return rows if own is None else rows * own[:, None]
        weights = np.ones(len(numbers), np.float32) if self.class_weights is None else self.class_weights[numbers]
        return weights if own is None else weights * own


def relative_weights(index: ImageIndex) -> NDArray[np.float64] | None:
    """The weights of all samples, divided by the mean of the training images; None if an index has none."""
    if not index.weights:
        return None
    weights = np.asarray(index.weights, np.float64)
    weights = weights / weights[: index.train_count].max()  # else the sum may be too large for a number
    return weights / weights[: index.train_count].mean()


def class_totals(index: ImageIndex, sample_weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """The sum of the weights of each class's training images, or of those with each label, float64 (classes,)."""
    if sample_weights is None:
        return np.asarray(index.class_counts(), np.float64)
    count, sets = index.train_count, len(index.label_sets) or len(index.class_names)
    totals = np.bincount(np.asarray(index.labels[:count]), sample_weights[:count], minlength=sets).astype(np.float64)
    of_classes: NDArray[np.float64] = totals @ _targets(index) if index.is_multi_label else totals
    return of_classes


def _targets(index: ImageIndex) -> NDArray[np.float64]:
    """1 for each label of each set of labels, else 0, (sets, classes)."""
    targets = np.zeros((len(index.label_sets), len(index.class_names)))
    for number, classes in enumerate(index.label_sets):
        targets[number, list(classes)] = 1.0
    return targets


def label_table(index: ImageIndex, balanced_counts: NDArray[np.float64] | None) -> LabelTable:
    """The sets of labels of an index, and the weights of their labels.

    Args:
        index: images with any number of labels.
        balanced_counts: the number of training images with each label, or the sum of their weights, to give those with
            it and those without it the same total weight: an image weighs `n / (2 * n_of_side)`, or 1 if all images
            are on one side. None for weights of 1.
    """
    targets = _targets(index)
    if balanced_counts is None:
        return LabelTable(targets, np.ones_like(targets))
    having, whole = balanced_counts, index.train_count
    both = (having > 0) & (having < whole)
    with_label = np.where(both, whole / (2 * np.where(both, having, 1)), 1.0)
    without = np.where(both, whole / (2 * np.where(both, whole - having, 1)), 1.0)
    return LabelTable(targets, np.where(targets > 0, with_label, without))
