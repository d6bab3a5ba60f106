"""Where 16 bits are likely to be slow."""

from __future__ import annotations

import pytest

from autofit.config.backbones import Precision
from autofit.config.half_precision import slow_words
from tests.support.machines import make_hardware


@pytest.mark.parametrize(
    ("precision", "capability", "expected"),
    [
        ("mixed_bfloat16", "8.0", ""),
        ("mixed_bfloat16", "10.0", ""),
        ("mixed_bfloat16", None, ""),
        ("mixed_bfloat16", "7.5", "mixed_float16 or float32 is likely to be faster"),
        ("mixed_bfloat16", "6.1", "has 6.1: float32 is likely"),
        ("mixed_float16", "7.0", ""),
        ("mixed_float16", "6.1", "from compute capability 7.0 on, and Card has 6.1: float32"),
        ("float32", "6.0", ""),
    ],
)
def test_a_card_without_the_units_is_named(precision: Precision, capability: str | None, expected: str) -> None:
    """A user of a T4 would wait longer for bfloat16 than for float32, and not know why; or be told so of an A100."""
    card = make_hardware(device="gpu", device_name="Card", compute_capability=capability)
    words = slow_words(precision, card)
    assert expected in words
    assert bool(words) is bool(expected)


def test_a_cpu_is_said_to_be_slow() -> None:
    """A training would take several times as long without a word."""
    assert slow_words("mixed_float16", make_hardware()).startswith("mixed_float16 on a CPU takes more time")
    assert slow_words("float32", make_hardware()) == ""
