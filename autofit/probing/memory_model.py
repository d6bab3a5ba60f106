"""The memory that a batch takes, as a straight line through the measured sizes.

Peak memory under TensorFlow's BFC allocator is nearly linear in the batch: weights, gradients and optimizer state take
memory once, activations for each image. It is not exactly linear: MobileNetV2 takes a quarter less than that from 128
images on, and cuDNN's workspaces make steps and dips. So the largest sizes, near which the line is used, have the
largest weights in the fit, and the model states its largest error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

UNBOUNDED_BATCH = 2**31 - 1  # more images than any device holds: the largest batch by a flat line
ROUNDING_IMAGES = 1e-6  # added before rounding down, since rounding errors may leave a whole number slightly too small

MAX_RELATIVE_ERROR = 0.3
"""If a line misses a measured size by more than this, the memory is not linear, and reports give no figures of it."""


@dataclass(frozen=True, slots=True)
class MemoryModel:
    """The memory that a batch takes, as a line; `MemoryModelRecord` is its record in `probe.json`.

    Attributes:
        base_bytes: the bytes of a batch of no images. It is negative if the peak grows faster than the batch.
        bytes_per_image: the bytes of one more image; never negative.
        max_relative_error: the largest `|predicted - measured| / measured` over the fitted points. With one or two
            sizes it is 0 and says nothing, since the line goes through them.
    """

    base_bytes: float
    bytes_per_image: float
    max_relative_error: float

    def predict(self, batch: int) -> float:
        """Peak bytes of a batch of this many images."""
        return self.base_bytes + self.bytes_per_image * batch

    def largest_batch(self, limit_bytes: float) -> int:
        """The largest batch predicted to stay within the limit; 0 if not even one image does."""
        images = (limit_bytes - self.base_bytes) / max(self.bytes_per_image, 1.0)
        return max(0, min(UNBOUNDED_BATCH, math.floor(images + ROUNDING_IMAGES)))


def fit(points: Sequence[tuple[int, int]]) -> MemoryModel:
    """The line of weighted least squares through measured `(batch, peak_bytes)`, each weighted by its batch squared.

    With weights `w`, weighted means `x̄` and `ȳ`: `slope = Σ w (x - x̄)(y - ȳ) / Σ w (x - x̄)²`, `base = ȳ - slope x̄`
    (P. R. Bevington, Data Reduction and Error Analysis for the Physical Sciences, ch. 6). The weights grow with the
    batch because the line is used just above the largest measured size, and the peak is linear only locally.

    If there is no rising line (a single size, or noise and dips), all bytes are attributed to the images and the base
    is 0. For larger sizes that predicts too much memory, since it counts the true base for each image.

    Raises:
        ValueError: there is no point.
    """
    if not points:
        raise ValueError("a memory model needs at least one measured size, not 0: run a trial that fits")
    weights = [float(batch) ** 2 for batch, _ in points]
    batch_mean = _mean([batch for batch, _ in points], weights)
    peak_mean = _mean([peak for _, peak in points], weights)
    variance = sum(w * (batch - batch_mean) ** 2 for w, (batch, _) in zip(weights, points, strict=True))
    covariance = sum(w * (b - batch_mean) * (p - peak_mean) for w, (b, p) in zip(weights, points, strict=True))
    slope = covariance / variance if variance > 0 and covariance > 0 else peak_mean / batch_mean
    return _with_error(peak_mean - slope * batch_mean, slope, points)


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(w * value for w, value in zip(weights, values, strict=True)) / sum(weights)


def _with_error(base_bytes: float, bytes_per_image: float, points: Sequence[tuple[int, int]]) -> MemoryModel:
    """The model with its largest relative error over the points; a peak of no bytes has no relative error."""
    line = MemoryModel(base_bytes, bytes_per_image, max_relative_error=0.0)
    errors = [abs(line.predict(batch) - peak) / peak for batch, peak in points if peak > 0]
    return MemoryModel(base_bytes, bytes_per_image, max(errors, default=0.0))
