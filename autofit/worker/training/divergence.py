"""Decides whether a training has diverged, so that it ends instead of spoiling its checkpoints. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autofit.errors import UserError
from autofit.protocol.job import ModelSource

FAR_PAST_THE_START = 2.0
"""Times the loss of the first epoch of its stage."""

LONG_EPOCHS = 3
"""Epochs in a row over that loss. One or two may be a rise from which a training comes back."""


def divergence(losses: Sequence[float]) -> str | None:
    """Why a training has diverged, in a few words; None if it has not.

    Args:
        losses: the training loss of each epoch so far, at least one; the last may be that of an epoch's first steps.
    """
    if not math.isfinite(losses[-1]):
        return f"its loss is {losses[-1]} in epoch {len(losses)}"
    latest = losses[1:][-LONG_EPOCHS:]
    bound = FAR_PAST_THE_START * losses[0]
    if losses[0] > 0 and len(latest) == LONG_EPOCHS and min(latest) > bound:
        return f"its loss is {losses[-1]:.3g} in epoch {len(losses)} and was {losses[0]:.3g} in the first"
    return None


def require_convergence(losses: Sequence[float], source: ModelSource | None) -> None:
    """Check that a training has not diverged.

    Args:
        losses: as in `divergence`.
        source: of the network, with its learning rate.

    Raises:
        UserError: it has; the message says what to do.
    """
    why = divergence(losses)
    if why and source:
        raise UserError(advice(why, source.learning_rate))


def advice(why: str, learning_rate: float) -> str:
    """The message that ends a training that has diverged."""
    return (
        f"the training has diverged: {why}. Start a new run with a learning_rate lower than {learning_rate:g}; "
        "the last checkpoint from before is kept"
    )
