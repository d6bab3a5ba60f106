"""Refuses a network with a layer that sets weights that train when it is called, as `SpectralNormalization` does.

`model.fit` keeps what such a layer sets, and computes the gradient with respect to it. A step here takes the weights as
they are for all slices of a batch, and would forget it, so that a validation would see other weights than the training.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from autofit.errors import UserError


def refuse_set_weights(
    scope: keras.StatelessScope, weights: Sequence[keras.Variable], before: Sequence[tf.Tensor]
) -> None:
    """Check, while a step is traced, that a call of the network has set no weight that trains.

    Args:
        scope: the one in which the network was called.
        weights: those that train.
        before: their values in the scope before the call.

    Raises:
        UserError: it has set one; the message names it.
    """
    for variable, value in zip(weights, before, strict=True):
        if scope.get_current_value(variable) is not value:
            raise UserError(
                f"the model has a layer that sets its weight {variable.path} whenever it is called, as "
                "SpectralNormalization does, which micro-batches cannot keep: remove that layer"
            )
