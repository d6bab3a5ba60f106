"""Sends the entry of a shard to the cache of another machine, in pieces of a whole number of blocks.

The checksums of an entry depend on the key of its cache, so it cannot be copied as a file. The receiver appends the
rows to an entry of its own, in the same blocks: the entry is the same as if the rows had been extracted there.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from autofit.cache.entry import Entry, EntryWriter
from autofit.cache.entry_format import INDEX, EntryRecord, cut_off_in, slices_in
from autofit.cache.places import KEY_DIGITS, NAME
from autofit.cache.shard_entry import ShardEntry
from autofit.cache.store import CacheStore, NoRoomError
from autofit.storage.records import Record

PIECE_BYTES = 2**26
"""About how many bytes of rows a piece has: so much is in memory at once, on both machines."""


class DamagedPieceError(Exception):
    """A piece is not what was sent, or the piece before it is missing."""


class PieceHead(Record):
    """Describes a piece: some blocks of an entry, as the bytes of their index lines followed by those of their rows.

    Attributes:
        entry: the name of the entry.
        record: the record of the entry.
        start: how many rows of the entry come before this piece.
        rows: how many rows this piece has.
        total: how many rows the whole entry has.
        digest: a hash of the other fields and of the bytes.
    """

    entry: str
    record: EntryRecord
    start: int = Field(ge=0)
    rows: int = Field(ge=0)
    total: int = Field(ge=0)
    digest: str = ""

    def sealed(self, data: bytes) -> PieceHead:
        """This head with the digest for these bytes."""
        return self.model_copy(update={"digest": self._digest(data)})

    def is_of(self, data: bytes) -> bool:
        """Whether head and bytes are as they were sent."""
        whole = self.rows * (INDEX.itemsize + self.record.row_bytes)
        return NAME.fullmatch(self.entry) is not None and len(data) == whole and self.digest == self._digest(data)

    def _digest(self, data: bytes) -> str:
        head = self.model_copy(update={"digest": ""}).to_json().encode()
        return hashlib.blake2b(data, digest_size=16, key=hashlib.sha256(head).digest()).hexdigest()


def pieces_of(folder: Path, piece_bytes: int = PIECE_BYTES) -> Iterator[tuple[PieceHead, bytes]]:
    """The pieces of a committed entry, in order.

    Raises:
        OSError, ValueError, EntryInUseError: it cannot be opened.
        DamagedPieceError: a row is not what was written.
    """
    with contextlib.closing(Entry(folder)) as entry:
        lines, record = entry.lines(), entry.record
        if not np.array_equal(entry.find(np.ascontiguousarray(lines["image"])), np.arange(len(lines))):
            raise DamagedPieceError(f"the entry {folder.name} is not what was written")
        for start, stop in _bounds(lines, max(1, piece_bytes // record.row_bytes)):
            head = PieceHead(entry=folder.name, record=record, start=start, rows=stop - start, total=len(lines))
            data = lines[start:stop].tobytes() + entry.rows(np.arange(start, stop)).tobytes()
            yield head.sealed(data), data


def _bounds(lines: NDArray[np.void], most: int) -> Iterator[tuple[int, int]]:
    """The `(start, stop)` of pieces of whole blocks with at most `most` rows; a larger block is a piece by itself."""
    ends = (np.flatnonzero(lines["follow"] == 0) + 1).tolist()
    start, stop = 0, 0
    for end in ends:
        if end - start > most and stop > start:
            yield start, stop
            start = stop
        stop = end
    if stop > start:
        yield start, stop


class ShardReceiver:
    """Assembles the pieces of any number of shards. Use it as a context manager: incomplete shards are removed.

    Those that it has received stay: no room for another is made by removing them.

    Args:
        store: the cache that receives them.
    """

    def __init__(self, store: CacheStore) -> None:
        self._store = store
        self._open: dict[str, ShardEntry] = {}
        self._received: set[str] = set()
        self._stack = contextlib.ExitStack()

    def accept(self, head: PieceHead, data: bytes) -> bool | None:
        """Append a piece; returns None while its shard is incomplete, and then whether this has committed the shard.

        It is False if another process has committed the shard before. A piece that has come before is ignored.

        Raises:
            DamagedPieceError: the piece is not what was sent, or the one before it is missing.
            NoRoomError: there is no room for the shard.
            OSError: it cannot be written.
        """
        if not head.is_of(data):
            raise DamagedPieceError(f"rows of {head.entry} were damaged on their way")
        if head.entry not in self._open:
            shard, size = head.entry[KEY_DIGITS + 1 :], head.total * head.record.row_bytes
            if size > self._store.most_bytes(beside=self._received):
                raise NoRoomError(
                    f"there is no room in {self._store.folder} beside those that have come: free some of its disk, or "
                    "give another --cache (cache=)"
                )
            made = ShardEntry(self._store, head.record, shard, size)
            self._open[head.entry] = self._stack.enter_context(made)
        entry = self._open[head.entry]
        if head.start > entry.writer.count:
            raise DamagedPieceError(f"rows of {head.entry} were lost on their way")
        if head.start == entry.writer.count:
            _append(entry.writer, head, data)
        if entry.writer.count < head.total:
            return None
        with self._open.pop(head.entry):
            self._received.add(head.entry)
            return entry.commit()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _append(writer: EntryWriter, head: PieceHead, data: bytes) -> None:
    """Append the blocks of a piece, in the same blocks as their extraction did."""
    lines = np.frombuffer(data, INDEX, head.rows)
    rows = np.frombuffer(data, head.record.dtype, offset=lines.nbytes).reshape(head.rows, *head.record.row_shape)
    start = 0
    for stop in (np.flatnonzero(lines["follow"] == 0) + 1).tolist():
        block = lines[start:stop]
        slices = slices_in(block) - writer.count
        writer.append(np.ascontiguousarray(block["image"]), rows[start:stop], slices, cut_off_in(block))
        start = stop
