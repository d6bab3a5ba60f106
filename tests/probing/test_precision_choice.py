"""Which precision is taken, by what both were measured to do."""

from __future__ import annotations

from typing import Any

import pytest

from autofit.config.precisions import Precision
from autofit.probing.precision_choice import chosen_precision
from autofit.protocol.precision import PrecisionComparison


def found(**changes: Any) -> PrecisionComparison:
    """Twice as fast, with features that are off by 2 %; or what differs from that."""
    fields = {
        "precision": "mixed_float16",
        "batch_size": 8,
        "images_per_second": 20.0,
        "float32_images_per_second": 10.0,
        "feature_difference": 0.02,
    }
    return PrecisionComparison(**(fields | changes))


CASES: dict[str, tuple[dict[str, Any], Precision, str]] = {
    "faster, and the same": ({}, "mixed_float16", "20.0 images/s, in float32 10.0; features within 2.0% of float32"),
    "and the loss too": ({"loss_difference": 0.001}, "mixed_float16", "features within 2.0%, the loss within 0.1% of"),
    "its own network": (
        {"feature_difference": None, "score_difference": 0.01, "loss_difference": 0.001},
        "mixed_float16",
        "scores within 1.0%, the loss within 0.1%",
    ),
    "hardly faster": ({"images_per_second": 10.9}, "float32", "mixed_float16 is not clearly faster (10.9 images/s"),
    "slower": ({"images_per_second": 1.0}, "float32", "not clearly faster"),
    "not timed": ({"float32_images_per_second": 0.0}, "float32", "not clearly faster"),
    "other features": (
        {"feature_difference": 0.2},
        "float32",
        "features in mixed_float16 differ by 20.0% from float32",
    ),
    "features of no number": ({"feature_difference": float("inf")}, "float32", "differ by inf%"),
    "other scores": (
        {"feature_difference": None, "score_difference": 0.2, "loss_difference": 0.001},
        "float32",
        "scores in mixed_float16 differ by 20.0% from float32, more than 5%",
    ),
    "another loss": ({"loss_difference": 0.3}, "float32", "the loss in mixed_float16 differs by 30.0%"),
    "a loss alone": (
        {"feature_difference": None, "loss_difference": 0.001},
        "float32",
        "no results of mixed_float16 could be compared",
    ),
    "nothing to compare": ({"feature_difference": None}, "float32", "no results of mixed_float16 could be compared"),
}


@pytest.mark.parametrize(("changes", "precision", "why"), CASES.values(), ids=CASES)
def test_16_bits_are_taken_only_where_they_are_faster_and_give_the_same(
    changes: dict[str, Any], precision: Precision, why: str
) -> None:
    """A run would be slower than it has to be, or its model another one than float32 makes."""
    comparison = found(**changes)
    choice = chosen_precision(comparison)
    assert choice.precision == precision
    assert why in choice.why
    assert choice.comparison == comparison
