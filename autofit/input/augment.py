"""Augmentation: `light` mirrors half of the images and crops them mildly, `strong` does much more (`distortion.py`).

The view of an image depends only on a key, such as (seed, epoch, sample): there is no random generator with a state. So
the view does not depend on the batch size, the number of threads, or how often the run was killed.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autofit.config.run_options import Strength
from autofit.input.distortion import DISTORTION_RECIPE, Distortion, distort_into

MARGIN = 1.15
"""The factor by which an image is decoded larger in height and width, to leave a margin for the crop.

The usual crop for these networks is 224 out of 256 pixels, a factor of 1.14 (Krizhevsky et al., ImageNet Classification
with Deep Convolutional Neural Networks, 2012, section 4.1, which mirrors images, too).
"""

RECIPE = 1
"""The version of the function that makes light views: each change of its results gives a new number."""

_DRAWS = struct.Struct("<4Q")


@dataclass(frozen=True, slots=True)
class CropParameters:
    """One view of an image.

    Attributes:
        side: height and width of the crop window, as a share of the image's: from `1 / MARGIN` to 1.
        left: the share of the remaining width that is to the left of the window: from 0 to 1.
        top: the share of the remaining height that is above the window: from 0 to 1.
        is_mirrored: whether left and right are exchanged.
    """

    side: float
    left: float
    top: float
    is_mirrored: bool

    @classmethod
    def of(cls, *key: int) -> Self:
        """The parameters that follow from a key of 64-bit integers: each is uniformly distributed over keys."""
        text = struct.pack(f"<{len(key)}Q", *key)
        digest = hashlib.blake2b(text, digest_size=_DRAWS.size, person=b"autofit-augment").digest()
        side, left, top, mirror = (number / 2**64 for number in _DRAWS.unpack(digest))
        least = 1 / MARGIN
        return cls(least + (1 - least) * side, left, top, mirror < 0.5)  # noqa: PLR2004 - half of the time


def with_margin(size: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) in pixels to which an image is decoded before it is cropped to `size`."""
    height, width = size
    return math.ceil(height * MARGIN), math.ceil(width * MARGIN)


def augment_into(pixels: NDArray[np.uint8], crop: CropParameters, out: NDArray[np.uint8]) -> None:
    """Make a view of an image.

    Args:
        pixels: uint8 (height, width, 3), with the margin.
        crop: the parameters of the view.
        out: uint8 (height, width, 3), without the margin; the window is resized to it, bilinearly.
    """
    height, width = (length * crop.side for length in pixels.shape[:2])
    left, top = crop.left * (pixels.shape[1] - width), crop.top * (pixels.shape[0] - height)
    view = Image.fromarray(pixels).resize(
        (out.shape[1], out.shape[0]), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height)
    )
    out[...] = np.asarray(view)[:, :: -1 if crop.is_mirrored else 1]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How training images are augmented.

    Attributes:
        strength: `none`, `light` or `strong`.
        flips: whether half of the views are mirror images.
    """

    strength: Strength = "none"
    flips: bool = True

    @property
    def is_on(self) -> bool:
        """Whether training images are decoded with a margin and augmented."""
        return self.strength != "none"

    @property
    def recipe(self) -> dict[str, Any]:
        """All settings on which the views of an image depend, for the key of cached features; empty for `none`."""
        if not self.is_on:
            return {}
        recipe: dict[str, Any] = {"light": RECIPE, "margin": MARGIN}
        if self.strength == "strong":
            recipe["strong"] = DISTORTION_RECIPE
        return recipe if self.flips else {**recipe, "flip": False}

    def view_into(self, pixels: NDArray[np.uint8], key: tuple[int, ...], out: NDArray[np.uint8]) -> None:
        """Make the view of a key.

        Args:
            pixels: uint8 (height, width, 3), with the margin.
            key: integers of 64 bits.
            out: uint8 (height, width, 3), without the margin.
        """
        crop = CropParameters.of(*key)
        if not self.flips:
            crop = replace(crop, is_mirrored=False)
        if self.strength == "strong":
            distort_into(pixels, Distortion.of(*key), out)
            out[...] = out[:, :: -1 if crop.is_mirrored else 1].copy()
        else:
            augment_into(pixels, crop, out)
