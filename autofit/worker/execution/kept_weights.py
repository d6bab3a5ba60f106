"""Refuses a network with a layer whose call sets what a step cannot keep.

`SpectralNormalization` sets weights that train. `model.fit` keeps what such a layer sets, and computes the gradient
with respect to it. A step here takes the weights as they are for all slices of a batch, and would forget it, so that a
validation would see other weights than the training.

A seed generator that belongs to no layer is not among the network's variables. `model.fit` sets it wherever it is; a
step here would forget its new state, and draw the same numbers each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from autofit.errors import UserError

SEED_STATE = "seed_generator_state"
"""The name that Keras gives the state of each seed generator."""


class WatchedScope(keras.StatelessScope):
    """A stateless scope that notes which variables were changed though it was given no value of them.

    Attributes:
        lost: these variables.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._given, self.lost = set(self.state_mapping), list[keras.Variable]()

    def add_update(self, update: tuple[keras.Variable, Any]) -> None:
        """Change a variable in this scope."""
        if id(update[0]) not in self._given:
            self.lost.append(update[0])
        super().add_update(update)


def refuse_lost_seeds(scope: WatchedScope) -> None:
    """Check, while a step is traced, that a call of the network has drawn from no seed generator outside of it.

    Raises:
        UserError: it has; the message names the generator.
    """
    for variable in scope.lost:
        if variable.name == SEED_STATE:
            raise UserError(
                f"the model draws random numbers from {variable.path}, a SeedGenerator that belongs to none of its "
                "layers, and would draw the same ones in each step: make it an attribute of the layer that draws"
            )


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
