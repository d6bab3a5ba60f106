"""Requires that a loss is a mean over the samples, or weights them, which is told by calling it with a few of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from autofit.errors import UserError
from autofit.worker.model.outputs import loss_name

if TYPE_CHECKING:
    from autofit.worker.model.objective import Objective

SAMPLES, FIRST_PART = 6, 2
TOLERANCE = 1e-3
"""The largest difference, relative to the loss, that is rounding."""


def require_mean(objective: Objective, width: int) -> None:
    """Compare the loss of some samples with the mean of the losses of two unequal parts of them.

    A loss that gives another number when it is called again, or that cannot be called so, passes: nothing is known of
    it.

    Args:
        objective: the objective; labels and outputs that fit it are drawn.
        width: the number of the model's outputs.

    Raises:
        UserError: the two differ, as for an F1 score of all samples: the update would depend on the micro-batch.
    """
    labels, outputs = _drawn(objective, width)

    def loss_of(rows: slice) -> float:
        return _loss(objective, labels[rows], outputs[rows], objective.ones(labels[rows]))

    try:
        whole, *parts = map(loss_of, (slice(0, SAMPLES), slice(0, FIRST_PART), slice(FIRST_PART, SAMPLES)))
        again = loss_of(slice(0, SAMPLES))
    except Exception:  # noqa: BLE001 - whatever a user's function raises for so few samples; the training names it
        return
    mean = float(np.average(parts, weights=[FIRST_PART, SAMPLES - FIRST_PART]))
    if whole == again and abs(whole - mean) > TOLERANCE * max(abs(whole), abs(mean)):
        loss = objective.loss_function
        how = ", as with axis=-1" if hasattr(loss, "axis") else ""
        raise UserError(
            f"the loss {loss_name(loss)} is not a mean over the samples, so micro-batches would change it (together "
            f"{SAMPLES} samples give {whole:.4g}, in two parts {mean:.4g}): let it give a number for each sample{how}"
        )


def require_weighted(objective: Objective, width: int, weights_by: str) -> None:
    """Check that the weights of samples change how much each of them counts, by giving all weight to one, then another.

    A loss that cannot be called so passes.

    Args:
        objective: as in `require_mean`.
        width: as in `require_mean`.
        weights_by: the option that gives the weights.

    Raises:
        UserError: they do not: the loss gives a single number for all samples, which weights would only scale.
    """
    labels, outputs = _drawn(objective, width)
    try:
        found = [_loss(objective, labels, outputs, tf.one_hot(sample, SAMPLES)) for sample in range(SAMPLES)]
    except Exception:  # noqa: BLE001 - as in `require_mean`
        return
    if np.ptp(found) <= TOLERANCE * max(map(abs, found)):
        raise UserError(
            f"the loss {loss_name(objective.loss_function)} gives one number for all samples, so {weights_by} would "
            f"not weight them: let it give a number for each sample, or leave {weights_by} out"
        )


def _drawn(objective: Objective, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and outputs of some samples."""
    random = np.random.default_rng(0)
    labels = objective.drawn_labels(SAMPLES, max(2, width), random)
    return labels, random.dirichlet(np.ones(max(2, width)), SAMPLES)[:, :width].astype(np.float32)


def _loss(objective: Objective, labels: np.ndarray, outputs: np.ndarray, weights: tf.Tensor) -> float:
    encoded = objective.encode(tf.convert_to_tensor(labels))
    return float(objective.loss_function(encoded, tf.convert_to_tensor(outputs), sample_weight=weights))
