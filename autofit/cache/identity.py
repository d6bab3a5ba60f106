"""The identity of an image file, by path, size and time of change or by content: is it the same image as last time?"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from autofit.storage.safe_files import open_plain

By = Literal["stat", "content"]
Identities = NDArray[np.uint64]
"""uint64 (n, 2): 128 bits an image; zeros for a file that does not exist."""

IDENTITY_BYTES = 16


def identities_of(paths: Iterable[str], by: By, on_image: Callable[[], None] = lambda: None) -> Identities:
    """Identify each file.

    Args:
        paths: absolute.
        by: "stat" hashes path, size and time of the last change, which is quick; "content" reads the file, so that a
            copy, or the same archive unpacked again, has the same identity.
        on_image: called after each image.

    Returns:
        uint64 (n, 2); zeros for a path that is not a file (by content: not a readable file), which is never cached.
    """
    identify = _by_stat if by == "stat" else _by_content
    digests = bytearray()
    for path in paths:
        digests += identify(path)
        on_image()
    return np.frombuffer(bytes(digests), np.uint64).reshape(-1, 2)


def _by_stat(path: str) -> bytes:
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path for each of a million images takes longer than the call
        name = os.fsencode(path)
    except (OSError, ValueError):  # ValueError: not a possible file name, such as one with a NUL or half a character
        return bytes(IDENTITY_BYTES)
    if not stat.S_ISREG(status.st_mode):
        return bytes(IDENTITY_BYTES)
    text = b"%s\0%d\0%d" % (name, status.st_size, status.st_mtime_ns)
    return hashlib.blake2b(text, digest_size=IDENTITY_BYTES, person=b"autofit-stat").digest()


def _by_content(path: str) -> bytes:
    digest = hashlib.blake2b(digest_size=IDENTITY_BYTES, person=b"autofit-content")
    try:
        with open_plain(Path(path)) as file:
            while chunk := file.read(2**20):
                digest.update(chunk)
    except (OSError, ValueError):
        return bytes(IDENTITY_BYTES)
    return digest.digest()
