"""What `benchmarks/budget.py` draws, reads and judges."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import pytest

budget: Any = import_module("budget")


def test_budgets_are_drawn_by_their_seed_over_the_whole_range() -> None:
    """Two machines would be judged by other budgets, or all of them be long."""
    drawn = budget.budgets(200, 3)
    assert drawn == budget.budgets(200, 3) != budget.budgets(200, 4)
    assert all(10 <= seconds <= 300 for seconds in drawn)
    middle = math.sqrt(10 * 300)
    assert 70 < sum(seconds < middle for seconds in drawn) < 130


@pytest.mark.parametrize(
    ("budget_seconds", "seconds", "kept"),
    [(10, 15.0, True), (10, 15.1, False), (300, 330.0, True), (300, 330.1, False), (300, 20, True)],
)
def test_a_tenth_or_five_seconds_over_is_kept(budget_seconds: float, seconds: float, *, kept: bool) -> None:
    """The benchmark would pass what the promise excludes, or fail what it allows."""
    run = budget.Spent(budget_seconds, seconds, "", 0.5)
    assert run.is_kept is kept
    assert budget.exit_code([run]) == (0 if kept else 1)


def test_the_stages_and_the_accuracy_are_those_of_the_model_that_was_handed_over() -> None:
    """A run whose fine-tuning was cut short would look like a whole one, or be credited with another epoch."""
    result = {
        "history": {"val_accuracy": [0.5, 0.7, 0.6]},
        "best_epoch": 1,
        "stages": [
            {"name": "head", "method": "solved", "epochs": 1, "cut_short": ""},
            {"name": "fine-tune", "method": "epochs", "epochs": 2, "cut_short": "2 of 8 epochs"},
        ],
    }
    run = budget.spent(60.0, 58.0, result)
    assert run == budget.Spent(60.0, 58.0, "head: solved, fine-tune: 2 epochs (2 of 8 epochs)", 0.7)
    assert budget.row(run) == ["60.0", "58.0", "-2.0", "yes", run.stages, "0.700"]
    assert math.isnan(budget.spent(10.0, 9.0, result | {"history": {}}).accuracy)
