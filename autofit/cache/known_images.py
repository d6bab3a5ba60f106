"""A file that lists the images with rows in a cache, for a machine that has no access to that cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autofit.cache.identity import Identities
from autofit.cache.store import CacheStore

Known = Mapping[str, Identities]
"""The identities of the images, uint64 (n, 2), by the key of their entries."""

_WHOLE = np.dtype([("first", "<u8"), ("second", "<u8")])


def images_with_features(store: CacheStore, about: Mapping[str, str]) -> Known:
    """The images with undamaged rows of features, from entries whose description contains `about`.

    Args:
        store: the cache.
        about: what the description of an entry (`EntryRecord.about`) has to contain. Networks with other weights may
            have the same description; their entries have other keys.
    """
    found: dict[str, list[Identities]] = {}
    records = [record for record in store.records() if record.kind == "features"]
    for key in sorted({record.key for record in records if about.items() <= record.about.items()}):
        for entry in store.open_entries(key):
            images = np.ascontiguousarray(entry.lines()["image"])
            found.setdefault(key, []).append(images[entry.find(images) >= 0])
            entry.close()
    return {key: np.concatenate(parts) for key, parts in found.items()}


def write_known(path: Path, known: Known) -> None:
    """Write the identities to a file that `known_of` reads.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("wb") as file:
        arrays: dict[str, Any] = dict(known)
        np.savez(file, **arrays)


def known_of(path: Path, key: str, images: Identities) -> NDArray[np.bool_]:
    """Which of these images have rows with this key, according to the file; bool (n,).

    Raises:
        OSError, ValueError: it cannot be read.
    """
    with np.load(path, allow_pickle=False) as file:
        if key not in file:
            return np.zeros(len(images), np.bool_)
        there = np.ascontiguousarray(file[key], np.uint64)
    return np.isin(_whole(images), _whole(there))


def _whole(images: Identities) -> NDArray[np.void]:
    """Each identity as one value that can be compared."""
    return np.ascontiguousarray(images).view(_WHOLE).reshape(len(images))
