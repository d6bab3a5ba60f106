"""Writes the entry of a shard under a hidden name, and commits it at once, and once only.

The entry's name follows from the shard. To commit is to rename the hidden folder to that name, which fails if an entry
of that name exists: if two processes have extracted the same shard, the second one discards its rows. Only an entry
without a usable row, such as one whose cache has lost its key, is replaced. An entry without rows is not committed.
"""

from __future__ import annotations

import contextlib
import errno
import secrets
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from autofit.cache.entry import EntryInUseError, EntryWriter
from autofit.cache.entry_format import INDEX, EntryRecord
from autofit.cache.places import KEY_DIGITS, WRITING
from autofit.cache.store import LIMIT_VARIABLE, CacheStore
from autofit.config.byte_size import format_size
from autofit.errors import StorageError, UserError
from autofit.storage.safe_files import fsync_folder

_IS_THERE = {errno.EEXIST, errno.ENOTEMPTY}


class ShardEntry:
    """The entry of a shard while it is written. Use it as a context manager: what is not committed is removed.

    Args:
        store: the cache.
        record: the record of the entry.
        shard: the shard's name.
        expected_bytes: the size that its rows will have.

    Raises:
        NoRoomError: there is no room for it.
        OSError: it cannot be written.
    """

    def __init__(self, store: CacheStore, record: EntryRecord, shard: str, expected_bytes: int) -> None:
        name = self.name_of(record.key, shard)
        store.make_room(expected_bytes)
        self._store = store
        self.path = store.folder / name
        self._hidden = store.folder / f"{WRITING}{name[:-8]}{secrets.token_hex(4)}"
        self.writer = EntryWriter(self._hidden, record)

    @staticmethod
    def name_of(key: str, shard: str) -> str:
        """The name of the entry of a shard."""
        return f"{key[:KEY_DIGITS]}-{shard}"

    @staticmethod
    def is_there(store: CacheStore, key: str, shard: str) -> bool:
        """Whether the entry of a shard is committed."""
        return (store.folder / ShardEntry.name_of(key, shard) / "entry.json").exists()

    def commit(self) -> bool:
        """Commit the entry; returns False if another process has committed this shard before, or if it has no rows.

        Without rows the shard would count as done, though its images may be readable again, or by another process.

        Raises:
            OSError: the disk fails; nothing is committed.
        """
        if not self.writer.count:
            return False
        self.writer.sync()
        return self._takes_its_name() or (
            not is_of_use(self._store, self.path) and self._store.remove(self.path.name) and self._takes_its_name()
        )

    def _takes_its_name(self) -> bool:
        try:
            self._hidden.rename(self.path)
        except OSError as error:
            if error.errno not in _IS_THERE:
                raise
            return False
        fsync_folder(self.path.parent)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            _remove(self._hidden)


def require_room_for_all(store: CacheStore, images: int, row_bytes: int, *, are_kept: bool = True) -> None:
    """Check that the entries of all shards fit into the cache: room for the last would be made by removing the first.

    Args:
        store: the cache.
        images: of all shards.
        row_bytes: the size of a row.
        are_kept: whether this cache keeps all of them; one that sends each away has one at a time on its disk.

    Raises:
        UserError: they exceed the limit of the cache.
        StorageError: they do not fit on the disk, even without all other entries.
    """
    needed_bytes = images * (row_bytes + INDEX.itemsize)
    needed, limit = format_size(needed_bytes), format_size(store.limit_bytes)
    if needed_bytes > store.limit_bytes:
        raise UserError(f"the features take {needed}, and the cache may have {limit}: set {LIMIT_VARIABLE}")
    if are_kept and needed_bytes > (most_bytes := store.most_bytes()):
        raise StorageError(
            f"the features take {needed}, and the disk of {store.folder} has room for {format_size(most_bytes)}: "
            "free some of it, or give another --cache (cache=)"
        )


def is_of_use(store: CacheStore, folder: Path) -> bool:
    """Whether a committed entry has a usable row.

    None is usable if the key of the cache was lost, for example in a copy without hidden files, or if another user has
    written the entry. Earlier versions also committed entries without rows.
    """
    try:
        with contextlib.closing(store.opened(folder)) as entry:
            images = np.ascontiguousarray(entry.lines()["image"])
            return bool((entry.find(images) >= 0).any())
    except EntryInUseError:  # its writer has only just committed it
        return True
    except (OSError, ValueError):
        return False


def _remove(folder: Path) -> None:
    """Remove an entry that was not committed; after a commit there is none of that name."""
    if folder.exists():
        shutil.rmtree(folder)
