"""The digits of the demo, unpacked from one sheet into a folder of photos like a user's own."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

PHOTO_PIXELS = 32

LEFT_OVER_SECONDS = 60.0
"""Writing a photo takes a millisecond: an older unfinished file was left by a call that was killed."""

_SHEET = Path(__file__).with_name("digits.png")
_LABELS = Path(__file__).with_name("digits.txt")
_COLUMNS = 45
_PITCH_PIXELS = 10
_MARGIN_PIXELS = 1


def write_photos(folder: Path) -> None:
    """Write the 1,797 digits under `folder` as grey PNG files of 32x32 pixels, in a subfolder per class, "0" to "9".

    Existing photos are not written again, so a second call is cheap, and completes a call that was interrupted.

    Raises:
        OSError: a file cannot be written.
    """
    missing = {index: path for index, path in _photo_paths(folder) if not path.exists()}
    if not missing:
        return
    for label in "0123456789":
        (folder / label).mkdir(parents=True, exist_ok=True)
    _remove_left_over(folder)
    # renamed when complete, so that no photo is ever partly written; another process may be writing the same ones
    partial = folder / f".partial-{os.getpid()}-{threading.get_ident()}.png"
    try:
        with Image.open(_SHEET) as sheet:
            for index, path in missing.items():
                _photo(sheet, index).save(partial, compress_level=1)
                partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _remove_left_over(folder: Path) -> None:
    """Remove unfinished files of a killed call, but not those that another call is writing now."""
    for path in folder.glob(".partial*.png"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > LEFT_OVER_SECONDS:
                path.unlink()


def _photo_paths(folder: Path) -> Iterator[tuple[int, Path]]:
    labels = _LABELS.read_text(encoding="ascii").replace("\n", "")
    for index, label in enumerate(labels):
        yield index, folder / label / f"{index:04d}.png"


def _photo(sheet: Image.Image, index: int) -> Image.Image:
    return sheet.crop(_tile(index)).resize((PHOTO_PIXELS, PHOTO_PIXELS), Image.Resampling.BILINEAR)


def _tile(index: int) -> tuple[int, int, int, int]:
    """The position of a digit on the sheet: left, top, right, bottom, without its margin."""
    row, column = divmod(index, _COLUMNS)
    left, top = column * _PITCH_PIXELS, row * _PITCH_PIXELS
    return (
        left + _MARGIN_PIXELS,
        top + _MARGIN_PIXELS,
        left + _PITCH_PIXELS - _MARGIN_PIXELS,
        top + _PITCH_PIXELS - _MARGIN_PIXELS,
    )
