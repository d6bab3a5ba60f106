"""Strong augmentation: crop, rotation, contrast, brightness, and sometimes an erased rectangle.

As in `augment.py`, a view depends only on a key. Each step has the range of one of Keras's layers, in this order:
RandomZoom, RandomRotation, RandomContrast, RandomBrightness, RandomErasing.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEAST_SIDE = 0.7
"""The smallest side of the window, as a share of that of the decoded image: `RandomZoom((-0.3, 0))`."""

MOST_DEGREES = 15.0
"""The largest rotation, in either direction; places outside of the image are filled with its reflection:
`RandomRotation(15 / 360)`."""

CONTRAST = 0.2
"""The deviation of each channel from its mean is multiplied by a factor from 1 - 0.2 to 1 + 0.2: `RandomContrast(0.2)`.
"""

BRIGHTNESS = 0.2
"""At most this share of 255 is added or subtracted: `RandomBrightness(0.2)`."""

ERASED_SHARE = 0.5
"""The share of views in which a rectangle is erased: `RandomErasing(0.5, scale=(0.02, 0.2))`."""

ERASED_AREA = (0.02, 0.2)
"""The area of the rectangle as a share of the image's."""

MOST_ASPECT = 3.0
"""The largest ratio of the longer to the shorter side of the rectangle."""

DISTORTION_RECIPE = 1
"""The version of the function that makes strong views: each change of its results gives a new number."""

_DRAWS = struct.Struct("<8Q")
_MORE_DRAWS = struct.Struct("<3Q")


@dataclass(frozen=True, slots=True)
class Distortion:
    """The parameters of one view.

    Attributes:
        side: height and width of the window, as a share of the image's.
        left: the share of the remaining width that is to the left of the window: from 0 to 1.
        top: the share of the remaining height that is above the window: from 0 to 1.
        degrees: the angle by which the window is rotated about its middle.
        contrast: the factor of each channel's deviation from its mean.
        brightness: the value that is added, as a share of 255.
        erased: left, top, width and height of the erased rectangle, as shares of the view; None for none.
    """

    side: float
    left: float
    top: float
    degrees: float
    contrast: float
    brightness: float
    erased: tuple[float, float, float, float] | None

    @classmethod
    def of(cls, *key: int) -> Self:
        """The parameters that follow from a key of 64-bit integers; each is uniformly distributed over its range."""
        side, left, top, degrees, contrast, brightness, erases, area = _shares(key, b"autofit-distort", _DRAWS)
        return cls(
            side=LEAST_SIDE + (1 - LEAST_SIDE) * side,
            left=left,
            top=top,
            degrees=MOST_DEGREES * (2 * degrees - 1),
            contrast=1 + CONTRAST * (2 * contrast - 1),
            brightness=BRIGHTNESS * (2 * brightness - 1),
            erased=_rectangle(key, area) if erases < ERASED_SHARE else None,
        )


def _shares(key: tuple[int, ...], purpose: bytes, draws: struct.Struct) -> list[float]:
    """Independent numbers from 0 to 1 that follow from a key and a purpose, as many as `draws` has."""
    text = struct.pack(f"<{len(key)}Q", *key)
    digest = hashlib.blake2b(text, digest_size=draws.size, person=purpose).digest()
    return [number / 2**64 for number in draws.unpack(digest)]


def _rectangle(key: tuple[int, ...], area: float) -> tuple[float, float, float, float]:
    """Left, top, width and height of a rectangle within the view; `area` from 0 to 1 selects from the range of areas.

    The logarithm of its aspect ratio is uniformly distributed, so that it is as often wide as high.
    """
    aspect, left, top = _shares(key, b"autofit-erase", _MORE_DRAWS)
    root = math.sqrt(MOST_ASPECT ** (2 * aspect - 1))
    length = math.sqrt(ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * area)
    width, height = length / root, length * root
    return left * (1 - width), top * (1 - height), width, height


def distort_into(pixels: NDArray[np.uint8], distortion: Distortion, out: NDArray[np.uint8]) -> None:
    """Make a view of an image.

    Args:
        pixels: uint8 (height, width, 3).
        distortion: the parameters of the view.
        out: uint8 (height, width, 3); the window is resized to it, bilinearly.
    """
    view = _turned_window(pixels, distortion, (out.shape[0], out.shape[1]))
    means = view.mean(axis=(0, 1), dtype=np.float32)
    levels = np.arange(256, dtype=np.float32)[:, None]
    table = (levels - means) * np.float32(distortion.contrast) + means + np.float32(255 * distortion.brightness)
    table = np.clip(np.rint(table), 0, 255).astype(np.uint8)
    for channel in range(3):
        np.take(table[:, channel], view[..., channel], out=out[..., channel])
    if distortion.erased is not None:
        height, width = out.shape[:2]
        left, top, across, down = distortion.erased
        rows = slice(round(top * height), round((top + down) * height))
        out[rows, round(left * width) : round((left + across) * width)] = np.rint(means).astype(np.uint8)


def _turned_window(pixels: NDArray[np.uint8], distortion: Distortion, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The window of an image, rotated and resized to `(height, width)`: uint8 (height, width, 3)."""
    height, width = pixels.shape[:2]
    window_height, window_width = height * distortion.side, width * distortion.side
    radians = math.radians(distortion.degrees)
    cosine, sine = math.cos(radians), math.sin(radians)
    across = _outside(width, window_width * cosine + window_height * abs(sine), window_width, distortion.left)
    down = _outside(height, window_height * cosine + window_width * abs(sine), window_height, distortion.top)
    # From a point of the view to one of the image: scaled, rotated about the middle of the window, moved there.
    x_scale, y_scale = window_width / size[1], window_height / size[0]
    x_middle = across + distortion.left * (width - window_width) + window_width / 2
    y_middle = down + distortion.top * (height - window_height) + window_height / 2
    x_from, y_from = cosine * x_scale, sine * x_scale
    x_down, y_down = -sine * y_scale, cosine * y_scale
    to_image = (
        x_from,
        x_down,
        x_middle - x_from * size[1] / 2 - x_down * size[0] / 2,
        y_from,
        y_down,
        y_middle - y_from * size[1] / 2 - y_down * size[0] / 2,
    )
    padded = np.pad(pixels, ((down, down), (across, across), (0, 0)), mode="symmetric") if across or down else pixels
    turned = Image.fromarray(padded).transform(
        (size[1], size[0]), Image.Transform.AFFINE, to_image, Image.Resampling.BILINEAR
    )
    return np.asarray(turned)


def _outside(length: int, extent: float, window: float, place: float) -> int:
    """How many pixels a rotated window extends beyond an image, along one axis: the larger value of both ends.

    Args:
        length: the size of the image along the axis.
        extent: the size of the rotated window.
        window: the size of the window before the rotation.
        place: the share of the image outside of the window that lies before it.
    """
    middle = place * (length - window) + window / 2
    return max(0, math.ceil(max(extent / 2 - middle, middle + extent / 2 - length)) + 1)
