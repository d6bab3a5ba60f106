"""Where 16 bits are likely to be slow."""

from __future__ import annotations

import pytest

from autofit.config.half_precision import no_units_words, promising_precision, slow_words
from autofit.config.precisions import Precision
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


@pytest.mark.parametrize(
    ("capability", "expected", "why"),
    [
        ("9.0", "mixed_float16", ""),
        ("7.0", "mixed_float16", ""),
        ("6.1", None, "Card has no units for 16 bits"),
        (None, None, "it is unknown whether Card has units for 16 bits"),
    ],
)
def test_a_card_with_units_for_16_bits_is_promising(
    capability: str | None, expected: Precision | None, why: str
) -> None:
    """Each run on an older card would wait for a comparison that 16 bits cannot win; or none be made on a newer one.

    A user of a card that does not tell would believe that it has no units.
    """
    card = make_hardware(device="gpu", device_name="Card", compute_capability=capability, bfloat16_units=True)
    assert promising_precision(card) == expected
    assert why in no_units_words(card)


def test_a_cpu_is_promising_where_it_has_units_for_bfloat16() -> None:
    """Its float16 is computed in software."""
    assert promising_precision(make_hardware(bfloat16_units=True)) == "mixed_bfloat16"
    assert promising_precision(make_hardware()) is None
    assert "this CPU has no units" in no_units_words(make_hardware())


def test_a_cpu_is_said_to_be_slow() -> None:
    """A training would take several times as long without a word."""
    assert slow_words("mixed_float16", make_hardware()).startswith("mixed_float16 on a CPU takes more time")
    assert slow_words("float32", make_hardware()) == slow_words("auto", make_hardware()) == ""
