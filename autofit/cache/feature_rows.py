"""The rows of images in one or several entries of the cache, found by the identities of the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from autofit.cache.entry import Entry
from autofit.cache.entry_format import cut_off_in
from autofit.cache.identity import Identities

Numbers = NDArray[np.int64]
Features = NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class FeatureRows:
    """Where the features of images, or of views of images, are stored: for each, the entry and the row in it.

    No other process can remove or change the entries until `close`.

    Attributes:
        entries: the entries, opened and locked.
        entry_of: int32 (n,), an index into `entries`; -1 if there is no row, as for an image that cannot be read.
        row_of: int64 (n,), the row in that entry.
    """

    entries: Sequence[Entry]
    entry_of: NDArray[np.int32]
    row_of: Numbers

    def known(self) -> NDArray[np.bool_]:
        """Which of the n have a row, bool (n,)."""
        return self.entry_of >= 0

    def gather(self, numbers: Numbers) -> Features:
        """The features of these k numbers, `(k, *row_shape)`, in the dtype of the entries."""
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
        """The `(start, stop)` of each run of neighbouring rows that were computed together."""
        known = np.flatnonzero(self.known())
        if not len(known):
            return []
        rows = self._own_rows(known)
        has_own, together = rows >= 0, np.empty((len(known), 2), np.int64)
        together[:, 0] = self.entry_of[known]
        for place, entry in enumerate(self.entries):
            here = has_own & (together[:, 0] == place)
            together[here, 1] = entry.slices(rows[here])
        together = together[_latest(has_own)]  # an equal image without a row of its own parts no others
        begins = np.flatnonzero((together[1:] != together[:-1]).any(axis=1)) + 1
        starts = known[np.concatenate([[0], begins])].tolist()
        return list(pairwise([*starts, int(known[-1]) + 1]))

    def _own_rows(self, known: Numbers) -> Numbers:
        """The row that was computed from each of these numbers' own image, int64 (n,); -1 if there is none.

        Equal images are all found at the same row. Each was computed in its place: its own row comes after that of the
        image before it.
        """
        entry_of, found, places = self.entry_of[known], self.row_of[known], np.arange(len(known))
        keys = entry_of.astype(np.int64) * (int(found.max()) + 1) + found
        _, first, which, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        is_shared = counts[which] > 1
        before = _latest(~is_shared)
        expected = found[before] + places - before
        rows = np.where(is_shared & (first[which] != places), -1, found)
        for place, entry in enumerate(self.entries):
            images = entry.lines()["image"]
            here = np.flatnonzero(is_shared & (entry_of == place) & (entry_of[before] == place))
            here = here[expected[here] < len(images)]
            here = here[(images[expected[here]] == images[found[here]]).all(axis=1)]
            rows[here] = expected[here]
        return rows

    def cut_off(self) -> Numbers:
        """The numbers whose images are JPEGs that lack their end, int64 (k,)."""
        is_cut_off = np.zeros(len(self.entry_of), np.bool_)
        for place, entry in enumerate(self.entries):
            here = self.entry_of == place
            is_cut_off[here] = cut_off_in(entry.lines()[self.row_of[here]])
        return np.flatnonzero(is_cut_off)

    def close(self) -> None:
        """Close the entries and release their locks."""
        for entry in self.entries:
            entry.close()


def _latest(chosen: NDArray[np.bool_]) -> Numbers:
    """For each place the last one up to it that is chosen, int64 (n,); 0 if none is."""
    return np.maximum.accumulate(np.where(chosen, np.arange(len(chosen)), 0))


def look_up(entries: Sequence[Entry], identities: Identities) -> FeatureRows:
    """Find the row of each image in the first entry that has one."""
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
    """Rows of the cache as an array (n, d) that is read in parts, on which heads are solved."""

    rows: FeatureRows

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""
        return len(self.rows.entry_of), *self.rows.entries[0].record.row_shape

    def __getitem__(self, rows: Any, /) -> Any:
        """The features of these rows, float32 (k, d)."""
        return self.rows.gather(np.asarray(rows, np.int64))
