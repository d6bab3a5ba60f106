"""The settings of a fine-tuning's optimizer, as they go to a worker."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autofit.storage.records import Record

MOST_AUTO_EPOCHS = 8
"""The most epochs with `fine_tune_epochs="auto"`: more did not give a better model (docs/decisions/0034, 0036)."""

LEAST_AUTO_EPOCHS = 2
"""If the time budget has room for fewer epochs, fine-tuning is left out, unless the user has asked for it."""

LEAST_WHOLE_EPOCHS = 3
"""If the time budget has room for fewer epochs of the whole network, only its upper layers are fine-tuned."""


class FineTuning(Record):
    """AdamW with warm-up, cosine decay, lower rates for lower layers and clipped gradients.

    Attributes:
        updates: the number of updates in the whole stage, after which the learning rate has decayed to zero.
        warmup_updates: the number of updates in which the learning rate rises from zero to its peak.
        lowest_rate: the learning rate of the lowest layer that trains, as a share of the head's; the rates of the
            layers between them rise geometrically.
        weight_decay: each update multiplies a kernel by 1 minus this times its learning rate. Biases and the scales of
            normalizations do not decay.
        clip_norm: the global norm, over all variables, to which larger gradients of a batch are scaled down.
    """

    updates: Annotated[int, Field(ge=1)]
    warmup_updates: Annotated[int, Field(ge=0)]
    lowest_rate: Annotated[float, Field(gt=0, le=1)] = 0.3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
