"""What `benchmarks/accuracy.py` prints: means with their standard errors, and of how many splits. No TensorFlow."""

from __future__ import annotations

from importlib import import_module
from typing import Any

figures: Any = import_module("accuracy_table")


def _judged(contender: str, split: int, **values: Any) -> Any:
    usual = {"task": "food", "network": "MobileNet, 224 px", "seconds": 9.0, "accuracy": 0.7}
    return figures.Judged(contender=contender, split=split, **(usual | values))


def test_a_cell_is_the_mean_of_its_splits() -> None:
    """The standard error is that of the mean, the seconds are the median."""
    runs = [_judged("autofit", split, accuracy=0.6 + 0.1 * split, seconds=8.0 + split) for split in range(3)]
    lines = figures.table(runs, ["autofit", "the tutorial"]).splitlines()
    assert lines[0] == "| photos | network | autofit |"
    assert lines[2] == "| food | MobileNet, 224 px | 0.700 ± 0.058, 9.0 s |"


def test_a_cell_says_that_it_has_fewer_splits() -> None:
    """One split has no standard error, and a mean of fewer is no equal of the one beside it."""
    runs = [_judged("autofit", 0), _judged("autofit", 1), _judged("the tutorial", 0, seconds=40.0)]
    assert figures.table(runs, ["autofit", "the tutorial"]).splitlines()[2] == (
        "| food | MobileNet, 224 px | 0.700 ± 0.000, 9.0 s | 0.700, 40 s (1) |"
    )


def test_a_contender_that_was_not_run_on_a_set_leaves_its_cell_empty() -> None:
    """A zero there would look like a measurement."""
    runs = [_judged("autofit", 0), _judged("autofit", 0, task="digits"), _judged("the tutorial", 0)]
    assert figures.table(runs, ["autofit", "the tutorial"]).splitlines()[3].endswith("| 0.700, 9.0 s |  |")
