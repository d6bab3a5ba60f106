"""The standard error of an accuracy: by how much it would differ on other images of the same kind. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def standard_error(accuracy: float, images: float) -> float:
    """The standard error of an accuracy from 0 to 1 that was measured on `images` images.

    Two hits and two misses are added, after Agresti and Coull (Approximate Is Better than "Exact" for Interval
    Estimation of Binomial Proportions, 1998): without them, four right images of four would have no error at all.
    Where images belong together, `images` is the number that `effective_images` gives.
    """
    share = (accuracy * images + 2) / (images + 4)
    return math.sqrt(share * (1 - share) / (images + 4))


def effective_images(hits: NDArray[np.number | np.bool_] | None, groups: NDArray[np.int64]) -> float:
    """How many independent images say as much about an accuracy as these, of which some belong together.

    The variance is the cluster-robust one of a mean, G / (G - 1) * sum over groups of (sum of (hit - accuracy))^2 / n^2
    for n images of G groups (Liang and Zeger, Longitudinal Data Analysis Using Generalized Linear Models, 1986, with
    the correction for few groups of Cameron and Miller, A Practitioner's Guide to Cluster-Robust Inference, 2015).
    As many independent images as have this variance are the effective sample size (Kish, Survey Sampling, 1965), by
    which the error of a share is then computed (Korn and Graubard, Confidence Intervals for Proportions with Small
    Expected Number of Positive Counts Estimated from Survey Data, 1998). It is at least 1, and at most n. If all images
    are right, or all are wrong, how alike those of a group are does not show, and each group counts as one image.

    Args:
        hits: whether the model is right about each image, (n,); None if that is not known.
        groups: the number of each image's group, (n,), n > 0.
    """
    import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

    numbers, group_of = np.unique(groups, return_inverse=True)
    count, images = len(numbers), len(groups)
    if hits is None or count in {1, images}:
        return float(count)
    right = np.asarray(hits, np.float64)
    accuracy = right.mean()
    if accuracy in {0.0, 1.0}:
        return float(count)
    in_group = np.bincount(group_of, right - accuracy)
    variance = count / (count - 1) * np.square(in_group).sum() / images**2
    alone = accuracy * (1 - accuracy)
    return min(max(1.0, float(alone / max(variance, alone / images))), float(images))  # rounding may exceed it
