"""The standard error of an accuracy: by how much it would differ on other images of the same kind. Pure."""

from __future__ import annotations

import math


def standard_error(accuracy: float, images: int) -> float:
    """The standard error of an accuracy from 0 to 1 that was measured on `images` images.

    Two hits and two misses are added, after Agresti and Coull (Approximate Is Better than "Exact" for Interval
    Estimation of Binomial Proportions, 1998): without them, four right images of four would have no error at all.
    """
    share = (accuracy * images + 2) / (images + 4)
    return math.sqrt(share * (1 - share) / (images + 4))
