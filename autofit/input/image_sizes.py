"""The sizes of the images of a data set, from the headers of some of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from concurrent.futures import wait

from autofit.dataset import ImageIndex
from autofit.dataset.spread import spread_over
from autofit.input.decode import image_of
from autofit.input.patient_call import in_a_thread

MOST_OPENED = 60
"""Only this many images are opened: each takes a round trip on a mounted drive, and sizes are mostly alike."""

MUCH_SMALLER = 2
"""A warning is shown if the median image is smaller than `image_size` by this factor: it is then much enlarged."""

PATIENCE_SECONDS = 2.0
"""Images that cannot be read within this time are left out."""

Size = tuple[int, int]


def sizes_line(index: ImageIndex, image_size: Size) -> str | None:
    """One line on the sizes of the images, and whether they suit `image_size`; None if no header can be read.

    Args:
        index: the images; some of them, evenly spread, are opened.
        image_size: (height, width) of the training, in pixels.
    """
    paths = [index.path(place) for place in spread_over(len(index.paths), MOST_OPENED)]
    found: list[Size] = []

    def read() -> None:
        found.extend(size for path in paths if (size := size_of(path)))

    wait([in_a_thread(read)], PATIENCE_SECONDS)  # a drive that hangs would hold up the run before its first line
    sizes = list(found)
    return sizes_text(sizes, image_size) if sizes else None


def size_of(path: str) -> Size | None:
    """(width, height) of an image in pixels, from its header; None if that cannot be read."""
    try:
        with image_of(path) as image:
            return None if image is None else image.size
    except OSError:
        return None


def sizes_text(sizes: Sequence[Size], image_size: Size) -> str:
    """The smallest, the median and the largest of some sizes, (width, height), in words. Pure."""
    by_area = sorted(sizes, key=lambda size: size[0] * size[1])
    smallest, median, largest = by_area[0], by_area[len(by_area) // 2], by_area[-1]
    words = f"images of {_words(median)} pixels"
    if smallest != largest:
        words = f"images from {_words(smallest)} to {_words(largest)} pixels, typically {_words(median)}"
    height, width = image_size
    if statistics.geometric_mean(median) * MUCH_SMALLER < statistics.geometric_mean((height, width)):
        words += f": they are enlarged to {width} x {height}, and a smaller image_size would be faster"
    return words


def _words(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
