"""The rungs of the ladder, and their order."""

from __future__ import annotations

from autofit.config.rungs import IN_TURN, KEPT, ON_REQUEST, SAVING, Rung, saving_more


def test_the_rungs_end() -> None:
    """A training that does not fit would be started for ever, or again on the rung that it comes from."""
    climbed = [KEPT]
    while (rung := saving_more(climbed[-1])) is not None:
        climbed.append(rung)
    assert tuple(climbed) == (KEPT, *SAVING["gpu"])


def test_no_rung_is_tried_that_is_the_same_for_the_network() -> None:
    """An attempt would run out of memory as the one before it did, and its message tell of segments that are none."""
    assert saving_more(KEPT, 1) == IN_TURN
    assert saving_more(IN_TURN, 1) is None
    assert saving_more(ON_REQUEST, 1) is None
    assert saving_more(KEPT, 3) == ON_REQUEST
    assert saving_more(ON_REQUEST, 8) is None
    assert saving_more(ON_REQUEST, 9) == Rung(segments=16)


def test_where_nothing_fits_the_first_rung_is_the_one_that_takes_the_least() -> None:
    """An attempt would be lost on a rung that saves little."""
    assert saving_more(KEPT) == saving_more(Rung(segments=4)) == ON_REQUEST
