"""Pairs of images that look alike, found among very many without comparing all with all. Pure.

Candidates are pairs whose hashes differ in at most one bit within one of four bands of 16 bits. Each pair that differs
in at most 7 of the 64 bits is among them, since one of the four bands then has at most one difference (Norouzi, Punjani
and Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", 2012). Bands that very many images share, because
all show the same background, are not searched completely. Candidates are then compared by their thumbnails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

BANDS, BAND_BITS = 4, 16
MOST_DIFFERENT_BITS = 14
"""Candidates that differ in more bits are not looked at further: other images differ in 32 on average."""
LEAST_CORRELATION, SIMILAR_CORRELATION = 0.93, 0.85
"""The least correlation of the thumbnails of two images that are reported as alike, and of two that count as similar,
as images of the same kind may be."""
STRICT_CORRELATION, CROWDED_SHARE = 0.99, 0.1
"""If more than this share of the images is similar to another one (all show one object on a plain background), only
pairs above the stricter correlation count as alike. The four values were chosen on the data sets of docs/benchmarks.md.
"""
MOST_COMPARED = 10**8
"""The most pairs of hashes that are compared."""
LEAST_COMPARED_OF_AN_IMAGE = 32
PAIRS_AT_ONCE, CORRELATED_AT_ONCE = 2**21, 2**14
KEPT_OF_AN_IMAGE = 64
"""The most pairs per image, on average, that are kept, so that memory is bounded if all images are alike."""


@dataclass(frozen=True, slots=True, eq=False)
class NearPairs:
    """The pairs of images that look alike.

    Attributes:
        pairs: int64 (k, 2), sorted, each pair once with the smaller number first.
        is_crowded: whether so many images are similar that only nearly equal ones are reported.
    """

    pairs: Numbers
    is_crowded: bool


def near_pairs(
    hashes: NDArray[np.uint64],
    thumbnails: NDArray[np.uint8],
    on_progress: Callable[[float], None] = lambda _: None,
) -> NearPairs:
    """Find the pairs of images that look alike.

    Args:
        hashes: uint64 (n,).
        thumbnails: grey, uint8 (n, pixels).
        on_progress: called from time to time with the share of the work that is done.
    """
    count = len(hashes)
    most = max(LEAST_COMPARED_OF_AN_IMAGE, MOST_COMPARED // max(1, count * BANDS * (BAND_BITS + 1)))
    numbers, correlations = np.empty(0, np.int64), np.empty(0, np.float32)
    for share, one, other in _candidates(hashes, most):
        found, how_near = _similar(hashes, thumbnails, one, other)
        numbers, first = np.unique(np.concatenate([numbers, found]), return_index=True)
        correlations = np.concatenate([correlations, how_near])[first]
        if len(numbers) > KEPT_OF_AN_IMAGE * count:
            nearest = np.sort(np.argsort(-correlations, kind="stable")[: KEPT_OF_AN_IMAGE * count])
            numbers, correlations = numbers[nearest], correlations[nearest]
        on_progress(share)
    pairs = np.stack(np.divmod(numbers, max(count, 1)), axis=1)
    merely_similar = pairs[correlations < LEAST_CORRELATION]
    is_crowded = len(np.unique(merely_similar)) > CROWDED_SHARE * count
    alike = correlations >= (STRICT_CORRELATION if is_crowded else LEAST_CORRELATION)
    return NearPairs(pairs[alike], is_crowded)


def _similar(
    hashes: NDArray[np.uint64], thumbnails: NDArray[np.uint8], one: Numbers, other: Numbers
) -> tuple[Numbers, NDArray[np.float32]]:
    """The candidates that are similar, each pair as one number, and their correlations."""
    near = np.bitwise_count(hashes[one] ^ hashes[other]) <= MOST_DIFFERENT_BITS
    low, high = np.minimum(one, other)[near], np.maximum(one, other)[near]
    numbers = np.unique(low * len(hashes) + high)
    low, high = np.divmod(numbers, max(len(hashes), 1))
    parts = (slice(at, at + CORRELATED_AT_ONCE) for at in range(0, len(numbers), CORRELATED_AT_ONCE))
    found = [_correlations(thumbnails[low[part]], thumbnails[high[part]]) for part in parts]
    correlations = np.concatenate([np.empty(0, np.float32), *found])
    similar = correlations >= SIMILAR_CORRELATION
    return numbers[similar], correlations[similar]


def _correlations(some: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The correlation of each thumbnail with that at the same place, float32 (k,); 0 if one is of a single colour."""
    one, other = (pictures - pictures.mean(axis=1, keepdims=True, dtype=np.float32) for pictures in (some, others))
    products: NDArray[np.float32] = np.einsum("ij,ij->i", one, other)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    np.divide(products, lengths, out=products, where=lengths > 0)
    return products


def _candidates(hashes: NDArray[np.uint64], most: int) -> Iterator[tuple[float, Numbers, Numbers]]:
    """Pairs of images whose hashes differ in at most one bit of a band; each image has at most `most` partners.

    Each item begins with the share of the work that is then done.
    """
    for band in range(BANDS):
        keys = ((hashes >> np.uint64(band * BAND_BITS)) & np.uint64(2**BAND_BITS - 1)).astype(np.int64)
        order = np.lexsort((hashes, keys))
        ordered = keys[order]
        for bit in range(-1, BAND_BITS):
            if bit < 0:  # those of the same band
                starts, stops = np.arange(len(order)) + 1, np.searchsorted(ordered, ordered, "right")
            else:
                wanted = np.where(ordered & (1 << bit), -1, ordered | (1 << bit))  # from one of the two only
                starts, stops = (np.searchsorted(ordered, wanted, side) for side in ("left", "right"))
            share = (band * (BAND_BITS + 1) + bit + 2) / (BANDS * (BAND_BITS + 1))
            for one, other in _joined(order, starts, stops, most):
                yield share, one, other


def _joined(order: Numbers, starts: Numbers, stops: Numbers, most: int) -> Iterator[tuple[Numbers, Numbers]]:
    """Each image with those at the places from its start to its stop, in parts."""
    counts = np.minimum(stops - starts, most)
    ends = np.cumsum(counts)
    begin, total = 0, int(counts.sum())
    while begin < len(order) and (done := int(ends[begin - 1]) if begin else 0) < total:
        end = max(begin + 1, int(np.searchsorted(ends, done + PAIRS_AT_ONCE, "right")))
        part = counts[begin:end]
        one = np.repeat(np.arange(begin, end), part)
        offsets = np.arange(len(one)) - np.repeat(np.cumsum(part) - part, part)
        yield order[one], order[np.repeat(starts[begin:end], part) + offsets]
        begin = end
