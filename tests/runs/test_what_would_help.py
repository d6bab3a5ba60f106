"""The words about a network of which not even one image fits."""

from __future__ import annotations

import pytest

from autofit.config.rungs import KEPT, Rung
from autofit.runs.what_would_help import advice, tried_words


@pytest.mark.parametrize(
    ("segments", "words"),
    [
        ([], ""),
        ([0], ""),
        ([0, 8], ", nor with activations computed again in 8 segments"),
        ([0, 16, 4, 8], ", nor with activations computed again in 4, 8 or 16 segments"),
    ],
    ids=str,
)
def test_the_rungs_are_named_in_order(segments: list[int], words: str) -> None:
    """A user would not know what was tried, or read of a rung that was not."""
    assert tried_words([Rung(segments=count) for count in segments]) == words


def test_the_options_that_help_are_named() -> None:
    """A user would be told to train fewer layers where none train, or not that an option of theirs is in the way."""
    assert "fewer layers" not in advice(trains_backbone=False, may_recompute=True)
    assert "recompute" not in advice(trains_backbone=False, may_recompute=True)
    assert "trainable 'head', then fine_tune_from" in advice(trains_backbone=True)
    assert advice(trains_backbone=True, may_recompute=True).startswith("give recompute 'auto'")
    assert "precision" in advice(trains_backbone=True, may_halve=True)
    assert "precision" not in advice(trains_backbone=False, may_halve=True) + advice(trains_backbone=True)
    assert all("image_size" in advice(trains_backbone=trains) for trains in (True, False))
    tried = tried_words([KEPT, *(Rung(segments=count) for count in (4, 8, 16))])
    longest = tried + advice(trains_backbone=True, may_halve=True)
    assert len(longest) < 300
