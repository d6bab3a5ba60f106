"""The rungs of the ladder, and their order."""

from __future__ import annotations

from autofit.config.rungs import KEPT, ON_REQUEST, SAVING, Rung, saving_more


def test_the_rungs_end() -> None:
    """A training that does not fit would be started for ever, or again on the rung that it comes from."""
    climbed = [KEPT]
    while (rung := saving_more(climbed[-1])) is not None:
        climbed.append(rung)
    assert tuple(climbed) == (KEPT, *SAVING["gpu"])


def test_where_nothing_fits_the_first_rung_is_the_one_that_takes_the_least() -> None:
    """An attempt would be lost on a rung that saves little."""
    assert saving_more(KEPT) == saving_more(Rung(segments=4)) == ON_REQUEST
