"""Several views of an image for one prediction, whose probabilities are averaged: the same views for every image."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from autofit.input.augment import MARGIN, CropParameters, augment_into, with_margin
from autofit.input.decode import decode_into
from autofit.input.numeric_images import NO_RANGES, ValueRanges

_WHOLE = CropParameters(side=1.0, left=0.0, top=0.0, is_mirrored=False)
_PLACES = ((0.5, 0.5), (0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0))
"""Left and top of the crops: the middle and the corners."""


def prediction_views(count: int, *, flips: bool) -> list[CropParameters]:
    """The first `count` views of an image: the whole image first, then mild crops, each followed by its mirror image.

    Args:
        count: at least 1.
        flips: whether there are mirror images.
    """
    windows = [_WHOLE, *(CropParameters(1 / MARGIN, left, top, is_mirrored=False) for left, top in _PLACES)]
    mirrored = (False, True) if flips else (False,)
    views = [
        CropParameters(window.side, window.left, window.top, is_mirrored)
        for window in windows
        for is_mirrored in mirrored
    ]
    more = (CropParameters.of(number) for number in range(count - len(views)))
    views += [CropParameters(view.side, view.left, view.top, view.is_mirrored and flips) for view in more]
    return views[:count]


def decode_views(
    path: str | os.PathLike[str],
    views: Sequence[CropParameters],
    out: NDArray[np.uint8],
    ranges: ValueRanges = NO_RANGES,
) -> None:
    """Decode the views of an image. It is decoded twice at most: to the size itself, and with the margin for crops.

    Args:
        path: the image file.
        views: as `prediction_views` returns them.
        out: uint8 (views, height, width, 3).
        ranges: as in `decode_into`.

    Raises:
        UnreadableImageError, MemoryError, OSError: as `decode_into`.
    """
    decode_into(path, out[0], ranges)
    larger = None
    for view, row in zip(views[1:], out[1:], strict=True):
        if view.side == 1:
            row[...] = out[0, :, :: -1 if view.is_mirrored else 1]
            continue
        if larger is None:
            larger = np.empty((*with_margin((out.shape[1], out.shape[2])), 3), np.uint8)
            decode_into(path, larger, ranges)
        augment_into(larger, view, row)
