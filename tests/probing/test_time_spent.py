"""The parts of a probe's time."""

import pytest

from autofit.probing.time_spent import start_seconds, time_spent
from autofit.protocol.messages import Trial, Verdict


def trial(**seconds: float) -> Trial:
    return Trial(batch_size=4, verdict=Verdict.FITS, **seconds)


@pytest.mark.parametrize(("trial_seconds", "expected"), [(4.0, 11.0), (16.0, 0.0), (0.0, 0.0)])
def test_a_start_is_what_was_waited_beyond_the_trial(trial_seconds: float, expected: float) -> None:
    """The trial would count as a start; or, of a worker that was killed in it, minutes of a trial without end."""
    assert start_seconds(15.0, trial(seconds=trial_seconds)) == expected


def test_the_parts_are_the_whole() -> None:
    """Seconds would be missing from the report, or be counted twice."""
    trials = [
        trial(seconds=9, first_steps_seconds=5, steady_steps_seconds=3),
        trial(seconds=4, first_steps_seconds=2, steady_steps_seconds=1),
    ]
    spent = time_spent(trials, process_starts_seconds=15, wall_seconds=30)
    assert spent.model_dump() == {
        "process_starts_seconds": 15,
        "first_steps_seconds": 7,
        "steady_steps_seconds": 4,
        "other_seconds": 4,
    }
