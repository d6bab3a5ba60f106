"""Which images have a class that another one would suit better, by a head that has not seen them.

The order is that of "confident learning" (Northcutt, Jiang and Chuang, JAIR 2021): by the margin between the
probability of the own class and that of the best other one, where the head says another class at least as surely as it
says that class of images that are labelled so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autofit.storage.safe_files import whole_file


@dataclass(frozen=True, slots=True, eq=False)
class Doubts:
    """Images in the order of doubt, the most doubtful first.

    Attributes:
        images: int64 (n,), of which there are probabilities.
        suggested: int64 (n,), the class that suits each better than all others but its own.
        margins: float32 (n,), the probability of the own class less that of the suggested one.
        count: how many, from the first on, are likely to be labelled wrong.
    """

    images: NDArray[np.int64]
    suggested: NDArray[np.int64]
    margins: NDArray[np.float32]
    count: int


def doubts(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Doubts:
    """Order images by how much their class is to be doubted.

    Args:
        probabilities: float32 (n, classes), of heads that have not seen the image; NaN for an image without any.
        labels: int64 (n,).
    """
    known = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
    rows, own = probabilities[known], labels[known]
    places = np.arange(len(rows))
    of_own = rows[places, own]
    others = rows.copy()
    others[places, own] = -1.0
    suggested = others.argmax(axis=1)
    of_suggested = others[places, suggested]
    margins = of_own - of_suggested
    usual = _usual_confidence(of_own, own, rows.shape[1])
    is_likely = (margins < 0) & (of_suggested >= usual[suggested])
    order = np.lexsort((known, margins, ~is_likely))
    return Doubts(known[order], suggested[order], margins[order], int(is_likely.sum()))


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
            margins=found.margins,
            count=np.int64(found.count),
        )


def read_doubts(file: Path) -> Doubts | None:
    """The doubts in a file that `write_doubts` has written; None if there is none."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return Doubts(arrays["images"], arrays["suggested"], arrays["margins"], int(arrays["count"]))
    except FileNotFoundError:
        return None


def _usual_confidence(of_own: NDArray[np.float32], own: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """The mean probability of each class among the images that are labelled so; 1 for a class without images."""
    counts = np.bincount(own, minlength=classes)
    return np.divide(np.bincount(own, of_own, classes), counts, out=np.ones(classes), where=counts > 0)
