"""`autofit.sample()`: photos to try autofit on, without a network."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Final

from autofit.demo.data import write_photos
from autofit.errors import UserError
from autofit.storage.system_errors import explained
from autofit.storage.user_path import user_path

FOLDER: Final = "autofit-sample"


def sample(folder: str | PathLike[str] = FOLDER) -> Path:
    """Write 1,797 handwritten digits as a folder of images to train on, and return its path.

    They come with autofit: nothing is downloaded. Each class, "0" to "9", is a folder of about 180 grey PNG files of
    32x32 pixels. Files that are there already are not written again. Source: Alpaydin and Kaynak (1998), Optical
    Recognition of Handwritten Digits, UCI Machine Learning Repository, CC BY 4.0.

        result = autofit.run(autofit.sample(), image_size=96)

    Args:
        folder: where to write them: a new folder, or one that has them.

    Raises:
        UserError: the folder cannot be written, or holds something else.
    """
    path = user_path(folder)
    _refuse_what_is_not_ours(path)
    try:
        write_photos(path)
    except OSError as error:
        raise UserError(explained(error, f"sample: the digits cannot be written to {path}")) from error
    return path


def _refuse_what_is_not_ours(path: Path) -> None:
    """Refuse a folder with anything but the classes of the sample: their images would be mixed with it.

    Raises:
        UserError: there is something else.
    """
    try:
        others = sorted(entry.name for entry in path.iterdir() if not _may_be_ours(entry.name))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(explained(error, f"sample: {path} cannot be used")) from error
    if others:
        raise UserError(f"sample: {path} holds {others[0]!r}, which is not of the sample: name a new folder")


def _may_be_ours(name: str) -> bool:
    return name.startswith(".") or (len(name) == 1 and name in "0123456789")
