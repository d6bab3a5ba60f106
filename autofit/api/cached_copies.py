"""Finds copies of images by their features in the cache, from any earlier run; no network is loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autofit.cache.entry_format import EntryRecord
from autofit.cache.feature_rows import CachedRows, FeatureRows, look_up
from autofit.cache.folder import default_folder
from autofit.cache.identity import Identities, identities_of
from autofit.cache.store import CacheStore, default_limit_bytes
from autofit.machine import hardware
from autofit.printable import printable
from autofit.report.views import ProgressView
from autofit.report.words import count_of
from autofit.worker.features.alike_rows import RIVAL, alike_rows
from autofit.worker.features.head_rows import labelled_rows
from autofit.worker.features.neighbours import BLOCK_ROWS

LEAST_IMAGES = RIVAL + 1
"""With fewer images, an image has no fourth neighbour with whose distance that of a copy is compared."""


BY_CACHE = "Copies were looked for by the features of {network} too, which the cache has of {images}"


class CachedCopies(NamedTuple):
    """Pairs of images with nearly equal features, int64 (k, 2), and a note on the search; empty without a search."""

    pairs: NDArray[np.int64]
    note: str


def cached_copies(paths: Sequence[str], view: ProgressView) -> CachedCopies:
    """Find images with nearly equal features among those whose features are in the cache.

    Where the cache has features of several networks, those of the network with the most of these images are used; among
    equals, the network that was used last.

    Args:
        paths: absolute.
        view: shows the progress.

    Returns:
        The pairs, as places in `paths`.
    """
    store = CacheStore(default_folder(), default_limit_bytes())
    by_key: dict[str, EntryRecord] = {}
    for record in filter(_can_tell, store.records()):
        by_key.setdefault(record.key, record)
    if by_key:
        identities = _identities(paths, view)
        counted = [(_count(store, record, identities), record) for record in by_key.values()]
        _, record = max(counted, key=lambda one: one[0])
        with contextlib.closing(look_up(store.open_entries(record.key, record), identities)) as rows:
            if rows.known().sum() >= LEAST_IMAGES:
                return _alike(rows, record, view)
    return CachedCopies(np.empty((0, 2), np.int64), "")


def _can_tell(record: EntryRecord) -> bool:
    """Whether the rows are features of a whole pretrained backbone, one vector per image."""
    is_trained = record.about.get("weights", "none") != "none"
    return record.kind == "features" and is_trained and len(record.row_shape) == 1 and record.dtype == "float32"


def _identities(paths: Sequence[str], view: ProgressView) -> Identities:
    done = 0

    def note() -> None:
        nonlocal done
        done += 1
        view.working("Reading files", done, len(paths))

    return identities_of(paths, "stat", note)


def _count(store: CacheStore, record: EntryRecord, identities: Identities) -> int:
    """How many images have a row in the entries of this record; the rows are not read."""
    found = np.zeros(len(identities), np.bool_)
    for entry in store.open_entries(record.key, record):
        with contextlib.closing(entry):
            found |= entry.find(identities, verified=False) >= 0
    return int(found.sum())


def _alike(rows: FeatureRows, record: EntryRecord, view: ProgressView) -> CachedCopies:
    known = np.flatnonzero(rows.known())
    done = 0

    def note() -> bool:
        nonlocal done
        done += BLOCK_ROWS
        view.working("Comparing features", min(done, len(known)), len(known))
        return True

    compared = labelled_rows(CachedRows(rows), np.zeros(len(rows.entry_of), np.int64)).of(known)
    pairs = alike_rows(compared, threads=max(1, hardware.detect().cores), goes_on=note)
    network = record.about.get("backbone") or "a network"
    return CachedCopies(known[pairs], BY_CACHE.format(network=printable(network), images=count_of(len(known), "image")))
