"""A PIL image as a file with the same pixels, for everything that reads files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autofit.errors import UserError
from autofit.printable import one_line

_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
_TIFF_MODES = frozenset({"I", "F", "CMYK", "YCbCr", "LAB"})
_PLAIN_MODES = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}  # of all others RGB
_ORIENTATION = 0x0112  # EXIF 2.32


def is_picture(data: object) -> bool:
    """Whether the data are a PIL image, without importing PIL."""
    return hasattr(data, "getbands") and hasattr(data, "mode")


def save_picture(image: Any, folder: Path, name: str) -> str:
    """Write a PIL image without loss, with its palette, transparency, depth and orientation; returns the path.

    Args:
        image: of any mode.
        folder: for the file.
        name: of the image, for the file and for messages.

    Raises:
        UserError: its pixels cannot be read.
    """
    from PIL import Image  # noqa: PLC0415 - loaded only where it is used

    try:
        image.load()
        turned = {_ORIENTATION: image.getexif().get(_ORIENTATION, 1)}
        if image.mode not in _PNG_MODES | _TIFF_MODES:
            image = image.convert(_PLAIN_MODES.get(image.mode, "RGB"))
        exif = Image.Exif()
        exif.update(turned)
        path = folder / f"{name.replace(' ', '-')}.{'tif' if image.mode in _TIFF_MODES else 'png'}"
        image.save(path, **({} if image.mode in _TIFF_MODES else {"compress_level": 1}), exif=exif)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{name} cannot be read ({one_line(error)}): leave it out") from None
    return str(path)
