"""Images cut into shards by their identities, so that many processes can share an extraction. Pure.

An identity is a hash of content: its first bits are spread evenly, and those of an image stay as they are when others
are added. So a shard of more images is the old one and some new ones, whose rows alone are missing then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autofit.cache.identity import Identities
from autofit.config.shard_choice import SHARD_IMAGES

LEASES = "leases"
"""The folder of the shards' leases in that of the cache."""

Numbers = NDArray[np.int64]

MOST_SHARDS = 256
"""A training keeps each entry open, and a process may have 1,024 open files by default."""


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """Some images of an extraction.

    Attributes:
        number: from 0.
        rows: their numbers in the data, int64 (n,), sorted by identity, each identity once.
        name: follows from the shard's number and its images.
    """

    number: int
    rows: Numbers
    name: str


def shard_count(images: int, shard_images: int = SHARD_IMAGES) -> int:
    """Into how many shards so many images are cut: a power of two, so that a shard that grows is cut in halves."""
    wanted = -(-images // shard_images)
    return min(MOST_SHARDS, 1 << max(0, wanted - 1).bit_length())


def of_part(identities: Identities, part: int, parts: int) -> NDArray[np.bool_]:
    """Which images are of part `part` of `parts`, bool (n,): by content, from 1 as in `--shard 1/8`."""
    return np.asarray(identities[:, 1] % np.uint64(parts) == np.uint64(part - 1))


def shards_of(identities: Identities, wanted: NDArray[np.bool_], count: int) -> Iterator[Shard]:
    """Cut the wanted images into `count` shards, a power of two; empty ones are left out.

    Equal images have one row, and images without an identity, which cannot be read, have none.

    Args:
        identities: of all images, uint64 (n, 2).
        wanted: which of them, bool (n,).
        count: of the shards.
    """
    wanted_rows = np.flatnonzero(wanted & identities.any(axis=1))
    order = np.lexsort((identities[wanted_rows, 1], identities[wanted_rows, 0]))
    rows = wanted_rows[order]
    if len(rows):
        is_new = np.concatenate([[True], (identities[rows[1:]] != identities[rows[:-1]]).any(axis=1)])
        rows = rows[is_new]
    bits = count.bit_length() - 1
    numbers = identities[rows, 0] >> np.uint64(64 - bits) if bits else np.zeros(len(rows), np.uint64)
    bounds = np.searchsorted(numbers, np.arange(count + 1, dtype=np.uint64))
    for number in range(count):
        of_shard = rows[bounds[number] : bounds[number + 1]].astype(np.int64)
        if len(of_shard):
            yield Shard(number, of_shard, shard_name(number, identities[of_shard]))


def shard_name(number: int, identities: Identities) -> str:
    """The name of a shard of these images, as the end of an entry's name."""
    return f"{number:x}-{hashlib.blake2b(np.ascontiguousarray(identities).tobytes(), digest_size=4).hexdigest()}"
