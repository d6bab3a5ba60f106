"""What `benchmarks/environment.py` compares, and the table it prints. No TensorFlow."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

figures: Any = import_module("environment_table")


def _round(number: int, setting: str, speed: float, work: str = "extract", cpu: float = 10.0) -> Any:
    return figures.Round(number, setting, work, 10**9, images_per_second=speed, images_per_cpu_second=cpu)


def test_a_setting_is_compared_within_its_round() -> None:
    """A round that another program has slowed down would decide for one setting or the other."""
    rounds = [
        *[_round(1, "BFC", 100.0), _round(1, "malloc", 50.0, cpu=9.0)],
        *[_round(2, "BFC", 20.0), _round(2, "malloc", 12.0, cpu=8.0)],
        *[_round(3, "BFC", 100.0), _round(3, "malloc", 55.0, cpu=9.0)],
    ]
    assert figures.ratios(rounds, "malloc", "extract") == pytest.approx([0.5, 0.6, 0.55])
    lines = figures.table(rounds).splitlines()
    assert [line.count("|") for line in lines] == [len(figures.HEADER) + 1] * 4
    assert lines[3] == "| malloc | 50.0 | 0.55 (0.50 to 0.60) | 0.90 |  |  |  |"


def test_a_setting_that_fails_is_no_slow_one() -> None:
    """The table would show it as endlessly slow, or the benchmark would end after half an hour."""
    rounds = [_round(1, "BFC", 100.0), figures.Round(1, "BFC, XLA", "extract", 10**9)]
    assert figures.ratios(rounds, "BFC, XLA", "extract") == []
    assert figures.table(rounds).splitlines()[3] == "| BFC, XLA | failed |  |  |  |  |  |"


def test_a_round_without_the_reference_is_left_out() -> None:
    """The setting of one round would be compared with the machine of another."""
    rounds = [_round(1, "BFC", 100.0), _round(1, "malloc", 50.0), _round(2, "malloc", 80.0)]
    assert figures.ratios(rounds, "malloc", "extract") == [0.5]
