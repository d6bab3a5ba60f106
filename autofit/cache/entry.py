"""Opens an entry of the cache, for reading or for writing, and locks it while it is open."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from autofit.cache import entry_format
from autofit.cache.entry_format import INDEX, EntryRecord, Rows, checksums, lines_with_rows, read_index, seal_of
from autofit.cache.identity import Identities
from autofit.storage.locks import Lock, try_lock
from autofit.storage.safe_files import cut_file, fsync_file, open_plain_unbuffered
from autofit.storage.user_key import is_of_this_user, new_key, read_key

Numbers = NDArray[np.int64]

MAPPED_BYTES = 2**28
"""After so many bytes of an entry's rows were read, their mapped pages are given back to the kernel. They count as
memory of the process and of its cgroup, though the kernel could reclaim them: with a larger entry, a worker would seem
to run short of memory."""
COMPARED_BYTES = 2**26
"""How many bytes of rows are compared with their checksums at once."""


KEY_FILE = ".key"
"""The file beside the entries with the key of the user who has written them. It moves with a cache on a drive."""


class OthersError(OSError):
    """The entry belongs to another user, or others may write it, so its rows cannot be trusted."""


def require_own(folder: Path, *, mode_counts: bool = True) -> None:
    """Check that an entry and its files belong to this user and, with `mode_counts`, that no other user may write them.

    Raises:
        OthersError: they do not.
        OSError: one cannot be opened, or is a link.
    """
    for path in (folder, folder / "entry.json", folder / "index.bin", folder / "rows.bin"):
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not is_of_this_user(file, mode_counts=mode_counts):
                raise OthersError(errno.EPERM, "another user owns or may write it", str(path))
        finally:
            os.close(file)


def _seal(folder: Path, record: EntryRecord, *, for_writing: bool = False) -> int:
    path = folder.parent / KEY_FILE
    key = read_key(path) or (new_key(path) if for_writing else None)
    return seal_of(record, key or b"")


class EntryInUseError(Exception):
    """Another process is writing this entry, or removing it."""


def lock(file: FileIO, *, exclusive: bool) -> None:
    """Lock an entry by its index, until the file is closed. On a drive that cannot lock, there is no lock.

    Raises:
        EntryInUseError: another process holds it.
    """
    try:
        answer = try_lock(file.fileno(), exclusive=exclusive)
    except OSError:
        return
    if answer is Lock.BUSY:
        raise EntryInUseError


class Entry:
    """An entry that is open for reading. Until `close`, no other process removes or writes it.

    `mode_counts` is False where the drive lets everybody write all files, so that a file's mode says nothing.

    Raises:
        OSError, ValueError: it is damaged.
        EntryInUseError: it is being written.
    """

    def __init__(self, folder: Path, *, mode_counts: bool = True) -> None:
        self.folder = folder
        if (folder / "entry.json").is_symlink():
            raise OSError(errno.ELOOP, "a link, and no file of ours", str(folder / "entry.json"))
        require_own(folder, mode_counts=mode_counts)
        self.record = EntryRecord.load(folder / "entry.json", follow_links=False)
        self._seal = _seal(folder, self.record)
        if not self.record.is_sane():
            raise ValueError(f"{folder} has rows of an impossible size")
        self._mapping: mmap.mmap | None = None
        self._touched_bytes = 0
        self._lock_file = open_plain_unbuffered(folder / "index.bin", "rb")
        try:
            lock(self._lock_file, exclusive=False)
            self._index = read_index(self._lock_file)
            self._rows = self._map(folder / "rows.bin")
        except BaseException:
            self._lock_file.close()
            raise
        self._order = np.argsort(self._index["image"][:, 0], kind="stable")
        self._sorted = self._index["image"][self._order, 0]

    def _map(self, path: Path) -> Rows:
        with open_plain_unbuffered(path, "rb") as file:
            self._index = lines_with_rows(self._index, file, self.record)
            shape = (len(self._index), *self.record.row_shape)
            if not len(self._index):
                return np.empty(shape, self.record.dtype)
            self._mapping = mmap.mmap(file.fileno(), len(self._index) * self.record.row_bytes, access=mmap.ACCESS_READ)
            return np.frombuffer(self._mapping, self.record.dtype).reshape(shape)

    def _have_read(self, rows: int) -> None:
        """Count rows that were read; after `MAPPED_BYTES` of them, give their pages back to the kernel."""
        self._touched_bytes += rows * self.record.row_bytes
        if self._touched_bytes > MAPPED_BYTES and self._mapping is not None:
            self._touched_bytes = 0
            with contextlib.suppress(OSError):  # the drive does not support it: the pages stay
                self._mapping.madvise(mmap.MADV_DONTNEED)  # pages of a file are read again when they are needed

    def __len__(self) -> int:
        return len(self._index)

    def find(self, images: Identities, *, verified: bool = True) -> Numbers:
        """The row of each image, int64 (n,); -1 if there is none, or only damaged ones.

        Without `verified`, no row is read: if an image has several rows, the last one is returned, and its reader has
        to check the CRC-32.
        """
        rows = np.full(len(images), -1, np.int64)
        places = np.searchsorted(self._sorted, images[:, 0])
        asked = np.flatnonzero(images.any(axis=1))
        while len(asked := asked[self._begin_alike(places[asked], images[asked])]):
            candidates = self._order[places[asked]]
            good = self._are_good(candidates, images[asked]) if verified else self._are_of(candidates, images[asked])
            rows[asked[good]] = candidates[good]
            asked = asked[~good] if verified else asked
            places[asked] += 1  # the row that replaced a damaged one was appended later
        return rows

    def _begin_alike(self, places: Numbers, images: Identities) -> NDArray[np.bool_]:
        """Whether the image at each place has the same first half of its identity; bool (n,)."""
        inside = places < len(self)
        inside[inside] = self._sorted[places[inside]] == images[inside, 0]
        return inside

    def _are_of(self, rows: Numbers, images: Identities) -> NDArray[np.bool_]:
        return np.asarray((self._index["image"][rows] == images).all(axis=1))

    def _are_good(self, rows: Numbers, images: Identities) -> NDArray[np.bool_]:
        """Whether these rows belong to these images, and are undamaged."""
        good = self._are_of(rows, images)
        numbers = np.flatnonzero(good)
        step = max(1, COMPARED_BYTES // self.record.row_bytes)
        for some in (numbers[start : start + step] for start in range(0, len(numbers), step)):
            lines = self._index[rows[some]]
            good[some] = lines["crc"] == checksums(self._seal, lines, (self._rows[row] for row in rows[some]))
            self._have_read(len(some))
        return good

    def lines(self) -> NDArray[np.void]:
        """The lines of the index, one for each row."""
        return self._index

    def rows(self, numbers: Numbers) -> Rows:
        """A copy of these rows, `(n, *row_shape)`."""
        rows = self._rows[numbers]
        self._have_read(len(numbers))
        return rows

    def slices(self, numbers: Numbers) -> Numbers:
        """The slice of each of these rows, int64 (n,): rows that were computed together have the same number."""
        return entry_format.slices_in(self._index[numbers])

    def used(self) -> None:
        """Record that the entry is used now, so that others are removed before it."""
        try:
            os.utime(self.folder / "entry.json")
        except OSError:  # on a read-only drive no entry is removed anyway
            return

    def held(self) -> int:
        """A descriptor that keeps the lock of this entry after `close`, until it is closed itself."""
        return os.dup(self._lock_file.fileno())  # a lock is that of the open file, of which this is another name

    def close(self) -> None:
        """Close the entry and release its lock, unless it is held."""
        self._lock_file.close()


class RowReader:
    """Reads rows of an entry, one at a time, into given arrays; any number of threads may use it at once.

    Unlike the pages of a mapped file, what is read in this way does not count as memory of this process.

    Raises:
        OSError: the entry's rows cannot be opened.
    """

    def __init__(self, folder: Path, record: EntryRecord) -> None:
        self.folder, self._record, self._seal = folder, record, _seal(folder, record)
        self._file = open_plain_unbuffered(folder / "rows.bin", "rb")

    def read_into(self, row: int, line: NDArray[np.void], out: Rows) -> bool:
        """Read a row into `out`; returns whether it is undamaged.

        Args:
            row: the row's number.
            line: the row's line of the index, (1,).
            out: a C-contiguous array of shape `row_shape`; its content is meaningless if the row is damaged.
        """
        try:
            count = os.preadv(self._file.fileno(), [out.data.cast("B")], row * self._record.row_bytes)
        except OSError:
            return False
        return count == self._record.row_bytes and checksums(self._seal, line, [out]) == [int(line["crc"][0])]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class EntryWriter:
    """Appends to an entry, a new or an existing one. Until `close`, no other process can open it.

    Raises:
        OSError: it cannot be written.
        EntryInUseError: another process reads or writes it.
    """

    def __init__(self, folder: Path, record: EntryRecord) -> None:
        self.folder, self.record = folder, record
        index = folder / "index.bin"
        if not (folder / "entry.json").exists():
            folder.mkdir(0o755, parents=True, exist_ok=True)
            record.save(folder / "entry.json")
        self._seal = _seal(folder, record, for_writing=True)
        with contextlib.ExitStack() as if_it_fails:
            self._index = if_it_fails.enter_context(open_plain_unbuffered(index, "a+b"))
            lock(self._index, exclusive=True)
            if not index.exists():
                raise FileNotFoundError(errno.ENOENT, "removed just now", str(index))
            self._rows = if_it_fails.enter_context(open_plain_unbuffered(folder / "rows.bin", "ab"))
            self._count = self._cut()
            if_it_fails.pop_all()

    @property
    def count(self) -> int:
        """How many rows the entry has."""
        return self._count

    def _cut(self) -> int:
        """Cut off an incomplete block at the end, and return the number of rows."""
        index = lines_with_rows(read_index(self._index), self._rows, self.record)
        cut_file(self._index, index.nbytes)
        cut_file(self._rows, len(index) * self.record.row_bytes)
        return len(index)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(
        self, images: Identities, rows: Rows, slices: Numbers, cut_off: NDArray[np.bool_] | None = None
    ) -> NDArray[np.void]:
        """Append a block; returns its lines of the index.

        Args:
            images: the identities of the rows' images, uint64 (n, 2).
            rows: `(n, *row_shape)`.
            slices: int64 (n,), ascending from 0: rows that were computed together have the same number.
            cut_off: which images are JPEGs that lack their end, bool (n,); None if none is.

        Raises:
            OSError: there is no room, or the disk fails; the entry is as it was before.
        """
        if not len(rows):
            return np.empty(0, INDEX)
        if self._count + len(rows) > entry_format.MAX_ROWS:
            raise OSError(errno.EFBIG, "more rows than an entry can have", str(self.folder))
        data = np.ascontiguousarray(rows, self.record.dtype)
        index = np.zeros(len(data), INDEX)
        index["image"] = images
        index["slice"] = self._count + slices
        if cut_off is not None:
            index["slice"][cut_off] |= entry_format.CUT_OFF
        index["crc"] = checksums(self._seal, index, data)
        index["follow"] = np.arange(len(data))[::-1]
        try:
            _write_all(self._rows, data.tobytes())
            _write_all(self._index, index.tobytes())
        except OSError:
            self._count = self._cut()
            raise
        self._count += len(data)
        return index

    def sync(self) -> None:
        """Sync the entry to the disk, rows first.

        Raises:
            OSError: the disk fails.
        """
        fsync_file(self._rows.fileno())
        fsync_file(self._index.fileno())

    def share(self) -> None:
        """Let others read the entry, but not remove or write it, until this writer is closed; nothing more is appended.

        The lock is not changed atomically: a process that locks the entry in between may remove it.
        """
        with contextlib.suppress(EntryInUseError):
            lock(self._index, exclusive=False)

    def close(self) -> None:
        """Close the files and release the lock."""
        try:
            self._rows.close()
        finally:
            self._index.close()


def _write_all(file: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
