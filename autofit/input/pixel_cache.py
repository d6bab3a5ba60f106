"""Decoded images, kept for the epochs that follow: a photo is decoded once, and read as it is from then on.

The first epoch fills the cache beside the training, image by image, in the loader's threads. There is no order to keep
and nothing to wait for: a photo is decoded to the same pixels whenever and wherever that happens.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np
import PIL
from numpy.typing import NDArray

from autofit.cache.entry import INDEX, Entry, EntryRecord, EntryWriter, RowReader
from autofit.cache.identity import Identities
from autofit.cache.store import CacheStore, NoRoomError
from autofit.input.decode import RECIPE, decode_into

Row = NDArray[np.uint8]

NOT_THERE = -1


def pixels_record(size: tuple[int, int]) -> EntryRecord:
    """What an entry of decoded images is: RGB of a (height, width), by one recipe of one decoder."""
    recipe = {"kind": "pixels", "decode": RECIPE, "image_size": list(size), "pillow": PIL.__version__}
    return EntryRecord(
        kind="pixels",
        key=hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest(),
        about={"image_size": "x".join(map(str, size))},
        dtype="uint8",
        row_shape=(*size, 3),
        created=time.time(),
    )


class PixelCache:
    """Gives decoded images, out of the cache where they are there, and keeps those that are not.

    Whatever the cache cannot do, the decoder does: no room, a disk that fails, a row that is damaged.

    Args:
        store: where entries are.
        size: (height, width) in pixels.
        images: the identity of each sample, uint64 (n, 2); zeros for one that is not to be kept.
        path_of: from a sample to its file.

    Attributes:
        why_not: why no more is kept, in a few words; empty as long as there is no reason.
    """

    def __init__(
        self, store: CacheStore, size: tuple[int, int], images: Identities, path_of: Callable[[int], str]
    ) -> None:
        self.why_not = ""
        self._record = pixels_record(size)
        self._images, self._path_of = images, path_of
        self._readers: list[RowReader] = []
        self._reader_of = np.full(len(images), NOT_THERE, np.int32)
        self._row_of = np.zeros(len(images), np.int64)
        self._lines = np.zeros(len(images), INDEX)
        self._writer: EntryWriter | None = None
        self._own_reader, self._room = NOT_THERE, 0
        self._lock = threading.Lock()
        entries = store.open_entries(self._record.key, self._record)
        try:
            for entry in entries:
                self._take_in(entry)
        finally:
            for entry in entries:
                entry.close()  # its rows can still be read: their file is open
        if self._missing():
            self._open_writer(store, entries[-1].folder.name if entries else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the entries. Nothing is brought to the disk in haste: what a lost power damages is decoded anew."""
        with self._lock:
            self._stop_keeping("closed")
            for reader in self._readers:
                reader.close()

    @property
    def known(self) -> int:
        """How many images are there."""
        return int((self._reader_of != NOT_THERE).sum())

    @property
    def full_bytes(self) -> int:
        """What the images that are there, and those that will be, take."""
        return (self.known + self._room) * self._record.row_bytes

    def read_into(self, sample: int, out: Row) -> None:
        """Give a decoded image in `out`, uint8 (height, width, 3), C-contiguous; called in many threads.

        Raises:
            UnreadableImageError, MemoryError, OSError: as `decode_into`.
        """
        reader = self._reader_of[sample]
        if reader != NOT_THERE:
            if self._readers[reader].read_into(int(self._row_of[sample]), self._lines[sample : sample + 1], out):
                return
            self._reader_of[sample] = NOT_THERE
        decode_into(self._path_of(sample), out)
        self._keep(sample, out)

    def _missing(self) -> int:
        return int((self._images.any(axis=1) & (self._reader_of == NOT_THERE)).sum())

    def _take_in(self, entry: Entry) -> None:
        """Note which images an entry has; whether a row is undamaged shows when it is read."""
        missing = np.flatnonzero(self._reader_of == NOT_THERE)
        rows = entry.find(self._images[missing], verified=False)
        missing, rows = missing[rows >= 0], rows[rows >= 0]
        if not len(rows):
            return
        with contextlib.suppress(OSError):
            self._readers.append(RowReader(entry.folder, self._record))
            self._lines[missing], self._row_of[missing] = entry.lines()[rows], rows
            self._reader_of[missing] = len(self._readers) - 1
            entry.used()

    def _open_writer(self, store: CacheStore, newest: str | None) -> None:
        """The newest entry, unless somebody else has it, or a new one, for what is missing or as much as has room."""
        row_bytes = self._record.row_bytes
        room = min(self._missing(), store.most_bytes() // row_bytes)
        if not room:
            self.why_not = f"there is no room in {store.folder}"
            return
        try:
            self._writer = store.writer(self._record, newest, room * row_bytes)
            self._readers.append(RowReader(self._writer.folder, self._record))
        except (NoRoomError, OSError) as error:
            self._stop_keeping(str(error))
            return
        self._own_reader, self._room = len(self._readers) - 1, room

    def _keep(self, sample: int, pixels: Row) -> None:
        with self._lock:
            if self._writer is None or not self._room or not self._images[sample].any():
                return
            try:
                line = self._writer.append(self._images[[sample]], pixels[None], np.zeros(1, np.int64))
            except OSError as error:
                self._stop_keeping(str(error))
                return
            self._room -= 1
            self._lines[sample], self._row_of[sample] = line[0], self._writer.count - 1
            self._reader_of[sample] = self._own_reader  # last: other threads look at it first

    def _stop_keeping(self, why: str) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._room, self.why_not = None, 0, why
