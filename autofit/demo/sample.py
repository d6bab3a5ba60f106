"""`autofit.sample()`: photos to try autofit on, without a download."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import Final

from autofit.demo.data import write_photos
from autofit.errors import UserError
from autofit.storage.system_errors import explained
from autofit.storage.user_path import user_path

FOLDER: Final = "autofit-sample"

_CLASS, _PHOTO = re.compile("[0-9]"), re.compile(r"[0-9]{4}\.png")


def sample(folder: str | PathLike[str] = FOLDER) -> Path:
    """Write 1,797 handwritten digits as a folder of images to train on, and return its path.

    They come with autofit: nothing is downloaded. Each class, "0" to "9", is a folder of about 180 grey PNG files of
    32x32 pixels. Files that are there already are not written again. Source: Alpaydin and Kaynak (1998), Optical
    Recognition of Handwritten Digits, UCI Machine Learning Repository, CC BY 4.0.

        result = autofit.run(autofit.sample(), image_size=96)

    Args:
        folder: where to write them: a new folder, or one that an earlier call has written.

    Raises:
        UserError: the folder cannot be written, or holds something else.
    """
    path = user_path(folder, "folder")
    _refuse_what_is_not_ours(path)
    try:
        write_photos(path)
    except OSError as error:
        raise UserError(explained(error, f"sample: the digits cannot be written to {path}")) from error
    return path


def _refuse_what_is_not_ours(path: Path) -> None:
    """Refuse a folder that holds anything but the classes of the sample: other files would be mixed with the digits.

    Raises:
        UserError: the folder holds something else.
    """
    try:
        others = sorted(_others(path, _CLASS)) or [
            f"{label}/{name}" for label in "0123456789" for name in sorted(_others(path / label, _PHOTO))[:1]
        ]
    except OSError as error:
        raise UserError(explained(error, f"sample: {path} cannot be used")) from error
    if others:
        raise UserError(f"sample: {path} holds {others[0]!r}, which is not of the sample: name a new folder")


def _others(folder: Path, ours: re.Pattern[str]) -> list[str]:
    """The names in a folder that are neither those of the sample nor hidden; empty if there is no folder.

    Raises:
        OSError: it cannot be read.
    """
    try:
        names = [entry.name for entry in folder.iterdir()]
    except FileNotFoundError:
        return []
    return [name for name in names if not name.startswith(".") and not ours.fullmatch(name)]
