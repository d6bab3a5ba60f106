"""The losses of a head: of a softmax if each row has one label, else of a sigmoid for each label. No TensorFlow."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from autofit.worker.features.head_rows import Floats, LabelledRows, LabelTable, Numbers

MISSING_CLASS_BIAS = -16.1
"""The logit of a class without training rows: the natural logarithm of 1e-7, Keras's epsilon. The logits of the other
classes have a mean of 0, so such a class is never the most probable one."""


class HeadLoss(Protocol):
    """The loss of rows, as a function of the logits of the classes that can be learnt.

    Attributes:
        present: the numbers of these classes.
        curvature: an estimate of the loss's second derivative with respect to their logits, for a row of weight 1:
            (1,) or (present classes,).
        constant_bias: float64 (k,): the logit of each class if it cannot be learnt.
        is_solved: whether there is nothing to learn.
    """

    present: Numbers
    curvature: Floats
    constant_bias: Floats
    is_solved: bool

    def of(self, logits: Floats, rows: slice) -> tuple[float, Floats]:
        """The weighted sum of the losses of some rows, and its gradient with respect to the logits.

        The gradient may overwrite `logits`.
        """
        ...

    def settled(self, bias: Floats) -> Floats:
        """The biases in a normal form, if several sets of biases are the same model."""
        ...


def loss_of(rows: LabelledRows, num_classes: int) -> HeadLoss:
    """The loss for these rows: of a softmax, or of sigmoids if they have sets of labels."""
    return SoftmaxLoss(rows, num_classes) if rows.table is None else SigmoidLoss(rows, rows.table)


class SoftmaxLoss:
    """Cross-entropy of the one class of each row. See `HeadLoss`."""

    def __init__(self, rows: LabelledRows, num_classes: int) -> None:
        self.present, self._targets = np.unique(rows.labels, return_inverse=True)
        self._weights = rows.weights
        self.curvature = np.full(1, 1.0 / len(self.present))
        self.constant_bias = np.full(num_classes, MISSING_CLASS_BIAS)
        self.is_solved = len(self.present) == 1

    def of(self, logits: Floats, rows: slice) -> tuple[float, Floats]:
        """See `HeadLoss`."""
        targets, weights = self._targets[rows], self._weights[rows]
        logits -= logits.max(axis=1, keepdims=True)
        chosen = logits[np.arange(len(targets)), targets]
        np.exp(logits, out=logits)
        sums = logits.sum(axis=1)
        loss = float(weights @ (np.log(sums) - chosen))
        logits *= (weights / sums)[:, None]
        logits[np.arange(len(targets)), targets] -= weights
        return loss, logits

    def settled(self, bias: Floats) -> Floats:
        """Biases with a mean of 0."""
        return bias - bias.mean()


class SigmoidLoss:
    """Binary cross-entropy of each label: a logistic regression for each, with the same penalty. See `HeadLoss`.

    A label that all rows have, or none, is not learnt: it has a probability near 1 or 0 everywhere.
    """

    def __init__(self, rows: LabelledRows, table: LabelTable) -> None:
        self._labels, self._weights = rows.labels, rows.weights
        of_set = np.bincount(rows.labels, rows.weights, minlength=len(table.targets))[:, None] * table.weights
        positive, whole = (of_set * table.targets).sum(axis=0), of_set.sum(axis=0)
        of_all = np.bincount(rows.labels[rows.weights > 0], minlength=len(table.targets))
        having = of_all @ table.targets
        self.present = np.flatnonzero((having > 0) & (having < of_all.sum()))
        self._present_targets, self._present_weights = table.targets[:, self.present], table.weights[:, self.present]
        rates = (positive / np.where(whole > 0, whole, 1.0))[self.present]
        self.curvature = rates * (1 - rates) * whole[self.present] / rows.weights.sum()
        self.constant_bias = np.where(having > 0, -MISSING_CLASS_BIAS, MISSING_CLASS_BIAS)
        self.is_solved = len(self.present) == 0

    def of(self, logits: Floats, rows: slice) -> tuple[float, Floats]:
        """See `HeadLoss`."""
        sets = self._labels[rows]
        targets = self._present_targets[sets]
        weights = self._present_weights[sets] * self._weights[rows][:, None]
        loss = float(np.vdot(weights, label_losses(logits, targets)))
        return loss, weights * (probabilities(logits) - targets)

    def settled(self, bias: Floats) -> Floats:
        """The biases as they are."""
        return bias


def label_losses(logits: Floats, targets: Floats) -> Floats:
    """The binary cross-entropy of each label of each row, in nats, (n, k)."""
    return np.logaddexp(0.0, logits) - targets * logits


def probabilities(logits: Floats) -> Floats:
    """The sigmoid of each logit."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))
