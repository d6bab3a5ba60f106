"""PIL images as they would be read from a file: upright, with palettes and colour spaces converted."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from autofit.errors import UserError
from autofit.printable import one_line

_NUMBERS = frozenset({"I", "F"})  # of 32 bits, which a PNG cannot hold
_KEPT = frozenset({"1", "L", "RGB", "RGBA", "I;16"}) | _NUMBERS
_WITH_ALPHA = frozenset({"LA", "PA", "La", "RGBa"})
_STRAIGHT_ALPHA = {"La": "LA", "RGBa": "RGBA"}  # the only conversion that Pillow has for premultiplied alpha


def is_picture(data: object) -> bool:
    """Whether the data are a PIL image, without importing PIL."""
    return hasattr(data, "getbands") and hasattr(data, "mode")


def plain_picture(image: Any, name: str) -> Any:
    """A PIL image that `numpy.asarray` turns into its pixels: upright, of the mode 1, L, RGB, RGBA, I;16, I or F.

    For an image with a palette it would give indices of the palette; four channels of CMYK would be taken for RGBA.

    Args:
        image: of any mode.
        name: of the image, for messages.

    Raises:
        UserError: its pixels cannot be read.
    """
    from PIL import ImageOps  # noqa: PLC0415 - loaded only where it is used

    try:
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{name} cannot be read ({one_line(error)}): leave it out") from None
    with suppress(Exception):  # a damaged EXIF block raises whatever its parser runs into
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") and image.mode not in _KEPT:  # of the other byte order, which a TIFF may have
        return _in_own_order(image)
    if image.mode in _STRAIGHT_ALPHA:
        image = image.convert(_STRAIGHT_ALPHA[image.mode])
    if image.mode in _WITH_ALPHA or (image.mode in {"P", "L", "RGB"} and image.has_transparency_data):
        return image.convert("RGBA")
    return image if image.mode in _KEPT else image.convert("RGB")


def _in_own_order(image: Any) -> Any:
    """A 16-bit image converted to mode I;16; Pillow would convert it to 8 bits, with all values above 255 white."""
    import numpy as np  # noqa: PLC0415 - loaded only where it is used
    from PIL import Image  # noqa: PLC0415

    return Image.fromarray(np.asarray(image).astype(np.uint16))


def save_picture(image: Any, folder: Path, name: str) -> str:
    """Write a PIL image without loss; returns the path.

    Args:
        image: of any mode.
        folder: for the file.
        name: of the image, for the file and for messages.

    Raises:
        UserError: its pixels cannot be read.
    """
    plain = plain_picture(image, name)
    path = folder / f"{name.replace(' ', '-')}.{'tif' if plain.mode in _NUMBERS else 'png'}"
    plain.save(path, **({} if plain.mode in _NUMBERS else {"compress_level": 1}))
    return str(path)
