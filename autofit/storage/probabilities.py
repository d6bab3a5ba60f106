"""The files `validation.npy` and `test.npy` of a run: the model's probabilities for images with known classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from autofit.storage.safe_files import open_plain, whole_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_VALUES = 5_000_000
"""An array with more values than this (20 MB) is not kept: each checkpoint holds the one of the validation images."""


def write_probabilities(path: Path, probabilities: NDArray[np.float32] | None) -> None:
    """Write probabilities (n, classes) so that a reader sees the old file or the new one; None, or too many, remove it.

    Raises:
        OSError: the file cannot be written.
    """
    import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

    if probabilities is None or probabilities.size > MOST_VALUES:
        path.unlink(missing_ok=True)
        return
    with whole_file(path) as file:
        np.save(file, probabilities.astype(np.float32, copy=False), allow_pickle=False)


def read_probabilities(path: Path, images: int, classes: int) -> NDArray[np.float32] | None:
    """The probabilities (images, classes) in a file; None if there is no file, or if it has another shape or dtype.

    The file may come from an untrusted source: nothing in it is executed, and not more than the expected size is read.
    """
    import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

    try:
        with open_plain(path) as file:
            if images * classes > MOST_VALUES or _header(file) != _HEADER.format(images, classes).encode():
                return None
            values = np.frombuffer(file.read(4 * images * classes), "<f4")
        return values.reshape(images, classes)
    except (OSError, ValueError):
        return None


_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}"
"""The header as NumPy writes it. NumPy's reader evaluates it as a Python literal, and may raise any error of that.

https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""


def _header(file: BinaryIO) -> bytes:
    """The header of a file, up to the first value; empty if the file does not begin as NumPy's do."""
    if file.read(len(_MAGIC)) != _MAGIC:
        return b""
    return file.read(int.from_bytes(file.read(2), "little")).strip()
