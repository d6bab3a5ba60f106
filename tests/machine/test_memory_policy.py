"""How much memory a worker may take, and when it stops."""

from __future__ import annotations

import pytest

from autofit.machine.memory_policy import stop_below_bytes, usable_bytes, usable_gpu_bytes


@pytest.mark.parametrize(
    ("available", "expected"),
    [(0, 64 * 2**20), (10**9, 64 * 2**20), (4 * 10**9, 2 * 10**8), (12 * 10**9, 6 * 10**8), (10**12, 10**9)],
)
def test_when_a_worker_stops(available: int, expected: int) -> None:
    """Stopping too early slows the run down for nothing; too late, there is no memory for the commit."""
    assert stop_below_bytes(available) == expected


def test_a_worker_that_takes_all_it_may_does_not_stop() -> None:
    """Else a training that was planned to fill the machine would stop after every step. TensorFlow needs 660 MB."""
    for available in (700 * 10**6, 10**9, 2 * 10**9, 10**10, 10**12):
        assert stop_below_bytes(available) < available - usable_bytes(available)


@pytest.mark.parametrize(
    ("free_mib", "major", "expected_mib"),
    [
        (4_096, 8, 2_083),  # of a card of 4 GB TensorFlow gets about half
        (12_288, 8, 10_275),
        (20_480, 8, 18_467),  # half of an A100 of 40 GB
        (40_000, 9, 37_723),
        (15_360, 7, 13_833),
        (2_000, 8, 1_298),
        (400, 8, 0),
    ],
)
def test_a_gpu_has_what_context_and_system_leave(free_mib: int, major: int, expected_mib: int) -> None:
    """A plan would count on memory that TensorFlow's allocator never gets: by 0.5 GB and more on a card of 12 GB."""
    assert usable_gpu_bytes(free_mib * 2**20, major) // 2**20 == expected_mib


def test_of_an_unknown_gpu_an_eighth_is_left() -> None:
    """A driver that does not tell the generation would end the run."""
    assert usable_gpu_bytes(10 * 10**9, None) == 8_800 * 10**6
    assert usable_gpu_bytes(80 * 10**9, None) == 78 * 10**9
