"""Pairs of images that look alike, found without comparing all with all."""

from __future__ import annotations

import time

import numpy as np
import pytest

from autofit.dataset import near_pairs as searching
from autofit.dataset.near_pairs import near_pairs

PIXELS = 256


def others(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Hashes and pictures of images that have nothing in common."""
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 2**64, count, dtype=np.uint64)
    return hashes, random.integers(0, 256, (count, PIXELS), dtype=np.uint8)


def flipped(value: np.uint64, bits: list[int]) -> np.uint64:
    """A hash with some bits changed."""
    for bit in bits:
        value ^= np.uint64(1) << np.uint64(bit)
    return value


@pytest.mark.parametrize("different", range(8))
def test_each_pair_that_differs_in_up_to_seven_bits_is_found(different: int) -> None:
    """A copy would be missed by where its bits happen to differ."""
    hashes, pictures = others(400)
    random = np.random.default_rng(different)
    for copy in range(200):
        bits = random.permutation(64)[:different].tolist()
        hashes[200 + copy], pictures[200 + copy] = flipped(hashes[copy], bits), pictures[copy]
    found = near_pairs(hashes, pictures)
    assert found.pairs.tolist() == [[copy, 200 + copy] for copy in range(200)]
    assert not found.is_crowded


def test_equal_bits_with_another_picture_are_no_pair() -> None:
    """Images that are alike in their coarsest features only would be told as copies."""
    hashes, pictures = others(50)
    hashes[1], hashes[3], pictures[3] = hashes[0], hashes[2], pictures[2]
    assert near_pairs(hashes, pictures).pairs.tolist() == [[2, 3]]


def test_where_all_images_are_similar_only_nearly_equal_ones_are_told() -> None:
    """Each pair of handwritten ones would be told as copies."""
    hashes, pictures = others(100)
    hashes[:] = hashes[0]
    noise = np.random.default_rng(1).integers(-40, 41, pictures.shape)
    pictures[:] = np.clip(pictures[0].astype(int) + noise, 0, 255)
    pictures[7] = pictures[3]
    found = near_pairs(hashes, pictures)
    assert found.is_crowded
    assert found.pairs.tolist() == [[3, 7]]


@pytest.mark.slow
def test_the_work_is_bounded_where_all_hashes_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set of 100,000 nearly equal images would be compared for days."""
    monkeypatch.setattr(searching, "MOST_COMPARED", 10**6)
    hashes, pictures = others(20_000)
    hashes[:] = hashes[0]
    compared = sum(len(one) for _, one, _ in searching._candidates(hashes, 32))
    assert compared <= 4 * 32 * len(hashes)
    begun = time.monotonic()
    near_pairs(hashes[:2_000], pictures[:2_000])
    assert time.monotonic() - begun < 60


def test_progress_comes_to_its_end_and_no_images_are_no_pairs() -> None:
    """A bar would stay where it is, or an empty folder end in a traceback."""
    told: list[float] = []
    hashes, pictures = others(300)
    hashes[1] = hashes[0]
    near_pairs(hashes, pictures, told.append)
    assert told == sorted(told)
    assert 0 < told[-1] <= 1
    assert near_pairs(hashes[:0], pictures[:0]).pairs.tolist() == []
