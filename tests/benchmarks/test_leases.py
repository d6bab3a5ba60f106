"""The simulation of leases: it ends, repeats itself, and shows what failures cost."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def leases(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, as the script imports."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    sys.modules.pop("leases", None)
    return import_module("leases")


def test_without_failures_the_workers_lose_nothing(leases: ModuleType) -> None:
    """The estimates on paper would rest on a simulation that waits where nobody has to."""
    outcome = leases.simulate(leases.Setting(64, 600.0, 8, hours_between_failures=1e9), 0)
    assert outcome == leases.Outcome(4800.0, 0, 0.0, 0, 1.0)


def test_failures_cost_their_shards_and_nothing_is_committed_twice(leases: ModuleType) -> None:
    """A failure would lose a shard for ever, or a living worker's lease would run out."""
    setting = leases.Setting(256, 600.0, 16, hours_between_failures=2.0)
    outcome = leases.simulate(setting, 1)
    assert outcome == leases.simulate(setting, 1)
    assert outcome.failures > 10
    assert 0 < outcome.lost_seconds <= outcome.failures * 600.0
    assert outcome.twice == 0
    assert outcome.seconds > 256 * 600.0 / 16
