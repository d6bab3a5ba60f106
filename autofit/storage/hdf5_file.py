"""Weights files of HDF5 from untrusted sources: what they hold is checked before Keras reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from autofit.printable import one_line

if TYPE_CHECKING:
    import h5py

MOST_OBJECTS = 200_000
"""The most groups and arrays: a network of 1,000 layers has some 10,000, with its optimizer."""

EXPANSION, PLUS_BYTES = 4, 64 * 2**20
"""The content may take `EXPANSION` times the bytes of its file, plus `PLUS_BYTES`: Keras compresses nothing."""


class _NotPlainError(ValueError):
    """The file can be read and is refused."""


def most_content_bytes(file_bytes: int) -> int:
    """How much the content of a file of this size may take, unpacked."""
    return EXPANSION * file_bytes + PLUS_BYTES


def require_plain_hdf5(stream: BinaryIO, size_bytes: int, name: str) -> None:
    """Check that an HDF5 file holds only plain arrays, and no larger ones than a file of its size can hold.

    Args:
        stream: the open file.
        size_bytes: the size of the file.
        name: the name of the file, for the message.

    Raises:
        ValueError: one line: it is no HDF5 file, has links or refers to other files, holds values that are neither
            numbers nor text, or declares more data than it can hold.
    """
    import h5py  # noqa: PLC0415 - it takes a while, and most processes open no model

    try:
        with h5py.File(stream, "r") as file:
            _require_plain(file, most_content_bytes(size_bytes), name)
    except _NotPlainError as error:
        raise ValueError(str(error)) from None
    except (OSError, RuntimeError, LookupError, TypeError, ValueError) as error:  # h5py's, also on types and names
        raise ValueError(f"{name} is no readable HDF5 file ({one_line(error)[:100]})") from None


def _require_plain(file: h5py.File, left_bytes: int, name: str) -> None:
    import h5py  # noqa: PLC0415

    for place, item in _objects(file, name):
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise _NotPlainError(f"{name} holds an array that is kept in another file, {place!r}")
            if item.dtype.hasobject and h5py.check_string_dtype(item.dtype) is None:
                raise _NotPlainError(f"{name} holds an array of neither numbers nor text, {place!r}")
            left_bytes -= int(item.nbytes)
            if left_bytes < 0:
                raise _NotPlainError(f"{name} declares arrays of more bytes than it can hold, such as {place!r}")


def _objects(file: h5py.File, name: str) -> Iterator[tuple[str, Any]]:
    """Every group and array, once each: several names may lead to the same object, also in a circle."""
    import h5py  # noqa: PLC0415

    seen: set[int] = set()
    groups: list[h5py.Group] = [file]
    while groups:
        group = groups.pop()
        for key in group:
            if type(group.get(key, getlink=True)) is not h5py.HardLink:
                raise _NotPlainError(f"{name} holds a link, {key[:100]!r}")
            item = group[key]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > MOST_OBJECTS:
                raise _NotPlainError(f"{name} holds more than {MOST_OBJECTS:,} groups and arrays")
            if isinstance(item, h5py.Group):
                groups.append(item)
            yield key[:100], item
