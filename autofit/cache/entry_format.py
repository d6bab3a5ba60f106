"""The files of a cache entry: rows of one shape in one file, and an index that says which image each row belongs to.

    entry.json    the record of the entry; its time of change is when the entry was last used
    rows.bin      the rows, one after another
    index.bin     for each row: the image's identity, its slice, a CRC-32, and how many rows of its block follow

Rows are appended in blocks, and a block is valid once its index is written: after a kill, the next writer cuts off
what follows the last complete block. A row is used only if the CRC-32 in the index is that of the entry's seal, the
image, the slice and the row: neither damage nor files that were mixed up make it the row of another image or network.
The seal is made of the entry's key and of a key of the user: who does not know that cannot make rows that are used.
"""

from __future__ import annotations

import errno
import hmac
import math
import os
import zlib
from collections.abc import Iterable
from io import FileIO
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from autofit.storage.json_bounds import JsonLimits
from autofit.storage.records import Record

HEAD = np.dtype([("image", "<u8", (2,)), ("slice", "<u4")])
INDEX = np.dtype([*HEAD.descr, ("crc", "<u4"), ("follow", "<u4")])

MAX_ROWS = 2**24
"""The index of so many rows has half a gigabyte, and is read into memory."""

MAX_ROW_VALUES = 2**31
MAX_SIDES = 4

Rows = NDArray[np.generic]


class EntryRecord(Record):
    """The content of `entry.json`.

    Attributes:
        kind: what the rows are.
        key: SHA-256 (hex) of all that the rows depend on besides their images.
        about: the most important of that in a form for users.
        dtype: type of a row's values.
        row_shape: shape of a row.
        created: when it was made, in seconds since 1970, UTC.
    """

    limits: ClassVar[JsonLimits] = JsonLimits(2**16, 1000, 1000)

    schema_: Literal["autofit/cache-entry/2"] = Field("autofit/cache-entry/2", alias="schema")
    kind: Literal["features", "pixels"]
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    about: dict[str, str] = Field(max_length=32)
    dtype: Literal["float32", "float16", "uint8"]
    row_shape: tuple[int, ...] = Field(min_length=1, max_length=MAX_SIDES)
    created: float

    @property
    def row_bytes(self) -> int:
        """The size of a row."""
        return math.prod(self.row_shape) * np.dtype(self.dtype).itemsize

    def has_rows_like(self, other: EntryRecord) -> bool:
        """Whether the rows of both have the same shape and type."""
        return (self.row_shape, self.dtype) == (other.row_shape, other.dtype)

    def is_sane(self) -> bool:
        """Whether the size of a row is possible."""
        return min(self.row_shape) > 0 and math.prod(self.row_shape) <= MAX_ROW_VALUES


def read_index(file: FileIO) -> NDArray[np.void]:
    """The index without an incomplete block at its end, which a killed writer leaves.

    Raises:
        OSError: it cannot be read, or is larger than `MAX_ROWS` allow.
    """
    if os.fstat(file.fileno()).st_size > MAX_ROWS * INDEX.itemsize:
        raise OSError(errno.EFBIG, "larger than an index can be", str(file.name))
    file.seek(0)
    data = file.readall()
    return whole_blocks(np.frombuffer(data[: len(data) // INDEX.itemsize * INDEX.itemsize], INDEX))


def whole_blocks(index: NDArray[np.void]) -> NDArray[np.void]:
    """The lines up to the last one that ends a block."""
    ends = np.flatnonzero(index["follow"] == 0)
    return index[: ends[-1] + 1] if len(ends) else index[:0]


def lines_with_rows(index: NDArray[np.void], rows: FileIO, record: EntryRecord) -> NDArray[np.void]:
    """The blocks whose rows are complete: at a power failure, the index may have reached the disk before the rows.

    Readers use the same rule as the next writer, which cuts off the rest: a row that was found once is not lost later.
    """
    return whole_blocks(index[: os.fstat(rows.fileno()).st_size // record.row_bytes])


def seal_of(record: EntryRecord, user_key: bytes) -> int:
    """What the checksum of each row of an entry begins with: nobody who has not the user's key knows it.

    Without a key, where none can be stored, it guards against damage only.
    """
    text = f"{record.key} {record.dtype} {record.row_shape}".encode()
    return zlib.crc32(hmac.digest(user_key, text, "sha256") if user_key else text)


def checksums(seal: int, index: NDArray[np.void], rows: Iterable[Rows]) -> list[int]:
    """The CRC-32 of each row, preceded by the entry's seal (`seal_of`) and the head of its line in the index."""
    heads = index.view(np.uint8).reshape(len(index), INDEX.itemsize)[:, : HEAD.itemsize]
    return [zlib.crc32(row.tobytes(), zlib.crc32(head.tobytes(), seal)) for head, row in zip(heads, rows, strict=True)]
