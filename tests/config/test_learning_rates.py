"""Learning rates: defaults that do not ruin pretrained weights, and a line about unusual ones."""

from __future__ import annotations

from typing import Any

import pytest

from autofit.config.learning_rates import unusual_rate
from autofit.config.options import make_options


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 1e-3),
        ({"trainable": "all"}, 1e-4),
        ({"trainable": "all", "optimizer": "AdamW"}, 1e-4),
        ({"trainable": "all", "optimizer": "sgd"}, 1e-3),
        ({"trainable": "all", "weights": None}, 1e-3),
        ({"weights": None}, 1e-3),
        ({"model": "json:loads"}, 1e-3),
        ({"trainable": "all", "learning_rate": 1e-3}, 1e-3),  # as the user wants it
        ({"learning_rate": 0.5}, 0.5),
    ],
    ids=str,
)
def test_pretrained_layers_train_at_a_lower_rate_unless_told(given: dict[str, Any], expected: float) -> None:
    """Pretrained weights would be ruined by default, or a rate that was asked for would be ignored."""
    assert make_options(**given).learning_rate == expected


@pytest.mark.parametrize(
    ("optimizer", "rate", "trains_pretrained", "words"),
    [
        ("adam", 1e-3, False, None),
        ("adam", 0.5, False, "far over what is usual with adam (1e-05 to 0.003)"),
        ("adam", 1e-8, False, "far under"),
        ("adam", 5e-3, True, "for all layers of a pretrained network (1e-06 to 0.0003): it may ruin the weights"),
        ("adam", 1e-3, True, None),  # unusual, but not far
        ("sgd", 0.1, False, None),
        ("sgd", 10, False, "far over"),
        ("adadelta", 100, False, None),
    ],
)
def test_a_rate_far_outside_what_is_usual_has_one_line(
    optimizer: str,
    rate: float,
    trains_pretrained: bool,  # noqa: FBT001
    words: str | None,
) -> None:
    """A slip of three digits would show hours later, or each run would begin with a warning."""
    line = unusual_rate(optimizer, rate, trains_pretrained=trains_pretrained)
    assert line is None if words is None else words in str(line)
    assert "\n" not in str(line)
