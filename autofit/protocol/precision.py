"""What float32 and 16 bits were measured to do with the same network, and which of the two was taken."""

from __future__ import annotations

from pydantic import Field

from autofit.config.precisions import Precision
from autofit.storage.records import Record


class PrecisionComparison(Record):
    """The same weights and images in float32 and in 16 bits.

    Attributes:
        precision: what was compared with float32.
        batch_size: images at once.
        images_per_second: in it: of an extraction where the backbone is frozen, else of training steps.
        float32_images_per_second: the same in float32.
        feature_difference: of the features of an image, the Euclidean distance between the two as a share of the length
            in float32, the largest of all images; None if the network is the user's own.
        loss_difference: of the losses of the batch before it trains, as a share of that in float32; None where only the
            head trains.
    """

    precision: Precision
    batch_size: int = Field(ge=1)
    images_per_second: float = Field(ge=0)
    float32_images_per_second: float = Field(ge=0)
    feature_difference: float | None = None
    loss_difference: float | None = None


class PrecisionChoice(Record):
    """What `precision="auto"` came to.

    Attributes:
        precision: in which the run computes.
        why: in one line.
        comparison: what was measured; None if nothing was.
    """

    precision: Precision
    why: str
    comparison: PrecisionComparison | None = None
