"""A comparison of float32 with a 16-bit precision on the same network, and which of the two was chosen."""

from __future__ import annotations

from pydantic import Field

from autofit.config.precisions import Precision
from autofit.storage.records import Record


class PrecisionComparison(Record):
    """What was measured with the same weights and images in float32 and in another precision.

    Attributes:
        precision: the precision that was compared with float32.
        batch_size: images at once.
        images_per_second: the speed in `precision`: of an extraction if the backbone is frozen, else of training steps.
        float32_images_per_second: the same speed in float32.
        feature_difference: the Euclidean distance between the two feature vectors of an image, divided by the length of
            the one in float32; the largest over all images. None if the network is the user's own.
        score_difference: the distance between the two outputs for the batch, as they were before the softmax or
            sigmoid, divided by the length in float32. It is measured where features do not tell of all layers: above a
            cut, and of the user's own network; else None.
        loss_difference: the difference between the two losses of a batch before it trains, divided by the loss in
            float32; None if only the head trains.
    """

    precision: Precision
    batch_size: int = Field(ge=1)
    images_per_second: float = Field(ge=0)
    float32_images_per_second: float = Field(ge=0)
    feature_difference: float | None = None
    score_difference: float | None = None
    loss_difference: float | None = None


class PrecisionChoice(Record):
    """How `precision="auto"` was decided.

    Attributes:
        precision: the precision in which the run computes.
        why: the reason, in one line.
        comparison: what was measured; None if the reason needed no measurement.
    """

    precision: Precision
    why: str
    comparison: PrecisionComparison | None = None
