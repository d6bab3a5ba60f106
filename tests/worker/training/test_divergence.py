"""A training that has diverged ends; one that only has a bad epoch goes on."""

from __future__ import annotations

import math

import pytest

from autofit.worker.training.divergence import advice, divergence


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([math.nan], "its loss is nan in epoch 1"),
        ([0.5, math.inf], "its loss is inf in epoch 2"),
        ([1.0, 2.5, 30.0, 400.0], "its loss is 400 in epoch 4 and was 1 in the first"),
        ([1.0, 2.5, 30.0], None),  # not for long
        ([1.0, 1.9, 1.9, 1.9, 1.9], None),  # not far
        ([1.0, 9.0, 9.0, 0.9, 9.0, 9.0], None),  # it came back
        ([1.0, 0.5, 0.4, 0.3], None),
        ([-1.0, 3.0, 3.0, 3.0], None),  # a loss of the user's own has no scale
        ([0.0, 0.1, 0.1, 0.1], None),
    ],
    ids=str,
)
def test_a_training_has_diverged_or_not(losses: list[float], expected: str | None) -> None:
    """Hours would go into a network that cannot come back, or a good training would be ended."""
    assert divergence(losses) == expected


def test_the_advice_names_the_cause_and_the_remedy() -> None:
    """The user would not know which option to change."""
    text = advice("its loss is nan in epoch 1", 0.5)
    assert "its loss is nan" in text
    assert "learning_rate lower than 0.5" in text
    assert "\n" not in text
