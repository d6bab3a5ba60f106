"""Judges the models of a fine-tuning, and calibrates the best: it is as sure as the validation images show it to be.

Temperature scaling (Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017): the logits
are divided by one number. What is predicted stays the same; how confident the model is does not.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from numpy.typing import NDArray

from autofit.config.multi_label_figures import MEAN_AVERAGE_PRECISION
from autofit.protocol.job import TrainingPlan
from autofit.protocol.messages import Calibration
from autofit.worker.model.builder import BuiltModel
from autofit.worker.training.training_progress import TrainingProgress

Probabilities = NDArray[np.float32]
Weights = NDArray[np.float32]

WEIGHTED_ACCURACIES = ("accuracy with class weights", "accuracy with the weights of images")

LEAST_IMAGES = 15
MOST_TEMPERATURE = 3.0
"""Fewer images say too little, and a higher temperature is only found by chance (docs/decisions/0072)."""

LEAST_PROBABILITY = np.finfo(np.float32).tiny


class Calibrator:
    """Judges the models of a fine-tuning as its loss does, with weights, and calibrates the best of a training.

    Args:
        plan: of the stage; says whether to calibrate, and what to compare.
        built: the network. Only one with a head, which has a softmax, is calibrated.
        labels: the class numbers of the stage's validation images, int64 (n,).
        weights: those of their classes, of their own, or both multiplied, float32 (n,); None if there are none.
    """

    def __init__(
        self, plan: TrainingPlan, built: BuiltModel, labels: NDArray[np.int64], weights: Weights | None = None
    ) -> None:
        self._labels, self._calibrates = labels, plan.calibrates and bool(built.head_layers)
        self._by_quality, self._monitor = plan.compares != "accuracy", plan.monitor
        self._by_loss_too = plan.compares == "quality and loss"
        self._weights = weights if self._by_quality else None
        self._weighted_accuracy_name = WEIGHTED_ACCURACIES[plan.class_weight == "none"]

    def begun(self, progress: TrainingProgress, probabilities: Probabilities | None) -> TrainingProgress:
        """The progress at the beginning of a fine-tuning, with the figures of the model that it is compared with.

        Args:
            progress: so far; that of another stage, or from within this one, is returned as it is.
            probabilities: what that model says of the validation images; None if that is not known.
        """
        begins = progress.stage == "fine-tune" and progress.is_at_stage_start
        if not (begins and self._by_quality and "val_loss" in progress.history):
            return progress
        if self._monitor == "auto":
            progress = self._judged_anew(progress, probabilities)
        return progress.moved(value_before=progress.best_value, accuracy_before=progress.best_accuracy)

    def _judged_anew(self, progress: TrainingProgress, probabilities: Probabilities | None) -> TrainingProgress:
        """The progress whose best model has the figures by which those of the fine-tuning are compared."""
        means = progress.history.get(f"val_{MEAN_AVERAGE_PRECISION}")
        if means and progress.best_epoch is not None:
            mean = means[progress.best_epoch]
            return progress.moved(best_accuracy=mean, compared_by=MEAN_AVERAGE_PRECISION.replace("_", " "))
        weighted = self._weighted_accuracy(probabilities)
        if weighted is None or probabilities is None:
            return progress
        has_calibrated = self._of(progress, probabilities) is not None  # as the epochs to come will have, or not
        value = _loss_at(1.0, *self._known(probabilities)) if has_calibrated else progress.best_value
        return progress.moved(best_accuracy=weighted, best_value=value, compared_by=self._weighted_accuracy_name)

    def after_epoch(
        self, progress: TrainingProgress, epoch: int, logs: Mapping[str, float], probabilities: Probabilities | None
    ) -> TrainingProgress:
        """`TrainingProgress.after_epoch`, with the calibration of an epoch of fine-tuning that is the best so far.

        Its calibrated loss counts, unless the user has said what counts.

        Args:
            progress: before the epoch is counted.
            epoch: the epoch.
            logs: its metrics.
            probabilities: what its model says of the validation images; None if that is not known.
        """
        found = self._of(progress, probabilities)
        counts = found.loss if found and self._monitor == "auto" else None
        quality = self._quality(progress, logs, probabilities)
        most = progress.value_before if self._by_loss_too else None
        ended = progress.after_epoch(epoch, logs, self._monitor, counts, quality, len(self._labels), most)
        return ended.moved(calibration=_if_needed(found)) if ended.best_epoch == epoch else ended

    def noted(self, progress: TrainingProgress, probabilities: Probabilities | None) -> TrainingProgress:
        """The progress with the calibration of a best model that a callback may have chosen at the end of the stage.

        There is none if that is not one of fine-tuning.

        A refit, which has no validation, keeps that of the fine-tuning that it repeats.

        Args:
            progress: so far.
            probabilities: what the best model says of the validation images; None if that is not known.
        """
        found = progress.calibration if probabilities is not None else None
        if progress.stage == "fine-tune":
            is_best = (progress.best_epoch or 0) >= progress.first_epoch
            found = self._of(progress, probabilities) if is_best else None
        return progress.moved(calibration=_if_needed(found))

    def _of(self, progress: TrainingProgress, probabilities: Probabilities | None) -> Calibration | None:
        if not self._calibrates or probabilities is None or progress.stage != "fine-tune":
            return None
        return calibration(probabilities, self._labels, self._weights)

    def _quality(
        self, progress: TrainingProgress, logs: Mapping[str, float], probabilities: Probabilities | None
    ) -> float | None:
        """What stands for the accuracy of an epoch of fine-tuning; None if that itself is compared."""
        if progress.stage != "fine-tune" or not progress.compared_by:
            return None
        if progress.compared_by in WEIGHTED_ACCURACIES:
            return self._weighted_accuracy(probabilities)
        return logs.get(f"val_{MEAN_AVERAGE_PRECISION}")

    def _weighted_accuracy(self, probabilities: Probabilities | None) -> float | None:
        """The share of the weights of validation images that are right; None without weights."""
        if probabilities is None or self._weights is None:
            return None
        logits, numbers, weights = self._known(probabilities)
        hits = logits.argmax(axis=1) == numbers
        return float(np.average(hits, weights=weights)) if weights is not None and weights.sum() > 0 else None

    def _known(self, probabilities: Probabilities) -> tuple[Probabilities, NDArray[np.int64], Weights | None]:
        return _known(probabilities, self._labels, self._weights)


def _if_needed(found: Calibration | None) -> Calibration | None:
    return found if found and found.temperature > 1 else None


def calibration(
    probabilities: Probabilities, labels: NDArray[np.int64], weights: Weights | None = None
) -> Calibration | None:
    """The temperature with which images are predicted with the lowest loss; None for too few images.

    It is never below 1: a model that knows all validation images would become certain of everything.

    Args:
        probabilities: of a softmax, float32 (n, k); rows of NaN do not count.
        labels: the class number of each row, int64 (n,).
        weights: of each row in the loss, float32 (n,); None if all are 1.
    """
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - takes 0.2 s

    known = _known(probabilities, labels, weights)
    if len(known[0]) < LEAST_IMAGES:
        return None

    def loss(inverse: float) -> float:  # convex in the inverse of the temperature
        return _loss_at(inverse, *known)

    found = float(minimize_scalar(loss, bounds=(1 / MOST_TEMPERATURE, 1.0), method="bounded").x)
    best = found if loss(found) < loss(1.0) else 1.0
    return Calibration(temperature=1 / best, loss=loss(best))


def _known(
    probabilities: Probabilities, labels: NDArray[np.int64], weights: Weights | None
) -> tuple[Probabilities, NDArray[np.int64], Weights | None]:
    """The logits, labels and weights of the images that could be read."""
    is_known = ~np.isnan(probabilities).any(axis=1)
    return _logits(probabilities[is_known]), labels[is_known], None if weights is None else weights[is_known]


def _loss_at(inverse: float, logits: Probabilities, numbers: NDArray[np.int64], weights: Weights | None) -> float:
    """The mean cross-entropy, in nats, of logits that are multiplied by the inverse of a temperature."""
    scores = np.float32(inverse) * logits
    losses = (_log_sums(scores) - scores[np.arange(len(scores)), numbers]).astype(np.float64)
    has_weights = weights is not None and weights.sum() > 0
    return float(np.average(losses, weights=weights if has_weights else None))


def calibrated(probabilities: Probabilities, temperature: float) -> Probabilities:
    """The probabilities (n, k) of the same model with its logits divided by a temperature."""
    scores = _logits(probabilities) / np.float32(temperature)
    return np.exp(scores - _log_sums(scores)[:, None])


def divide_logits(layer: keras.layers.Dense, temperature: float) -> None:
    """Divide the logits of a Dense layer by a temperature."""
    layer.set_weights([weights / np.float32(temperature) for weights in layer.get_weights()])


def _logits(probabilities: Probabilities) -> NDArray[np.float32]:
    """Logits that give these probabilities, float32 (n, k)."""
    return np.log(np.maximum(probabilities, LEAST_PROBABILITY))


def _log_sums(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logarithm of the sum of the exponentials of each row, (n,)."""
    most = scores.max(axis=1)
    shifted = scores - most[:, None]
    return np.asarray(most + np.log(np.exp(shifted, out=shifted).sum(axis=1)))
