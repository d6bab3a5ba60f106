"""The range of the values in images of more than 8 bits, found once for a data set from a sample of its images.

A file says how many bits a value has room for, but seldom how many are used: of 16 bits, a camera may use 12, a program
8. If each image had its own range, a dark image of a data set would become as bright as a bright one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from autofit.input.decode import image_of
from autofit.input.numeric_images import extremes_of, kind_of, most_of_deep_colours, value_range
from autofit.input.patient_call import patiently

LOOKED_AT, MEASURED = 256, 64
"""The most images that are opened, and the most of those of more than 8 bits that are read."""

FIRST_LOOK = 16
"""If none of the first images, this many, has more than 8 bits, the others are not opened."""

TWELVE_BITS = 4095
DEEP_COLOURS = "deep colours"


@dataclass(frozen=True, slots=True)
class FoundNumbers:
    """The numbers in a sample of images of more than 8 bits; all images of a sample may have 8.

    Attributes:
        ranges: the values of black and white, by kind of image (`numeric_images.kind_of`).
        most_of_colours: the largest value in images of several channels of 16 bits, rounded up; None without such.
        has_pages: whether a TIFF has several pages, of which the second is as large as the first.
    """

    ranges: dict[str, tuple[float, float]]
    most_of_colours: int | None = None
    has_pages: bool = False


def find_ranges(
    count: int, path_of: Callable[[int], str], seed: int, say: Callable[[str], None] = lambda _: None
) -> FoundNumbers:
    """Find the numbers of a data set.

    Args:
        count: the number of images, at least 1.
        path_of: maps an image's number to its file.
        seed: the seed of the choice of images.
        say: called with a line for the user about a drive that does not answer.
    """

    def find(note: Callable[[int], None]) -> FoundNumbers:
        return _found(count, path_of, seed, note)

    return patiently(find, path_of(0), say=say)


def _found(count: int, path_of: Callable[[int], str], seed: int, note: Callable[[int], None]) -> FoundNumbers:
    """What `find_ranges` finds; `note` is called before each image."""
    extremes: dict[str, list[tuple[float, float]]] = {}
    has_pages = False
    chosen = np.random.default_rng(seed).permutation(count)[:LOOKED_AT].tolist()
    for place, number in enumerate(chosen):
        measured = sum(map(len, extremes.values()))
        if measured >= MEASURED or (place >= FIRST_LOOK and not measured):
            break
        note(place)
        kind, found, several = _looked_at(path_of(number))
        has_pages = has_pages or several
        if found:
            extremes.setdefault(kind, []).append(found)
    colours = extremes.pop(DEEP_COLOURS, [])
    return FoundNumbers(
        {kind: value_range(_joined(found), kind) for kind, found in extremes.items()},
        int(_joined(colours)[1]) if colours else None,
        has_pages,
    )


def ranges_text(ranges: dict[str, tuple[float, float]]) -> str:
    """One line that says which values count as black and white."""
    words = " and ".join(f"{low:,.6g} to {high:,.6g}" for low, high in ranges.values())
    return f"images of more than 8 bits: {words}, found in a sample, means black to white in training and prediction"


def sample_text(found: FoundNumbers) -> str:
    """One line on what is odd in the sample, but for its range; empty if nothing is."""
    return "; ".join(filter(None, (faint_text(found), _pages_text(found))))


def _pages_text(found: FoundNumbers) -> str:
    return "images of several pages: the first page alone is used" if found.has_pages else ""


def faint_text(found: FoundNumbers) -> str:
    """One line on images of several channels of 16 bits that use 12 at most, and so are nearly black; else empty.

    Pillow keeps the upper eight bits of each channel.
    """
    if found.most_of_colours is None or found.most_of_colours > TWELVE_BITS:
        return ""
    return (
        f"images of several channels of 16 bits: in a sample no value is over {found.most_of_colours:,} of 65,535, so "
        "that they are nearly black in training and prediction: save them with 8 bits a channel"
    )


class _Looked(NamedTuple):
    """Kind and extremes of an image, none if it has 8 bits or cannot be read; and whether it has several pages."""

    kind: str = ""
    extremes: tuple[float, float] | None = None
    has_pages: bool = False


def _looked_at(path: str) -> _Looked:
    looked = _Looked()
    with image_of(path) as image, suppress(Exception):  # on damaged files Pillow raises whatever its parsers run into
        if image is not None:
            if kind := kind_of(image):
                looked = _Looked(kind, extremes_of(image))
            elif (most := most_of_deep_colours(image)) is not None:
                looked = _Looked(DEEP_COLOURS, (0.0, most))
            looked = looked._replace(has_pages=_has_pages(image))
    return looked


def _has_pages(image: Image.Image) -> bool:
    """Whether a TIFF has several pages, and the second is as large as the first; a smaller one is a preview.

    They are not counted: each page of a large stack would be sought in the file.
    """
    if image.format != "TIFF" or not getattr(image, "is_animated", False):
        return False
    size = image.size
    image.seek(1)
    return image.size == size


def _joined(extremes: list[tuple[float, float]]) -> tuple[float, float]:
    lows, highs = zip(*extremes, strict=True)
    return min(lows), max(highs)
