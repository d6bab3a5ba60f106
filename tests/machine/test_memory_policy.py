"""How much memory a worker may take, and when it stops."""

from __future__ import annotations

import pytest

from autofit.machine.memory_policy import stop_below_bytes, usable_bytes


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
