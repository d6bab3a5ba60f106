"""Requires that a loss is a mean over the samples, which is told by calling it with a few of them."""

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
    random = np.random.default_rng(0)
    labels = objective.drawn_labels(SAMPLES, max(2, width), random)
    outputs = random.dirichlet(np.ones(max(2, width)), SAMPLES)[:, :width].astype(np.float32)

    def loss_of(rows: slice) -> float:
        encoded, weights = objective.encode(tf.convert_to_tensor(labels[rows])), objective.ones(labels[rows])
        return float(objective.loss_function(encoded, tf.convert_to_tensor(outputs[rows]), sample_weight=weights))

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
