"""Converts grey images of 16 bits, 32 bits and floating point to levels from 0 to 255."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autofit.config.validators import described
from autofit.errors import UserError

_STRIP_PIXELS = 2**20
"""Such images are converted in strips of this many pixels: all at once would take five times the image's memory."""

_GREY_MAXIMA = (255.0, 4095.0, 65535.0)  # a byte, 12 bits as of medical and scientific cameras, 16 bits
_USUAL_MAXIMA = {"I;16": _GREY_MAXIMA, "I": _GREY_MAXIMA, "F": (1.0, *_GREY_MAXIMA)}
"""The maxima that are assumed for images without a known range, by kind: the first that no value exceeds."""

_COLOURS = frozenset({"RGB", "RGBA", "RGBa"})
"""The modes in which Pillow reads colours of 16 bits a channel, and grey of 16 bits with transparency."""

ValueRanges = Mapping[str, tuple[float, float]]
"""The values of black and white, by kind of image (`kind_of`): the same for all images of a data set."""

NO_RANGES: ValueRanges = MappingProxyType({})
"""No known ranges: the range of each image is estimated from its own values."""


def checked_ranges(name: str, value: Any) -> ValueRanges:
    """Check the ranges that a user gives; return them as they are used.

    Raises:
        UserError: they are no such mapping, of another kind, or no two numbers that differ.
    """
    if not isinstance(value, Mapping):
        raise UserError(f"{name} must be a mapping such as {{'I;16': (0, 4095)}}, not {described(value)}")
    for kind in value:
        if kind not in _USUAL_MAXIMA:
            kinds = ", ".join(map(repr, _USUAL_MAXIMA))
            raise UserError(f"{name} has the kind {described(kind)}: give one of {kinds} (modes of Pillow)")
    return {kind: _black_and_white(f"{name}[{kind!r}]", numbers) for kind, numbers in value.items()}


def _black_and_white(name: str, numbers: Any) -> tuple[float, float]:
    try:
        black, white = map(float, numbers)
    except (TypeError, ValueError, OverflowError):
        black = white = math.nan
    if not (math.isfinite(black) and math.isfinite(white)) or black == white:
        shown = repr(numbers)[:80] if isinstance(numbers, tuple | list) else described(numbers)
        raise UserError(f"{name} must be two numbers that differ, black and white, such as (0, 4095), not {shown}")
    return black, white


def of_any_width(ranges: ValueRanges) -> dict[str, tuple[float, float]]:
    """The ranges of a data set, where integers of 16 and of 32 bits are the same numbers.

    A PIL image, or a file of another format, may hold the values of the one kind in the other.
    """
    either = [ranges[kind] for kind in ("I;16", "I") if kind in ranges]
    return {"I;16": either[0], "I": either[0], **ranges} if either else dict(ranges)


def kind_of(image: Image.Image) -> str:
    """The kind of an image whose pixels are not bytes: `I;16`, `I` or `F`; empty for other images."""
    if image.mode.startswith("I;16"):
        return "I;16"
    return image.mode if image.mode in _USUAL_MAXIMA else ""


def most_of_deep_colours(image: Image.Image) -> int | None:
    """The largest value in an open image of several channels of 16 bits, rounded up to eight; None for others.

    Pillow reads such images with 8 bits a channel, and only the layout of the file's data tells of 16.
    """
    layouts = [tile[3] for tile in getattr(image, "tile", [])]
    names = [layout[0] if isinstance(layout, tuple) and layout else layout for layout in layouts]
    if image.mode not in _COLOURS or not any(isinstance(name, str) and ";16" in name for name in names):
        return None
    brightest = int(np.asarray(image.convert("RGB")).max(initial=0))
    return (brightest << 8) + 255


def grey_of_numbers(image: Image.Image, ranges: ValueRanges) -> Image.Image:
    """A numeric image converted to mode L: its values are scaled to 0..255 and clipped; NaN becomes 0.

    Pixels with the value that a 16-bit PNG declares as transparent become white.
    """
    kind = kind_of(image)
    low, high = ranges.get(kind) or value_range(extremes_of(image), kind)
    transparent = image.info.get("transparency") if kind == "I;16" else None

    def scaled(values: NDArray[Any]) -> NDArray[np.uint8]:
        if (kind, low, high) == ("I;16", 0, 65535):  # as PNG's own scaling does
            grey = (values >> 8).astype(np.uint8)
        else:
            with np.errstate(all="ignore"):
                levels = (values.astype(np.float32) - low) * (255 / (high - low))
                grey = np.clip(np.nan_to_num(levels, posinf=255, neginf=0), 0, 255).round().astype(np.uint8)
        if transparent is not None:
            grey[values == transparent] = 255
        return grey

    return _as_grey(image, scaled)


def _as_grey(image: Image.Image, levels_of: Callable[[NDArray[Any]], NDArray[np.uint8]]) -> Image.Image:
    """Convert the image to mode L; `levels_of` turns values (height, width) into levels 0..255."""
    grey = Image.new("L", image.size)
    for top, values in _strips(image):
        grey.paste(Image.fromarray(levels_of(values)), (0, top))
    return grey


def _strips(image: Image.Image) -> Iterator[tuple[int, NDArray[Any]]]:
    """The strips of the image from the top down: the first line of each, and its values (height, width)."""
    height = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, height):
        yield top, np.asarray(image.crop((0, top, image.width, min(top + height, image.height))))


def extremes_of(image: Image.Image) -> tuple[float, float] | None:
    """The lowest and the highest finite value; None if there is none."""
    finite = (values[np.isfinite(values)] for _, values in _strips(image))
    extremes = [(float(values.min()), float(values.max())) for values in finite if values.size]
    return (min(low for low, _ in extremes), max(high for _, high in extremes)) if extremes else None


def value_range(extremes: tuple[float, float] | None, kind: str) -> tuple[float, float]:
    """From 0 to the first usual maximum that no value exceeds; else from the lowest value to the highest.

    The usual ranges come first, so that a dark image of a data set stays darker than a bright one.
    """
    if extremes is None:
        return 0.0, 1.0
    low, high = extremes
    fitting = [maximum for maximum in _USUAL_MAXIMA[kind] if low >= 0 and high <= maximum]
    if fitting:
        return 0.0, fitting[0]
    return low, high if high > low else low + 1
