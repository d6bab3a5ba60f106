"""Another program takes memory of the GPU: the size for what is left, over simulated devices."""

from __future__ import annotations

import random

import pytest

from autofit.probing.records import MemoryModelRecord
from autofit.runs.squeeze import host_squeeze, squeeze
from tests.support.records import make_probe_report

GB = 10**9


@pytest.mark.parametrize("seed", range(50))
def test_the_size_for_what_is_left_fits_and_is_no_blind_half(seed: int) -> None:
    """A card that lost a tenth would train with half of its images, and one that lost most run out again and again."""
    chance = random.Random(seed)
    total, image, base = chance.uniform(4, 80) * GB, chance.uniform(1, 100) * 1e6, chance.uniform(0.2, 1) * GB
    largest = int((0.88 * total - base) // image)
    line = MemoryModelRecord(base_bytes=base, bytes_per_image=image, max_relative_error=0.02)
    probe = make_probe_report(largest, largest).model_copy(update={"memory_model": line})
    free = int(chance.uniform(0.4, 0.95) * total)
    found = squeeze("someone", free, int(0.88 * total), probe, chance.choice([None, 7, 8, 9]))
    assert found.size is not None
    assert found.limit_bytes <= free
    true_most = (found.limit_bytes - base) / image
    assert found.size <= max(1, true_most)
    if true_most > 1:
        kept = 0.95 * found.limit_bytes - 300e6 - base
        assert found.size >= min(largest, int(kept / image))


def test_the_least_is_one_image() -> None:
    """Less than none would be asked for."""
    line = MemoryModelRecord(base_bytes=2 * GB, bytes_per_image=1e7, max_relative_error=0.0)
    probe = make_probe_report(64, 64).model_copy(update={"memory_model": line})
    assert squeeze("someone", GB, 8 * GB, probe, None).size == 1


def test_without_a_line_nothing_is_said_of_sizes() -> None:
    """A guess would be taken for what was measured."""
    assert squeeze("someone", GB, 8 * GB, None, None).size is None
    assert (
        squeeze("someone", GB, 8 * GB, make_probe_report(64, 64).model_copy(update={"memory_model": None}), None).size
        is None
    )
    wrong = MemoryModelRecord(base_bytes=0, bytes_per_image=1e7, max_relative_error=3.1)
    probe = make_probe_report(64, 64).model_copy(update={"memory_model": wrong})
    assert squeeze("someone", GB, 8 * GB, probe, None).size is None


@pytest.mark.parametrize(
    ("available", "limit", "expected"),
    [(20, 8, None), (4, 8, 26), (2, 8, 8), (1, 8, 1), (4, 3.5, None)],
    ids=["enough", "half", "less", "nothing", "a limit below it"],
)
def test_what_others_leave_of_the_host_holds_so_many_images(available: float, limit: float, expected: int) -> None:
    """A training would yield again and again under a neighbour that stays, or shrink where none was."""
    line = MemoryModelRecord(base_bytes=GB, bytes_per_image=1e8, max_relative_error=0.0)
    probe = make_probe_report(64, 64).model_copy(update={"memory_model": line, "headroom_bytes": 0.0})
    found = host_squeeze("someone", int(available * GB), int(limit * GB), probe)
    assert (found and found.size) == expected
    if found:
        assert found.limit_bytes == limit * GB
        assert found.size == 1 or 1e9 + 1e8 * (found.size or 0) <= 0.9 * available * GB
        assert host_squeeze("someone", int(available * GB), int(limit * GB), None) is not None
