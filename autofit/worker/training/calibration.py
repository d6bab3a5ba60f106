"""Calibrates a fine-tuned model: its probabilities become as reliable as the validation images show them to be.

Temperature scaling (Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017): the logits
are divided by one number. What is predicted stays the same; how confident the model is does not.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from numpy.typing import NDArray

from autofit.protocol.job import TrainingPlan
from autofit.protocol.messages import Calibration
from autofit.worker.model.builder import BuiltModel
from autofit.worker.training.train_state import TrainingProgress

Probabilities = NDArray[np.float32]

LEAST_IMAGES = 15
MOST_TEMPERATURE = 3.0
"""Fewer images say too little, and a higher temperature is only found by chance (docs/decisions/0072)."""

LEAST_PROBABILITY = np.finfo(np.float32).tiny


class Calibrator:
    """Calibrates the best model of a training.

    Args:
        plan: of the stage; says whether to calibrate.
        built: the network. Only one that autofit has given its softmax is calibrated.
        labels: the class numbers of the stage's validation images, int64 (n,).
    """

    def __init__(self, plan: TrainingPlan, built: BuiltModel, labels: NDArray[np.int64]) -> None:
        self._labels = labels if plan.calibrates and built.head_layers else None
        self._monitor = plan.monitor

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
        ended = progress.after_epoch(epoch, logs, self._monitor, counts)
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
        if self._labels is None or probabilities is None or progress.stage != "fine-tune":
            return None
        return calibration(probabilities, self._labels)


def _if_needed(found: Calibration | None) -> Calibration | None:
    return found if found and found.temperature > 1 else None


def calibration(probabilities: Probabilities, labels: NDArray[np.int64]) -> Calibration | None:
    """The temperature with which images are predicted with the lowest loss; None for too few images.

    It is never below 1: a model that knows all validation images would become certain of everything.

    Args:
        probabilities: of a softmax, float32 (n, k); rows of NaN do not count.
        labels: the class number of each row, int64 (n,).
    """
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - takes 0.2 s

    is_known = ~np.isnan(probabilities).any(axis=1)
    if is_known.sum() < LEAST_IMAGES:
        return None
    logits, numbers = _logits(probabilities[is_known]), labels[is_known]

    def loss(inverse: float) -> float:  # convex in the inverse of the temperature
        scores = np.float32(inverse) * logits
        return float(np.mean(_log_sums(scores) - scores[np.arange(len(scores)), numbers], dtype=np.float64))

    found = float(minimize_scalar(loss, bounds=(1 / MOST_TEMPERATURE, 1.0), method="bounded").x)
    best = found if loss(found) < loss(1.0) else 1.0
    return Calibration(temperature=1 / best, loss=loss(best))


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
