"""Image files as small pictures inside a page. An image that cannot be read, or not in time, has none."""

from __future__ import annotations

import base64
import io
from concurrent.futures import wait
from pathlib import Path

SIDE_PIXELS = 112
"""The longer side of a picture: twice the size at which it is shown, for high-resolution screens."""

QUALITY = 80

PATIENCE_SECONDS = 10.0
"""How long a picture is waited for: a drive that hangs would keep a run from returning whose training is over."""


class Thumbnails:
    """Makes the pictures of a page; after one that did not come in time, it makes no more."""

    def __init__(self) -> None:
        self._is_given_up = False

    def __call__(self, path: str | Path) -> str | None:
        """The picture as `thumbnail_uri` makes it; None also if it takes too long."""
        from autofit.input.patient_call import in_a_thread  # noqa: PLC0415 - as below

        if self._is_given_up:
            return None
        made = in_a_thread(lambda: thumbnail_uri(path))
        self._is_given_up = not wait([made], PATIENCE_SECONDS).done
        return None if self._is_given_up else made.result()


def thumbnail_uri(path: str | Path) -> str | None:
    """The image as a `data:` URI of a small JPEG with its proportions; None if it cannot be read."""
    from PIL import Image  # noqa: PLC0415 - a page without pictures needs neither this nor NumPy

    from autofit.input.decode import decode_image  # noqa: PLC0415
    from autofit.input.image_files import UnreadableImageError  # noqa: PLC0415

    try:
        pixels = decode_image(path, _shown_size(str(path)))
    except (UnreadableImageError, OSError, MemoryError):
        return None
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _shown_size(path: str) -> tuple[int, int]:
    """(height, width) in pixels: the image's proportions within a square."""
    from autofit.input.decode import image_of, is_sideways  # noqa: PLC0415

    with image_of(path) as image:
        if image is None:
            return SIDE_PIXELS, SIDE_PIXELS
        width, height = image.size
        if is_sideways(image):
            width, height = height, width
    scale = SIDE_PIXELS / max(width, height, 1)
    return max(round(height * scale), 1), max(round(width * scale), 1)
