"""How much memory an update may take beside what is there before it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from autofit.worker.model.optimizer import each_of

TEMPORARIES = 3
"""How many copies of all trained variables an optimizer's update may hold at once; Adam holds two or three. Clipping by
the global norm adds one more."""

TEMPORARIES_OF_ONE = 6
"""How many copies of the largest variable it may hold if variables change one after another. Adam was seen to hold 3.6:
the memory of one variable is not yet free when the next begins."""


def numbers_to_reserve(
    optimizer: keras.optimizers.Optimizer, sizes: Sequence[int], *, one_by_one: bool, is_scaled: bool
) -> int:
    """The most float32 values that the temporaries of an update may have.

    Args:
        optimizer: makes the update.
        sizes: of the variables that train.
        one_by_one: whether they change one after another.
        is_scaled: whether the gradients are divided by a scale first.
    """
    if one_by_one:
        inside = min(TEMPORARIES_OF_ONE * max(sizes, default=0), TEMPORARIES * sum(sizes))
        return inside + (copies_outside(optimizer) + is_scaled) * sum(sizes)
    return (TEMPORARIES + max(map(_copies_beside, each_of(optimizer))) + is_scaled) * sum(sizes)


def copies_outside(optimizer: keras.optimizers.Optimizer) -> int:
    """How many copies of all variables an update may hold outside of `update_step`."""
    return max(map(_copies_outside, each_of(optimizer)))  # each changes other variables


def _copies_outside(optimizer: keras.optimizers.Optimizer) -> int:
    clips = any((optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm))
    return clips + 2 * bool(optimizer.weight_decay) + 2 * bool(optimizer.use_ema) + _copies_of_sum(optimizer)


def _copies_beside(optimizer: keras.optimizers.Optimizer) -> int:
    return (optimizer.global_clipnorm is not None) + _copies_of_sum(optimizer)


def _copies_of_sum(optimizer: keras.optimizers.Optimizer) -> int:
    """How many copies are held for the sum of the gradients of which Keras makes one update."""
    return int(bool(optimizer.gradient_accumulation_steps))
