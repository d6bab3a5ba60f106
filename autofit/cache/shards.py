"""Divides images into shards by their identities, so that many processes can share an extraction. Pure.

An identity is a hash, so its first bits are evenly distributed, and an image keeps them when other images are added.
When the data grows, a shard therefore consists of its old images and some new ones, and only the rows of the new ones
are missing.
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
"""The folder of the shards' leases, in the folder of the cache."""

Numbers = NDArray[np.int64]

MOST_SHARDS = 256
"""A training keeps the entry of every shard open, and by default a process may have 1,024 open files."""


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """Some images of an extraction.

    Attributes:
        number: the number of the shard, counted from 0.
        rows: the indices of its images in the data, int64 (n,), sorted by identity, each identity once.
        name: a name that follows from the shard's number and its images.
    """

    number: int
    rows: Numbers
    name: str


def shard_count(images: int, shard_images: int = SHARD_IMAGES) -> int:
    """The number of shards for so many images: a power of two, so that a shard that grows too large is halved."""
    wanted = -(-images // shard_images)
    return min(MOST_SHARDS, 1 << max(0, wanted - 1).bit_length())


def of_part(identities: Identities, part: int, parts: int) -> NDArray[np.bool_]:
    """Which images belong to part `part` of `parts`, bool (n,), by content; parts count from 1, as in `--shard 1/8`."""
    return np.asarray(identities[:, 1] % np.uint64(parts) == np.uint64(part - 1))


def shards_of(identities: Identities, wanted: NDArray[np.bool_], count: int) -> Iterator[Shard]:
    """Divide the wanted images into `count` shards, a power of two; empty shards are left out.

    Equal images are taken once, and images without an identity, which cannot be read, are left out.

    Args:
        identities: of all images, uint64 (n, 2).
        wanted: which of the images are divided, bool (n,).
        count: the number of shards.
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
