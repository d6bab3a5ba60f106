"""Which images are probably labelled wrong, according to a head that was not trained on them.

Images are ordered by the probability that the head gives to their own class, the "self-confidence" (Kuan and Mueller,
"Model-agnostic label quality scoring to detect real-world label noise", 2022). It is partly corrected for the mean
probability of the class on its images: a class that is hard to recognise would otherwise fill the first places with
correct labels. With the full correction, or with the margin to the best other class, fewer planted errors were among
the first (docs/decisions/0048).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autofit.storage.safe_files import whole_file

SHARE_OF_CHANCE = 0.5
"""An image is probably labelled wrong if its class gets less than this share of the probability by chance."""
USUAL_IMAGES = 5
"""This many images of average confidence are added to each class: the mean over two images would mean little."""


@dataclass(frozen=True, slots=True, eq=False)
class Doubts:
    """Images by how doubtful their labels are, the most doubtful first.

    Attributes:
        images: int64 (n,), the numbers of the images for which there are probabilities.
        suggested: int64 (n,), the most probable class of each image other than its own; with several labels per image,
            the label that should be removed or added.
        own: float32 (n,), the probability of each image's own class.
        of_suggested: float32 (n,), the probability of the suggested class.
        count: how many images, from the first on, are probably labelled wrong.
        alike: int64 (k, 2), pairs of images with nearly equal features.
    """

    images: NDArray[np.int64]
    suggested: NDArray[np.int64]
    own: NDArray[np.float32]
    of_suggested: NDArray[np.float32]
    count: int
    alike: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))


def doubts(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Doubts:
    """Order images by how doubtful their labels are.

    Args:
        probabilities: float32 (n, classes), from heads that were not trained on the image; NaN if there are none.
        labels: int64 (n,).
    """
    known = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
    places, classes = np.arange(len(known)), labels[known]
    others = probabilities[known]
    own = others[places, classes]
    others[places, classes] = -1.0
    suggested = others.argmax(axis=1)
    adjusted = _adjusted(own, classes, probabilities.shape[1])
    order = np.argsort(adjusted, kind="stable")
    count = int((adjusted < SHARE_OF_CHANCE / probabilities.shape[1]).sum())
    return Doubts(known[order], suggested[order], own[order], others[places, suggested][order], count)


def _adjusted(own: NDArray[np.float32], classes: NDArray[np.int64], num_classes: int) -> NDArray[np.float64]:
    """The corrected probability of each image's class, float64 (n,).

    The correction is the square root of the ratio between the mean probability over all images and that of the class.
    """
    usual = float(own.mean()) if len(own) else 1.0
    counts = np.bincount(classes, minlength=num_classes) + USUAL_IMAGES
    of_class = (np.bincount(classes, own, minlength=num_classes) + USUAL_IMAGES * usual) / counts
    factors = np.sqrt(usual / np.maximum(of_class[classes], np.finfo(np.float32).tiny))
    return own.astype(np.float64) * factors


def doubts_of_sets(probabilities: NDArray[np.float32], targets: NDArray[np.float64]) -> Doubts:
    """Order multi-label images by their most doubtful label: one that is given but improbable, or the reverse.

    Args:
        probabilities: float32 (n, labels), from heads that were not trained on the image; NaN if there are none.
        targets: 0 or 1, (n, labels).

    Returns:
        As `doubts`; `suggested` is the label that should be removed or added.
    """
    known = np.flatnonzero(~np.isnan(probabilities).all(axis=1))
    told = np.where(targets[known] > 0, probabilities[known], 1 - probabilities[known])
    suggested = np.nanargmin(told, axis=1) if len(known) else np.empty(0, np.int64)
    own = told[np.arange(len(known)), suggested].astype(np.float32)
    order = np.argsort(own, kind="stable")
    count = int((own < SHARE_OF_CHANCE / 2).sum())
    return Doubts(known[order], suggested[order], own[order], 1 - own[order], count)


def write_doubts(file: Path, found: Doubts) -> None:
    """Write doubts for `read_doubts`.

    Raises:
        OSError: the file cannot be written.
    """
    with whole_file(file) as stream:
        np.savez(
            stream,
            images=found.images,
            suggested=found.suggested,
            own=found.own,
            of_suggested=found.of_suggested,
            count=np.int64(found.count),
            alike=found.alike,
        )


def read_doubts(file: Path) -> Doubts | None:
    """The doubts in a file that `write_doubts` has written; None if there is no file."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            count = int(arrays["count"])
            suggested, own, of_suggested = arrays["suggested"], arrays["own"], arrays["of_suggested"]
            return Doubts(arrays["images"], suggested, own, of_suggested, count, arrays["alike"])
    except FileNotFoundError:
        return None
