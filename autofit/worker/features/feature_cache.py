"""The features of a run's images: in which entries of the cache they lie, and how they are made again.

Rows are looked for in the cache first. `features.json` in the run directory says where the rows of a run lie, and which
images went through the backbone together: what the cache has lost is computed anew in the same way, bit for bit.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from autofit.cache.entry import Entry, EntryRecord, EntryWriter
from autofit.cache.identity import Identities
from autofit.cache.store import CacheStore, NoRoomError
from autofit.storage.records import Record

Numbers = NDArray[np.int64]
Features = NDArray[np.float32]

MOST_SLICES = 2**24
RELATIVE_TOLERANCE = 1e-3
"""How far a kept feature may be from a live one, as a share of the largest: another slice sums in another order."""


class FeaturesRecord(Record):
    """The content of `features.json`.

    Attributes:
        key: of the entries.
        own: the entry that this run writes.
        entries: all entries that the rows are in; empty until there is a row for each readable image.
        slices: `(start, stop)` in samples of what was computed together; empty likewise.
        unreadable: samples that could not be read then.
    """

    schema_: Literal["autofit/features/1"] = Field("autofit/features/1", alias="schema")
    key: str
    own: str
    entries: list[str] = Field(default_factory=list)
    slices: list[tuple[int, int]] = Field(default_factory=list, max_length=MOST_SLICES)
    unreadable: list[int] = Field(default_factory=list, max_length=MOST_SLICES)


def load_features_record(path: Path, key: str) -> FeaturesRecord | None:
    """What a run directory says of its features; None where it says nothing of these, or is damaged."""
    with contextlib.suppress(OSError, ValueError):
        record = FeaturesRecord.load(path)
        if record.key == key:
            return record
    return None


def cache_key(recipe: dict[str, object]) -> str:
    """SHA-256 (hex) of all that features depend on besides their images."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class FeatureRows:
    """A row of features for each sample that can be read: in which entry, and where in it.

    Attributes:
        entries: the entries, opened.
        entry_of: int32 (n,), a place in `entries`; -1 for a sample that could not be read.
        row_of: int64 (n,), a row of that entry.
    """

    entries: Sequence[Entry]
    entry_of: NDArray[np.int32]
    row_of: Numbers

    def known(self) -> NDArray[np.bool_]:
        """Which samples have a row, bool (n,)."""
        return self.entry_of >= 0

    def gather(self, samples: Numbers) -> Features:
        """The features of these samples, float32 `(k, d)`."""
        places = self.entry_of[samples]
        if len(self.entries) == 1:
            return np.asarray(self.entries[0].rows(self.row_of[samples]), np.float32)
        features = np.empty((len(samples), *self.entries[0].record.row_shape), np.float32)
        for place, entry in enumerate(self.entries):
            here = places == place
            features[here] = entry.rows(self.row_of[samples[here]])
        return features

    def slices(self) -> list[tuple[int, int]]:
        """The `(start, stop)` in samples of what was computed together, where it lies side by side."""
        known = np.flatnonzero(self.known())
        if not len(known):
            return []
        together = np.empty((len(known), 2), np.int64)
        together[:, 0] = self.entry_of[known]
        for place, entry in enumerate(self.entries):
            here = together[:, 0] == place
            together[here, 1] = entry.slices(self.row_of[known[here]])
        begins = np.flatnonzero((together[1:] != together[:-1]).any(axis=1)) + 1
        starts = known[np.concatenate([[0], begins])].tolist()
        return list(pairwise([*starts, int(known[-1]) + 1]))

    def close(self) -> None:
        """Let go of the entries."""
        for entry in self.entries:
            entry.close()


def look_up(entries: Sequence[Entry], images: Identities) -> FeatureRows:
    """Find each image in the first entry that has it."""
    entry_of, row_of = np.full(len(images), -1, np.int32), np.full(len(images), -1, np.int64)
    for place, entry in enumerate(entries):
        missing = np.flatnonzero(entry_of < 0)
        rows = entry.find(images[missing])
        found = rows >= 0
        entry_of[missing[found]] = place
        row_of[missing[found]] = rows[found]
        if found.any():
            entry.used()
    return FeatureRows(entries, entry_of, row_of)


@dataclass(frozen=True, slots=True)
class ExtractionChunk:
    """Samples that are decoded together, and how many of them go through the backbone at once; None: as it grows."""

    samples: Numbers
    at_once: int | None


def extraction_chunks(missing: NDArray[np.bool_], block: int, told: FeaturesRecord | None) -> Iterator[ExtractionChunk]:
    """What is to be extracted, in the order of the samples.

    Blocks begin at multiples of `block`, so that an extraction that was interrupted goes on with the same ones. Where
    it is told what was computed together, the whole of it is again, though only a part was lost. What could not be read
    then has no part in that: it may be readable now.
    """
    missing = missing.copy()
    lost = missing.copy()
    lost[[sample for sample in (told.unreadable if told else []) if 0 <= sample < len(lost)]] = False
    for start, stop in told.slices if told else []:
        if 0 <= start < stop <= len(lost) and lost[start:stop].any():
            yield ExtractionChunk(np.arange(start, stop), stop - start)
            missing[start:stop] = False
    for start in range(0, len(missing), block):
        samples = start + np.flatnonzero(missing[start : start + block])
        if len(samples):
            yield ExtractionChunk(samples, None)


class FeatureCache:
    """The rows of a run: found, or made.

    Args:
        store: where entries are.
        record: of a new entry.
        path: `features.json`.
        follow: the same file of a run that is replayed; its rows are used, or made in the same way.
        images: whose, uint64 (n, 2).
    """

    def __init__(
        self, store: CacheStore, record: EntryRecord, path: Path, follow: Path | None, images: Identities
    ) -> None:
        self._store, self._record, self._path, self._images = store, record, path, images
        self._said = load_features_record(path, record.key)
        self._followed = load_features_record(follow, record.key) if follow else None

    def _told(self) -> FeaturesRecord | None:
        """What tells where the rows lie and how they were made: this run's own record, or the one it follows."""
        if self._said and self._said.entries:
            return self._said
        return self._followed

    def find(self) -> FeatureRows:
        """What the cache has: where a record tells, only what it means, as other rows may differ in their last bits."""
        entries = self._store.open_entries(self._record.key, self._record)
        told = self._told()
        allowed = {self._said.own} if self._said else set()
        if told and told.entries:
            allowed |= set(told.entries)
        chosen = [entry for entry in entries if entry.folder.name in allowed] if told else entries
        for entry in entries:
            if entry not in chosen:
                entry.close()
        return look_up(chosen, self._images)

    def pieces(self, rows: FeatureRows, block: int) -> list[ExtractionChunk]:
        """What is missing."""
        return list(extraction_chunks(~rows.known(), block, self._told()))

    def writer(self, missing: int) -> EntryWriter:
        """The entry for what is missing, noted before anything is in it.

        Raises:
            NoRoomError: there is no room for it.
        """
        own = self._said.own if self._said else None
        writer = self._store.writer(self._record, own, missing * self._record.row_bytes)
        try:
            if writer.folder.name != own:
                said = self._said or FeaturesRecord(key=self._record.key, own="")
                self._said = said.model_copy(update={"own": writer.folder.name})
                self._said.save(self._path)
        except OSError as error:
            writer.close()
            raise NoRoomError(str(error)) from error
        return writer

    def note(self, rows: FeatureRows) -> None:
        """Write down where the rows are, once there is one for each image that can be read.

        Raises:
            OSError: it cannot be written.
        """
        told, used = self._told(), np.unique(rows.entry_of[rows.known()])
        said = FeaturesRecord(
            key=self._record.key,
            own=self._said.own if self._said else "",
            entries=[rows.entries[place].folder.name for place in used],
            slices=told.slices if told else rows.slices(),
            unreadable=np.flatnonzero(~rows.known()).tolist(),
        )
        if said != self._said:
            said.save(self._path)
            self._said = said


def is_believable(rows: FeatureRows, live: Iterable[tuple[Numbers, Features]]) -> bool:
    """Whether kept features equal those of live batches, to float tolerance."""
    return all(
        np.abs(rows.gather(samples) - features).max(initial=0.0)
        <= RELATIVE_TOLERANCE * max(float(np.abs(features).max(initial=0.0)), 1e-6)
        for samples, features in live
    )
