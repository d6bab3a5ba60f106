"""Writes the entry of a shard: hidden until it is whole, then there at once, and once only.

The entry's name follows from the shard. To commit is to rename a hidden folder to that name, which fails where an
entry of the name exists: of two processes that have extracted the same shard, the second throws its rows away. But for
an entry of which no row can be used, as where the key of the cache was lost: that one is replaced.
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
from autofit.cache.entry_format import EntryRecord
from autofit.cache.store import KEY_DIGITS, WRITING, CacheStore
from autofit.storage.safe_files import fsync_folder

_IS_THERE = {errno.EEXIST, errno.ENOTEMPTY}


class ShardEntry:
    """The entry of a shard while it is written. Use it as a context manager: what is not committed is removed.

    Args:
        store: the cache.
        record: of the entry.
        shard: the shard's name.
        expected_bytes: of its rows.

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
        """Commit what was written; returns False if another process has committed this shard before.

        Raises:
            OSError: the disk fails; nothing is committed.
        """
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


def is_of_use(store: CacheStore, folder: Path) -> bool:
    """Whether a committed entry has a row that can be used, or none at all, as one of images that cannot be read.

    No row can where the key of the cache was lost, as by a copy without hidden files, or another user has made it.
    """
    try:
        with contextlib.closing(store.opened(folder)) as entry:
            images = np.ascontiguousarray(entry.lines()["image"])
            return not len(images) or bool((entry.find(images) >= 0).any())
    except EntryInUseError:  # its writer has just committed it
        return True
    except (OSError, ValueError):
        return False


def _remove(folder: Path) -> None:
    """Remove what was not committed; after a commit there is nothing of that name."""
    if folder.exists():
        shutil.rmtree(folder)
