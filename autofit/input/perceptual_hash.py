"""What an image looks like: a perceptual hash of 64 bits, and a tiny grey thumbnail. Pure.

Both are nearly the same for copies that were resized, cropped a little or saved again. A bit says whether one of the
lowest frequencies of the image's discrete cosine transform is above their median (the "pHash" of Zauner,
"Implementation and Benchmarking of Perceptual Image Hash Functions", 2010).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE_PIXELS = 32
"""Images are resized to this height and width first, whatever their proportions."""
THUMBNAIL_PIXELS = 16
BITS = 64
FLAT_LEVELS = 2.0
"""An image whose grey levels have a smaller standard deviation counts as showing nothing: all such look alike."""

_FREQUENCIES = 12
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's mode L


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """The perceptual hashes and thumbnails of images.

    Attributes:
        hashes: uint64 (n,).
        thumbnails: grey, uint8 (n, 256).
        flat: whether an image shows nothing but one colour, bool (n,).
    """

    hashes: NDArray[np.uint64]
    thumbnails: NDArray[np.uint8]
    flat: NDArray[np.bool_]

    @classmethod
    def empty(cls, count: int) -> Looks:
        """Space for `count` images that are still to be looked at."""
        shown = THUMBNAIL_PIXELS * THUMBNAIL_PIXELS
        return cls(np.zeros(count, np.uint64), np.zeros((count, shown), np.uint8), np.ones(count, np.bool_))


def looks_of(images: NDArray[np.uint8]) -> Looks:
    """The perceptual hashes and thumbnails of some images.

    Args:
        images: uint8 (n, 32, 32, 3), RGB.
    """
    grey = images.astype(np.float32) @ _GREY
    waves = _waves()
    spectrum = waves @ grey @ waves.T
    rows, columns = _lowest()
    lowest = spectrum[:, rows, columns]
    signs = lowest > np.median(lowest, axis=1, keepdims=True)
    weights = np.uint64(1) << np.arange(BITS, dtype=np.uint64)
    pixels = SIDE_PIXELS // THUMBNAIL_PIXELS
    small = grey.reshape(-1, THUMBNAIL_PIXELS, pixels, THUMBNAIL_PIXELS, pixels).mean(axis=(2, 4))
    thumbnails = small.round().astype(np.uint8).reshape(len(images), -1)
    return Looks((signs * weights).sum(axis=1, dtype=np.uint64), thumbnails, grey.std(axis=(1, 2)) < FLAT_LEVELS)


def _waves() -> NDArray[np.float32]:
    """The lowest frequencies of the cosine transform, float32 (frequencies, pixels)."""
    places = (np.arange(SIDE_PIXELS) + 0.5) / SIDE_PIXELS
    return np.cos(np.pi * np.arange(_FREQUENCIES)[:, None] * places).astype(np.float32)


def _lowest() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the lowest frequencies but the mean, one for each bit."""
    rows, columns = np.divmod(np.arange(_FREQUENCIES**2), _FREQUENCIES)
    order = np.argsort(rows + columns, kind="stable")[1 : BITS + 1]
    return rows[order], columns[order]
