"""The files of a cache entry: rows of one shape in one file, and an index that says which image each row belongs to.

    entry.json    the record of the entry; its modification time is when the entry was last used
    rows.bin      the rows, one after another
    index.bin     for each row: the image's identity, its slice, a CRC-32, and how many rows of its block follow; the
                  highest bit of the slice says that the image is a JPEG which lacks its end

Rows are appended in blocks, and a block is valid once its index is written: after a kill, the next writer cuts off
what follows the last complete block. A row is used only if its CRC-32 in the index matches the entry's seal, the image,
the slice and the row. So neither damaged nor exchanged files make it the row of another image or network. The seal is
computed from the entry's key and from a secret key of the user; nobody who does not know that can make valid rows.
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
"""The most rows of an entry. The index of so many has half a gigabyte, and is read into memory."""

CUT_OFF = np.uint32(2**31)
"""The bit of a row's slice that says that its image is a JPEG which lacks its end; `MAX_ROWS` leaves it free."""

MAX_ROW_VALUES = 2**31
MAX_SIDES = 4

Rows = NDArray[np.generic]


class EntryRecord(Record):
    """The content of `entry.json`.

    Attributes:
        kind: what the rows are.
        key: SHA-256 (hex) of everything that the rows depend on besides their images.
        about: the most important parts of that, in a form for users.
        dtype: the type of a row's values.
        row_shape: the shape of a row.
        created: when the entry was made, in seconds since 1970, UTC.
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


def slices_in(lines: NDArray[np.void]) -> NDArray[np.int64]:
    """The slice of each row, int64 (n,)."""
    return (lines["slice"] & ~CUT_OFF).astype(np.int64)


def cut_off_in(lines: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which rows are those of JPEGs that lack their end, bool (n,)."""
    return np.asarray(lines["slice"] & CUT_OFF, np.bool_)


def whole_blocks(index: NDArray[np.void]) -> NDArray[np.void]:
    """The lines up to the last one that ends a block."""
    ends = np.flatnonzero(index["follow"] == 0)
    return index[: ends[-1] + 1] if len(ends) else index[:0]


def lines_with_rows(index: NDArray[np.void], rows: FileIO, record: EntryRecord) -> NDArray[np.void]:
    """The lines of the blocks whose rows are complete: before a power failure, the index may have been written first.

    Readers and writers use the same rule, so a row that a reader has found is not cut off by the next writer.
    """
    return whole_blocks(index[: os.fstat(rows.fileno()).st_size // record.row_bytes])


def seal_of(record: EntryRecord, user_key: bytes) -> int:
    """The initial value of the checksum of each row of an entry; it cannot be computed without the user's key.

    If no key can be stored, `user_key` is empty: the checksums then protect against damage only.
    """
    text = f"{record.key} {record.dtype} {record.row_shape}".encode()
    return zlib.crc32(hmac.digest(user_key, text, "sha256") if user_key else text)


def checksums(seal: int, index: NDArray[np.void], rows: Iterable[Rows]) -> list[int]:
    """The CRC-32 of each row, which covers the entry's seal (`seal_of`), the head of its index line, and the row."""
    heads = index.view(np.uint8).reshape(len(index), INDEX.itemsize)[:, : HEAD.itemsize]
    return [zlib.crc32(row.tobytes(), zlib.crc32(head.tobytes(), seal)) for head, row in zip(heads, rows, strict=True)]
