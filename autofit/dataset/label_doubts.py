"""Which images have a class that another one would suit better, by a head that has not seen them.

The order is that of the probability that the head gives to the image's own class, its "self-confidence" (Kuan and
Mueller, "Model-agnostic label quality scoring to detect real-world label noise", 2022), half adjusted for how probable
the class is on its images: one that is hard to tell would otherwise fill the first places with good labels. Adjusted in
full, or by the margin to the best other class, fewer of the planted faults were among the first (docs/decisions/0048).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autofit.storage.safe_files import whole_file

SHARE_OF_CHANCE = 0.5
"""An image is likely to be labelled wrong where its class gets less than this share of what it would get by chance."""
USUAL_IMAGES = 5
"""So many images of the usual confidence are added to each class: the confidence of two images is no measure."""


@dataclass(frozen=True, slots=True, eq=False)
class Doubts:
    """Images in the order of doubt, the most doubtful first.

    Attributes:
        images: int64 (n,), of which there are probabilities.
        suggested: int64 (n,), the class that suits each better than all others but its own; of several labels an
            image, the one that it should lose or get.
        own: float32 (n,), the probability of the own class.
        of_suggested: float32 (n,), that of the suggested one.
        count: how many, from the first on, are likely to be labelled wrong.
        alike: int64 (k, 2), pairs of images with nearly equal features.
    """

    images: NDArray[np.int64]
    suggested: NDArray[np.int64]
    own: NDArray[np.float32]
    of_suggested: NDArray[np.float32]
    count: int
    alike: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))


def doubts(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Doubts:
    """Order images by how much their class is to be doubted.

    Args:
        probabilities: float32 (n, classes), of heads that have not seen the image; NaN for an image without any.
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
    """The probability of each image's class, times the root of the usual one by that of the class, float64 (n,)."""
    usual = float(own.mean()) if len(own) else 1.0
    counts = np.bincount(classes, minlength=num_classes) + USUAL_IMAGES
    of_class = (np.bincount(classes, own, minlength=num_classes) + USUAL_IMAGES * usual) / counts
    factors = np.sqrt(usual / np.maximum(of_class[classes], np.finfo(np.float32).tiny))
    return own.astype(np.float64) * factors


def doubts_of_sets(probabilities: NDArray[np.float32], targets: NDArray[np.float64]) -> Doubts:
    """Order images with any number of labels each by their most doubtful one: told and improbable, or the reverse.

    Args:
        probabilities: float32 (n, labels), of heads that have not seen the image; NaN where nothing is known.
        targets: 0 or 1, (n, labels).

    Returns:
        As `doubts`; `suggested` is the label that should be taken away or added.
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
    """The doubts in a file that `write_doubts` has written; None if there is none."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            count = int(arrays["count"])
            suggested, own, of_suggested = arrays["suggested"], arrays["own"], arrays["of_suggested"]
            return Doubts(arrays["images"], suggested, own, of_suggested, count, arrays["alike"])
    except FileNotFoundError:
        return None
