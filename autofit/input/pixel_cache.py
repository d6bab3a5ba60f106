"""The pixel cache: a photo is decoded once, and its pixels are read from disk in all later epochs and runs.

The first epoch fills the cache while it trains, image by image, in the loader's threads. They need no order and no
synchronisation: a photo is decoded to the same pixels at any time and in any thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import PIL
from numpy.typing import NDArray

from autofit.cache import identity
from autofit.cache.entry import Entry, EntryInUseError, EntryWriter, RowReader
from autofit.cache.entry_format import INDEX, EntryRecord, cut_off_in
from autofit.cache.identity import Identities
from autofit.cache.store import CacheStore, NoRoomError
from autofit.input.decode import RECIPE, decode_into, lacks_its_end, note_cut_off
from autofit.input.identified_files import IdentifiedFiles
from autofit.input.image_files import DriveError, UnreadableImageError
from autofit.input.numeric_images import NO_RANGES, ValueRanges

Row = NDArray[np.uint8]

NOT_THERE = -1

COMPARED = 8
"""Before an entry is used, this many of its images, drawn at random, are decoded and compared."""

CHECKED_BYTES = 2**26
"""Each time that so many bytes were added, it is checked that the cache is not full: other runs may write it, too."""


def pixels_record(size: tuple[int, int], ranges: ValueRanges = NO_RANGES) -> EntryRecord:
    """The record of an entry of decoded images: RGB of one size, by one recipe and one version of Pillow."""
    recipe: dict[str, object] = {"kind": "pixels", "decode": RECIPE, "image_size": list(size)}
    recipe |= {"identity": identity.RECIPE, "pillow": PIL.__version__}
    if ranges:
        recipe["ranges"] = dict(ranges)
    return EntryRecord(
        kind="pixels",
        key=hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest(),
        about={"image_size": "x".join(map(str, size))},
        dtype="uint8",
        row_shape=(*size, 3),
        created=time.time(),
    )


class PixelCache:
    """Reads decoded images from the cache, and decodes and caches those that it lacks.

    If there is no room, or the disk fails, or a row is damaged, the image is decoded from its file. A damaged row is
    replaced by one that is appended to its entry, if no other process uses that.

    Args:
        store: the cache on disk.
        size: (height, width) in pixels.
        images: the identity of each sample, uint64 (n, 2); zeros for a sample that is not to be cached.
        path_of: from a sample to its file.
        ranges: as in `decode_image`.
        beside: another open cache in the same store, for whose missing images room is kept.
        files: tells which files were changed after they were identified; None if that is not known.

    Attributes:
        why_not: why no more images are cached, in a few words; empty as long as images are cached.
        thrown_away: how many entries were removed because decoding now gives other pixels.
        left_out: for how many images there was no room in the beginning.
    """

    def __init__(
        self,
        store: CacheStore,
        size: tuple[int, int],
        images: Identities,
        path_of: Callable[[int], str],
        ranges: ValueRanges = NO_RANGES,
        beside: PixelCache | None = None,
        files: IdentifiedFiles | None = None,
    ) -> None:
        self.why_not, self.thrown_away, self.left_out = "", 0, 0
        self._store, self._unchecked_bytes = store, 0
        self._record, self._ranges = pixels_record(size, ranges), ranges
        self._images, self._path_of, self._files = images, path_of, files
        self._readers: list[RowReader] = []
        self._reader_of = np.full(len(images), NOT_THERE, np.int32)
        self._row_of = np.zeros(len(images), np.int64)
        self._lines = np.zeros(len(images), INDEX)
        self._writer: EntryWriter | None = None
        self._own_reader, self._room, self._may_reopen = NOT_THERE, 0, True
        self._lock, self._unreadable = threading.Lock(), set[int]()
        self._used: dict[str, int] = {}  # the entries that it reads, by name, and the descriptors that keep their locks
        entries = store.open_entries(self._record.key, self._record)
        try:
            differing = [entry for entry in entries if not self._add_rows_of(entry)]
        finally:
            for entry in entries:
                entry.close()
        for entry in differing:
            self.thrown_away += store.remove(entry.folder.name)
            entries.remove(entry)
        if self._missing():
            own = [*(entry.folder.name for entry in entries if not len(entry)), *self._used]
            self._open_writer(own, beside)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the entries, without fsync: rows that a power failure damages are decoded again."""
        with self._lock:
            self._stop_caching("closed")
            for reader in self._readers:
                reader.close()
            for name in self._used:
                self._release(name)

    @property
    def known(self) -> int:
        """How many images are in the cache."""
        return int((self._reader_of != NOT_THERE).sum())

    @property
    def full_bytes(self) -> int:
        """The size in bytes of all images that are in the cache or will be added."""
        return self.known * self._record.row_bytes + self.missing_bytes

    @property
    def entries(self) -> list[str]:
        """The names of the entries that it reads or writes."""
        return [*self._used, *([self._writer.folder.name] if self._writer else [])]

    @property
    def missing_bytes(self) -> int:
        """The size of the images that will be added."""
        return self._room * self._record.row_bytes

    def read_into(self, sample: int, out: Row) -> None:
        """Write a decoded image into `out`, uint8 (height, width, 3), C-contiguous; called in many threads.

        Raises:
            UnreadableImageError, MemoryError, OSError: as `decode_into`.
        """
        reader = self._reader_of[sample]
        if reader != NOT_THERE:
            line = self._lines[sample : sample + 1]
            if self._readers[reader].read_into(int(self._row_of[sample]), line, out):
                if cut_off_in(line)[0]:
                    note_cut_off(self._path_of(sample))
                return
            self._await_again(sample)
        try:
            decode_into(self._path_of(sample), out, self._ranges)
        except UnreadableImageError as error:
            if not isinstance(error, DriveError):  # which may read it at the next try
                self._leave_out(sample)
            raise
        if self._files is not None and self._files.has_changed(sample):
            self._leave_out(sample)
            return
        self._append(sample, out)

    def _missing(self) -> int:
        return int((self._images.any(axis=1) & (self._reader_of == NOT_THERE)).sum())

    def _add_rows_of(self, entry: Entry) -> bool:
        """Note which images an entry has; whether a row is damaged is checked when it is read.

        Returns:
            Whether a few of the rows equal what decoding gives now; if not, none of the rows is used. Nor is any if all
            of the few are damaged, as where the cache has lost its key.
        """
        missing = np.flatnonzero(self._reader_of == NOT_THERE)
        rows = entry.find(self._images[missing], verified=False)
        missing, rows = missing[rows >= 0], rows[rows >= 0]
        if not len(rows):
            return True
        with contextlib.suppress(OSError):
            self._readers.append(RowReader(entry.folder, self._record))
            self._lines[missing], self._row_of[missing] = entry.lines()[rows], rows
            self._reader_of[missing] = len(self._readers) - 1
            drawn = np.random.default_rng().choice(missing, min(COMPARED, len(missing)), replace=False)
            found = [self._is_as_decoded(sample) for sample in drawn.tolist()]
            if False in found or not any(found):
                self._reader_of[missing] = NOT_THERE
                return False not in found
            entry.used()
            self._used[entry.folder.name] = entry.held()
        return True

    def _is_as_decoded(self, sample: int) -> bool | None:
        """Whether the cached pixels of a sample equal those of its file; None if they are damaged.

        True also if the file cannot be read.
        """
        cached, live = (np.empty(self._record.row_shape, np.uint8) for _ in range(2))
        reader = self._readers[self._reader_of[sample]]
        if not reader.read_into(int(self._row_of[sample]), self._lines[sample : sample + 1], cached):
            return None
        try:
            decode_into(self._path_of(sample), live, self._ranges)
        except (UnreadableImageError, OSError):
            return True
        return np.array_equal(cached, live)

    def _open_writer(self, own: Sequence[str], beside: PixelCache | None) -> None:
        """Open an entry to write the missing images, as many as there is room for beside those that are there.

        It is the last of the entries `own`, or a new one if another process writes that. An entry that has only images
        of other data is not continued: it can be removed to make room.
        """
        row_bytes, missing = self._record.row_bytes, self._missing()
        kept = [*own, *(beside.entries if beside else [])]
        free_bytes = self._store.most_bytes(beside=kept) - (beside.missing_bytes if beside else 0)
        room = min(missing, max(0, free_bytes) // row_bytes)
        self.left_out = missing - room
        if not room:
            self.why_not = f"there is no room in {self._store.folder}"
            return
        if own:
            self._release(own[-1])
        try:
            self._writer = self._store.writer(self._record, own[-1] if own else None, room * row_bytes)
            self._readers.append(RowReader(self._writer.folder, self._record))
        except (NoRoomError, OSError) as error:
            self._stop_caching(str(error))
            return
        self._own_reader, self._room = len(self._readers) - 1, room

    def _release(self, name: str) -> None:
        """Release the lock of an entry, since it is to be written."""
        if (held := self._used.get(name, NOT_THERE)) != NOT_THERE:
            os.close(held)
            self._used[name] = NOT_THERE

    def _await_again(self, sample: int) -> None:
        """Wait for an image whose row is damaged, if it can be appended to an entry."""
        with self._lock:
            reader, self._reader_of[sample] = int(self._reader_of[sample]), NOT_THERE
            if reader != NOT_THERE and not self.why_not and (self._room or self._reopens(reader)):
                self._room += 1

    def _reopens(self, reader: int) -> bool:
        """Open an entry to write again; returns whether no other process uses it.

        It is the entry with the damaged row: there the later of two rows of an image counts.
        """
        if not self._may_reopen or (self._writer is not None and reader != self._own_reader):
            return False
        folder = self._readers[reader].folder
        if self._writer is not None:
            self._writer.close()
        else:
            self._release(folder.name)
        self._writer, self._own_reader = self._store.reopened(self._record, folder.name), reader
        if self._writer is None:
            self._may_reopen = False
            self._hold_again(folder)
        return self._writer is not None

    def _hold_again(self, folder: Path) -> None:
        """Lock an entry again that was released to be written."""
        with contextlib.ExitStack() as opened, contextlib.suppress(OSError, ValueError, EntryInUseError):
            entry = opened.enter_context(contextlib.closing(self._store.opened(folder)))
            self._used[folder.name] = entry.held()

    def _append(self, sample: int, pixels: Row) -> None:
        with self._lock:
            if self._writer is None or not self._room or not self._images[sample].any():
                return
            try:
                cut_off = np.array([lacks_its_end(self._path_of(sample))])
                line = self._writer.append(self._images[[sample]], pixels[None], np.zeros(1, np.int64), cut_off)
            except OSError as error:
                self._stop_caching(str(error))
                return
            self._fill_up()
            self._lines[sample], self._row_of[sample] = line[0], self._writer.count - 1
            self._reader_of[sample] = self._own_reader  # last: other threads look at it first
            self._unchecked_bytes += self._record.row_bytes
            if self._unchecked_bytes >= CHECKED_BYTES:
                self._unchecked_bytes = 0
                if self._store.is_full():
                    self._stop_caching(f"there is no room left in {self._store.folder}")

    def _leave_out(self, sample: int) -> None:
        """Wait no longer for an image that cannot be read, or was changed, unless another can have its place."""
        with self._lock:
            if self._room and not self.left_out and self._images[sample].any() and sample not in self._unreadable:
                self._unreadable.add(sample)
                self._fill_up()

    def _fill_up(self) -> None:
        """Count one image less that is waited for; after the last, let other runs read the entry."""
        self._room -= 1
        if not self._room and self._writer is not None:
            self._writer.share()

    def _stop_caching(self, why: str) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._room, self.why_not = None, 0, why
