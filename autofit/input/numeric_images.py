"""Images of numbers that are not bytes: 16-bit, 32-bit and floating point grey, as levels from 0 to 255."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_STRIP_PIXELS = 2**20
"""Numeric images are converted in strips of so many pixels: at once would take five times the memory of the image."""

# The maxima that numeric images without a declared range are assumed to have, the first that no value exceeds.
_USUAL_MAXIMA = {"I": (255.0, 65535.0), "F": (1.0, 255.0, 65535.0)}


def is_numeric(image: Image.Image) -> bool:
    """Whether the pixels of an image are numbers that are not bytes."""
    return image.mode in _USUAL_MAXIMA or image.mode.startswith("I;16")


def grey_of_numbers(image: Image.Image) -> Image.Image:
    """A numeric image as one of mode L."""
    if image.mode in _USUAL_MAXIMA:
        return _from_numbers(image, _USUAL_MAXIMA[image.mode])
    return _from_16_bits(image)


def _from_16_bits(image: Image.Image) -> Image.Image:
    """Keep the high byte of a 16-bit grey image, as PNG's own scaling does; a transparent grey becomes white."""
    transparent = image.info.get("transparency")

    def high_byte(values: NDArray[Any]) -> NDArray[np.uint8]:
        grey = (values >> 8).astype(np.uint8)
        if transparent is not None:
            grey[values == transparent] = 255
        return grey

    return _as_grey(image, high_byte)


def _from_numbers(image: Image.Image, usual_maxima: tuple[float, ...]) -> Image.Image:
    """Scale numbers to 0..255; only infinities are clipped; not-a-number becomes 0."""
    low, high = _value_range(image, usual_maxima)

    def scaled(values: NDArray[Any]) -> NDArray[np.uint8]:
        with np.errstate(all="ignore"):
            levels = (values.astype(np.float32) - low) * (255 / (high - low))
            grey: NDArray[np.uint8] = (
                np.clip(np.nan_to_num(levels, posinf=255, neginf=0), 0, 255).round().astype(np.uint8)
            )
        return grey

    return _as_grey(image, scaled)


def _as_grey(image: Image.Image, levels_of: Callable[[NDArray[Any]], NDArray[np.uint8]]) -> Image.Image:
    """Convert the image to mode L; `levels_of` turns numbers (height, width) into levels 0..255."""
    grey = Image.new("L", image.size)
    for top, values in _strips(image):
        grey.paste(Image.fromarray(levels_of(values)), (0, top))
    return grey


def _strips(image: Image.Image) -> Iterator[tuple[int, NDArray[Any]]]:
    """The strips of the image from the top down: the first line of each, and its numbers (height, width)."""
    height = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, height):
        yield top, np.asarray(image.crop((0, top, image.width, min(top + height, image.height))))


def _value_range(image: Image.Image, usual_maxima: tuple[float, ...]) -> tuple[float, float]:
    """From 0 to the first usual maximum that holds all finite values, or from their own minimum to their maximum.

    The usual ranges come first, so that a dark image of a data set stays darker than a bright one.
    """
    finite = (values[np.isfinite(values)] for _, values in _strips(image))
    extremes = [(float(values.min()), float(values.max())) for values in finite if values.size]
    if not extremes:
        return 0.0, 1.0
    low, high = min(low for low, _ in extremes), max(high for _, high in extremes)
    fitting = [maximum for maximum in usual_maxima if low >= 0 and high <= maximum]
    if fitting:
        return 0.0, fitting[0]
    return low, high if high > low else low + 1
