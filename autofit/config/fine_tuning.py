"""The settings of a fine-tuning's optimizer, as they go to a worker."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autofit.storage.records import Record

MOST_AUTO_EPOCHS = 8
"""With `fine_tune_epochs="auto"`: more have not given a better model (docs/decisions/0034, 0036)."""

LEAST_AUTO_EPOCHS = 2
"""With a time budget for fewer than these there is no fine-tuning, unless the user has asked for it."""

LEAST_WHOLE_EPOCHS = 3
"""With a time budget for fewer than these of the whole network, only its upper layers are fine-tuned."""


class FineTuning(Record):
    """AdamW with warm-up, cosine decay, lower rates for lower layers and clipped gradients.

    Attributes:
        updates: of the whole stage; the rate has decayed to zero after them.
        warmup_updates: in which the rate rises from zero to its peak.
        lowest_rate: the rate of the lowest layer that trains, as a share of the head's; those between rise
            geometrically.
        weight_decay: by which a kernel shrinks in an update, as a share of it and of its rate. Biases and the
            scales of normalizations do not shrink.
        clip_norm: the largest norm that the gradient of a batch has, over all variables.
    """

    updates: Annotated[int, Field(ge=1)]
    warmup_updates: Annotated[int, Field(ge=0)]
    lowest_rate: Annotated[float, Field(gt=0, le=1)] = 0.3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
