"""Which of two models is better."""

from __future__ import annotations

import math

import pytest

from autofit.worker.training.monitored_figure import Figures, is_better


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Figures(0.5, 0.8), None, True),
        (Figures(0.9, 0.8), Figures(0.5, 0.7), True),  # more sure of itself, and more often right
        (Figures(0.4, 0.6), Figures(0.5, 0.7), False),
        (Figures(0.4, 0.7), Figures(0.5, 0.7), True),
        (Figures(0.5, 0.7), Figures(0.5, 0.7), False),
        (Figures(0.4), Figures(0.5, 0.7), True),
        (Figures(0.4, 0.7), Figures(0.5), True),
        (Figures(math.nan, 0.9), Figures(0.5, 0.7), False),
        (Figures(0.5, 0.1), Figures(math.nan, 0.9), True),
    ],
    ids=str,
)
def test_the_more_accurate_model_is_better_and_of_two_alike_the_one_with_less_loss(
    one: Figures, other: Figures | None, *, expected: bool
) -> None:
    """A worse model would be handed over, or a network of NaN."""
    assert is_better(one, other, "auto", by_accuracy=True) is expected


@pytest.mark.parametrize(("monitor", "expected"), [("val_loss", False), ("val_auc", True), ("auto", False)])
def test_what_the_user_names_counts_alone(monitor: str, *, expected: bool) -> None:
    """A figure that improves as it rises would be minimised, or the accuracy overrule it."""
    assert is_better(Figures(0.6, 0.9), Figures(0.5, 0.1), monitor, by_accuracy=False) is expected
