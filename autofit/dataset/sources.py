"""Refuses data that is neither a folder nor a table, by its name, with advice on what to do."""

# ruff: noqa: PTH100, PTH111, PTH116, PTH119 - paths are str in this package

from __future__ import annotations

import os
import re
import stat
from typing import Final
from urllib.parse import unquote

from autofit.dataset.containers import remedy_of
from autofit.dataset.folder import HEIF_SUFFIXES, IMAGE_SUFFIXES, image_suffixes
from autofit.errors import UserError
from autofit.printable import printable
from autofit.storage.system_errors import said_of

_IMAGES: Final = IMAGE_SUFFIXES | HEIF_SUFFIXES
_IMAGE: Final = "is one image: give a folder with one subfolder of images a class"
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)  # a drive of Windows has one letter


def existing_source(data: str | os.PathLike[str]) -> str:
    """The absolute path of a folder or table that a user gives; `~` is expanded.

    Raises:
        UserError: it is empty, a URL, an archive or another file that is no table, or does not exist.
    """
    text = os.fspath(data)
    shown = printable(text)
    if not text.strip():
        raise UserError("the data is an empty path: give a folder with one subfolder of images a class, or a CSV file")
    absolute = os.path.abspath(os.path.expanduser(text))
    kind = _kind_of(absolute, shown)
    if kind == stat.S_IFDIR:
        return absolute
    refuse_address(text)
    if remedy := _remedy(text):
        raise UserError(f"{shown} {remedy}")
    if kind is None:
        raise UserError(f"{shown} does not exist: check the path (looked for {printable(absolute)})")
    return absolute


def _kind_of(path: str, shown: str) -> int | None:
    """The file type of a path, as in `stat.S_IFMT`; None if it does not exist.

    Raises:
        UserError: it cannot be looked at, such as for a lack of permission.
    """
    try:
        return stat.S_IFMT(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UserError(said_of(error, f"{shown} cannot be read", "check the path")) from None


def leads_to_folder(path: str) -> bool:
    """Whether an existing path leads to a folder.

    Raises:
        UserError: it cannot be examined.
    """
    return _kind_of(path, printable(path)) == stat.S_IFDIR


def is_address(text: str) -> bool:
    """Whether a path is a URL or the like, such as `gs://bucket/photo.jpg`."""
    return _URL.match(text) is not None


def path_of_address(text: str) -> str:
    """The path in an address of this machine, such as `file:///data/a%20photo.jpg`; empty for any other text."""
    if not text.lower().startswith(("file:///", "file://localhost/")):
        return ""
    return unquote(f"/{text.split('/', 3)[3]}", errors="surrogateescape")


def refuse_address(text: str) -> None:
    """Refuse a URL or the like.

    Raises:
        UserError: it is one.
    """
    if local := path_of_address(text):
        raise UserError(f"{printable(text)} is an address of this machine: give the path {printable(local)}")
    if url := _URL.match(text):
        raise UserError(
            f"{printable(text)} is an address ({url[1]}): copy the data to this machine first and give its folder"
        )


def refuse_container(text: str) -> None:
    """Refuse an archive, a spreadsheet or another file that holds images or their paths, by its suffix.

    Raises:
        UserError: it is such a file; the message says what to do.
    """
    if _suffix(text) in image_suffixes():
        return
    if remedy := _remedy(text):
        raise UserError(f"{printable(text)} {remedy}")


def _remedy(text: str) -> str | None:
    """What to do with a file that is neither a folder nor a table, by its name; None if nothing is known."""
    return remedy_of(os.path.basename(text)) or (_IMAGE if _suffix(text) in _IMAGES else None)


def _suffix(text: str) -> str:
    return text.rpartition(".")[2].lower() if "." in text else ""


def path_instead_of(value: object) -> str:
    """What an item of a list is that is no path, and what to give: the end of a message."""
    if isinstance(value, dict):
        return "holds an image: give files' paths, or the images: autofit.run(images, labels)"
    if isinstance(value, bytes | bytearray | memoryview) and value:
        return "is the content of a file: give a path, or an opened image, PIL.Image.open(io.BytesIO(content))"
    if hasattr(value, "read"):
        return "is an open file: give a path, or an opened image, PIL.Image.open(file)"
    return f"is {repr(value)[:60]}: give a file's path"
