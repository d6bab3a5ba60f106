"""The rows of images in one or several entries of the cache, found by the identities of the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from autofit.cache.entry import Entry
from autofit.cache.identity import Identities

Numbers = NDArray[np.int64]
Features = NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class FeatureRows:
    """A row of features for each view whose image can be read: in which entry, and where in it.

    No other process removes or changes the entries until `close`.

    Attributes:
        entries: the entries, opened and locked.
        entry_of: int32 (n,), a place in `entries`; -1 where there is no row.
        row_of: int64 (n,), a row of that entry.
    """

    entries: Sequence[Entry]
    entry_of: NDArray[np.int32]
    row_of: Numbers

    def known(self) -> NDArray[np.bool_]:
        """Which rows there are, bool (n,)."""
        return self.entry_of >= 0

    def gather(self, numbers: Numbers) -> Features:
        """The features of these rows, `(k, *row_shape)` of the entries' type."""
        places = self.entry_of[numbers]
        if len(self.entries) == 1:
            return cast("Features", self.entries[0].rows(self.row_of[numbers]))
        record = self.entries[0].record
        features = np.empty((len(numbers), *record.row_shape), record.dtype)
        for place, entry in enumerate(self.entries):
            here = places == place
            features[here] = entry.rows(self.row_of[numbers[here]])
        return features

    def slices(self) -> list[tuple[int, int]]:
        """The `(start, stop)` of the rows that were computed together and are neighbours."""
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
        """Close the entries and release their locks."""
        for entry in self.entries:
            entry.close()


def look_up(entries: Sequence[Entry], identities: Identities) -> FeatureRows:
    """Find each row in the first entry that has it."""
    entry_of, row_of = np.full(len(identities), -1, np.int32), np.full(len(identities), -1, np.int64)
    for place, entry in enumerate(entries):
        missing = np.flatnonzero(entry_of < 0)
        rows = entry.find(identities[missing])
        found = rows >= 0
        entry_of[missing[found]] = place
        row_of[missing[found]] = rows[found]
        if found.any():
            entry.used()
    return FeatureRows(entries, entry_of, row_of)


@dataclass(frozen=True, slots=True)
class CachedRows:
    """Rows of the cache as an array that is read in parts: the source that heads are solved on."""

    rows: FeatureRows

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""
        return len(self.rows.entry_of), *self.rows.entries[0].record.row_shape

    def __getitem__(self, rows: Any, /) -> Any:
        """The features of these rows, float32 (k, d)."""
        return self.rows.gather(np.asarray(rows, np.int64))
