"""The cards that an estimate knows by name."""

from __future__ import annotations

import pytest

from autofit.machine.cards import CARDS, MIB, left_to_system_bytes
from tests.support.machines import GB


@pytest.mark.parametrize(
    ("memory_bytes", "major", "left_mib"),
    [
        (10**9, 8, (225, 225)),
        (16 * GB, 7, (1050, 1050)),
        (16 * GB, 12, (1800, 1800)),
        (16 * GB, 5, (500, 500)),
    ],
)
def test_what_is_left_to_the_system_follows_from_the_generation(
    memory_bytes: int, major: int, left_mib: tuple[int, int]
) -> None:
    """A card newer or older than those in the table would be an error, or a small one would have nothing left."""
    assert left_to_system_bytes(memory_bytes, major) == tuple(mib * MIB for mib in left_mib)


def test_of_an_unknown_generation_both_ends_are_told() -> None:
    """An estimate for a GPU without a name would be surer than anyone can be."""
    assert left_to_system_bytes(16 * GB, None) == (500 * MIB, 1800 * MIB)


def test_a_card_has_about_the_memory_in_its_words() -> None:
    """A slip of a digit in the table would make every estimate for that card wrong."""
    for card in CARDS.values():
        nominal = int(card.words.rsplit(", ", 1)[1].removesuffix(" GB"))
        assert 0.93 * nominal <= card.memory_bytes / 2**30 <= nominal, card.name
