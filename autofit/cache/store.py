"""The folder of all cache entries: finds those of a key, and makes room by evicting the least recently used ones."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from autofit.cache.entry import Entry, EntryInUseError, EntryWriter, OthersError, lock, require_own
from autofit.cache.entry_format import INDEX, EntryRecord
from autofit.cache.places import KEY_DIGITS, NAME, REMOVING, WRITING, Place, is_ours
from autofit.config.byte_size import format_size, parse_size
from autofit.errors import UserError
from autofit.storage.records import Record
from autofit.storage.safe_files import open_plain_unbuffered
from autofit.storage.system_errors import explained
from autofit.storage.user_key import forces_modes

LIMIT_VARIABLE = "AUTOFIT_CACHE_LIMIT"
DEFAULT_LIMIT_BYTES = 20 * 10**9
LEAST_FREE_BYTES = 10**9
"""The space on the disk that is left free, for checkpoints and the model."""


def default_limit_bytes() -> int:
    """The limit for the size of all entries: the one in `AUTOFIT_CACHE_LIMIT`, else 20 GB.

    Raises:
        UserError: the variable is not a size.
    """
    given = os.environ.get(LIMIT_VARIABLE, "").strip()
    try:
        return parse_size(given) if given else DEFAULT_LIMIT_BYTES
    except UserError as error:
        raise UserError(f"{LIMIT_VARIABLE}: {error}") from None


class EntrySummary(Record):
    """One line of `autofit cache list`."""

    name: str
    kind: str
    about: dict[str, str]
    images: int
    size_bytes: int
    last_used: float


class CacheList(Record):
    """The output of `autofit cache list --json`."""

    schema_: Literal["autofit/cache/1"] = Field("autofit/cache/1", alias="schema")
    folder: str
    limit_bytes: int
    entries: list[EntrySummary]


class NoRoomError(Exception):
    """There is no room for a new entry; the message says why, in a few words."""


class CacheStore:
    """The entries in a folder.

    Args:
        folder: the folder; it is created with the first entry.
        limit_bytes: the limit on the size of all entries; the least recently used ones are evicted.

    Attributes:
        others: how many matching entries were not used, since another user owns them or may write them.
        open_to_all: how many entries were used although everybody may write them, as all files on that drive.
        trouble: the first error of the system that kept an entry from being read or removed; None if there was none.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.others = 0
        self.open_to_all = 0
        self.trouble: OSError | None = None

    def open_entries(self, key: str, like: EntryRecord | None = None) -> list[Entry]:
        """Open the readable entries of a key, oldest first; with `like`, only those with rows of its shape and type."""
        entries = []
        named: list[Path] = []
        with self._noted():
            named = sorted(self.folder.glob(f"{key[:KEY_DIGITS]}-*"))
        for path in named:
            with contextlib.suppress(OSError, ValueError, EntryInUseError):
                if path.is_symlink():  # autofit makes no links: this one leads to a folder of somebody else
                    continue
                try:
                    entry = self.opened(path)
                except OthersError:
                    self.others += 1
                    continue
                if entry.record.key == key and (like is None or entry.record.has_rows_like(like)):
                    entries.append(entry)
                else:
                    entry.close()
        return entries

    def opened(self, path: Path) -> Entry:
        """Open the entry in a folder, which the caller closes; raises as `Entry` does."""
        try:
            return Entry(path)
        except OthersError:
            if not forces_modes(self.folder):
                raise
        entry = Entry(path, mode_counts=False)
        self.open_to_all += 1
        return entry

    def _require_own(self, path: Path) -> None:
        try:
            require_own(path)
        except OthersError:
            if not forces_modes(self.folder):
                raise
            require_own(path, mode_counts=False)

    def others_words(self) -> str:
        """One line about entries that others own or may write; empty if there are none."""
        if self.others:
            where = f"{self.others} entries of the cache in {self.folder}"
            return f"{where} belong to another user, or others may write them: not used"
        if self.open_to_all:
            return (
                f"the drive of the cache in {self.folder} lets everybody write: its entries are used; "
                "if you share it, set AUTOFIT_CACHE to a folder of your own"
            )
        return ""

    def trouble_words(self) -> str:
        """One line about the first error that kept an entry from being read or removed; empty if there was none."""
        return explained(self.trouble, f"a part of the cache in {self.folder} cannot be used") if self.trouble else ""

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        """Suppress an error of the system, and record the first one, unless another process is the cause."""
        try:
            yield
        except (FileNotFoundError, OthersError):
            return
        except OSError as error:
            self.trouble = self.trouble or error

    def make_room(self, expected_bytes: int) -> None:
        """Make room for a new entry.

        Raises:
            NoRoomError: there is none, or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(expected_bytes, None)
        except OSError as error:
            raise NoRoomError(f"{self.folder} cannot be written: {error.strerror or error}") from error

    def writer(self, record: EntryRecord, name: str | None, expected_bytes: int) -> EntryWriter:
        """Open an entry for writing: the one of this name, if it exists and has the same key and rows, else a new one.

        Raises:
            NoRoomError: there is no room for the expected size, or the folder cannot be written.
        """
        with contextlib.ExitStack() as if_there_is_none:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                writer = self.reopened(record, name)
                if writer:
                    if_there_is_none.callback(writer.close)
                self._make_room(expected_bytes, writer.folder if writer else None)
                writer = writer or EntryWriter(self.folder / _new_name(record.key), record)
            except OSError as error:
                raise NoRoomError(f"{self.folder} cannot be written: {error.strerror or error}") from error
            except EntryInUseError as error:
                raise NoRoomError("another process was just clearing the cache") from error
            if_there_is_none.pop_all()
            return writer

    def reopened(self, record: EntryRecord, name: str | None) -> EntryWriter | None:
        """Open the entry of this name for writing; None if there is none with these rows, or a process uses it."""
        if not name or not NAME.fullmatch(name) or (self.folder / name).is_symlink():
            return None
        path = self.folder / name
        with contextlib.suppress(OSError, ValueError, EntryInUseError):
            self._require_own(path)
            there = EntryRecord.load(path / "entry.json", follow_links=False)
            if there.key == record.key and there.has_rows_like(record):
                return EntryWriter(path, there)
        return None

    def _make_room(self, expected_bytes: int, reopened: Path | None) -> None:
        """Remove the least recently used entries until there is room; none if all that can go would not be enough."""
        places = sorted(self._places(), key=lambda place: place.last_used)
        taken = sum(place.size_bytes for place in places)
        # without the one that is open, which could be removed on a drive without locks
        removable = [place for place in places if place.path != reopened]
        self._require_room_without(expected_bytes, taken, removable)
        chosen = self._enough_of(removable, expected_bytes, taken)
        self._require_room_without(expected_bytes, taken, chosen)
        taken -= sum(place.size_bytes for place in chosen if self._remove(place.path))
        self._require_room_without(expected_bytes, taken, [])

    def _enough_of(self, removable: Sequence[Place], expected_bytes: int, taken: int) -> list[Place]:
        """The first entries without which there is room; those that a process uses are left out."""
        chosen: list[Place] = []
        freed, free = 0, self._free_bytes()
        for place in removable:
            if not self._lack_of_room(expected_bytes, taken - freed, free + freed):
                break
            with contextlib.ExitStack() as open_files:
                if self._is_locked(place.path, open_files):
                    chosen.append(place)
                    freed += place.size_bytes
        return chosen

    def most_bytes(self, beside: Collection[str] = ()) -> int:
        """The largest possible size of a new entry, if all others but those `beside` it, by name, were removed."""
        places = self._places()
        kept = sum(place.size_bytes for place in places if place.path.name in beside)
        removable = sum(place.size_bytes for place in places) - kept
        return max(0, min(self.limit_bytes - kept, self._free_bytes() + removable - LEAST_FREE_BYTES))

    def is_full(self) -> bool:
        """Whether all entries exceed the limit or the disk is short of space, as where several processes write."""
        taken = sum(place.size_bytes for place in self._places())
        return bool(self._lack_of_room(0, taken, self._free_bytes()))

    def _require_room_without(self, expected_bytes: int, taken: int, removed: Sequence[Place]) -> None:
        """Check that there is room once these entries are removed, of all that have `taken` bytes.

        Raises:
            NoRoomError: there is not.
        """
        removed_bytes, free = sum(place.size_bytes for place in removed), self._free_bytes()
        rest, expected = taken - removed_bytes, format_size(expected_bytes)
        lacking = self._lack_of_room(expected_bytes, rest, free + removed_bytes)
        if lacking == "limit":
            limit, in_use = format_size(self.limit_bytes), f" with {format_size(rest)} in use" if rest else ""
            raise NoRoomError(f"it would take {expected}, and the cache may have {limit}{in_use}: set {LIMIT_VARIABLE}")
        if lacking == "disk":
            raise NoRoomError(f"it would take {expected}, and the disk has {format_size(free)} free")

    def _lack_of_room(self, expected_bytes: int, taken: int, free: int) -> Literal["limit", "disk", ""]:
        """What has no room for a new entry beside others of `taken` bytes, with `free` bytes on the disk."""
        if taken + expected_bytes > self.limit_bytes:
            return "limit"
        return "disk" if free < expected_bytes + LEAST_FREE_BYTES else ""

    def _free_bytes(self) -> int:
        try:
            there = next(path for path in (self.folder, *self.folder.parents) if path.exists())
            return shutil.disk_usage(there).free  # the folder is created with the first entry
        except OSError:  # the drive does not tell: a write that finds no room ends the caching, not the run
            return sys.maxsize

    def listing(self) -> CacheList:
        """All entries, the most recently used first."""
        entries = [summary for place in self._places() if (summary := self._summary(place)) is not None]
        entries.sort(key=lambda entry: -entry.last_used)
        return CacheList(folder=str(self.folder), limit_bytes=self.limit_bytes, entries=entries)

    def records(self) -> list[EntryRecord]:
        """The record of each entry, the most recently used first."""
        found = []
        for place in sorted(self._places(), key=lambda place: -place.last_used):
            with contextlib.suppress(ValueError), self._noted():
                found.append(EntryRecord.load(place.path / "entry.json", follow_links=False))
        return found

    def clear(self) -> tuple[int, int]:
        """Remove the entries that no process uses now; returns how many entries and bytes were removed."""
        removed = [place.size_bytes for place in self._places() if self._remove(place.path)]
        return len(removed), sum(removed)

    def remove(self, name: str) -> bool:
        """Remove an entry, unless a process uses it; returns whether it was removed."""
        return NAME.fullmatch(name) is not None and self._remove(self.folder / name)

    def _places(self) -> list[Place]:
        """The folders in the cache that autofit has made: entries, and what interrupted removals have left."""
        places = []
        with self._noted():
            for path in self.folder.iterdir():
                with self._noted():
                    if is_ours(path):
                        places.append(Place.at(path))
        return places

    def _summary(self, place: Place) -> EntrySummary | None:
        with contextlib.suppress(ValueError), self._noted():
            record = EntryRecord.load(place.path / "entry.json", follow_links=False)
            images = (place.path / "index.bin").stat().st_size // INDEX.itemsize
            return EntrySummary(
                name=place.path.name,
                kind=record.kind,
                about=record.about,
                images=images,
                size_bytes=place.size_bytes,
                last_used=place.last_used,
            )
        return None

    def _remove(self, path: Path) -> bool:
        """Remove an entry unless a process uses it; returns whether it was removed."""
        with contextlib.ExitStack() as open_files, self._noted():
            if self._is_locked(path, open_files):
                if not path.name.startswith(REMOVING):
                    hidden = path.with_name(f"{REMOVING}{path.name.removeprefix(WRITING)}")
                    path.rename(hidden)  # so that no process opens an entry of which files are missing
                    path = hidden
                shutil.rmtree(path)
                return True
        return False

    def _is_locked(self, path: Path, open_files: contextlib.ExitStack) -> bool:
        """Lock an entry for as long as `open_files` are open; returns False if a process uses it, or it cannot be."""
        with contextlib.suppress(EntryInUseError), self._noted():
            # the index is created if it is missing, as a writer would do
            index = open_files.enter_context(open_plain_unbuffered(path / "index.bin", "a+b"))
            lock(index, exclusive=True)
            return True
        return False


def _new_name(key: str) -> str:
    return f"{key[:KEY_DIGITS]}-{time.time_ns():x}-{secrets.token_hex(4)}"
