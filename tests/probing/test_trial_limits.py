"""The time limit of a trial; the memory budget is tested with the probe that gives it, in `test_loop.py`."""

import pytest

from autofit.probing.trial_limits import deadline_seconds
from autofit.protocol.messages import Trial, Verdict


def test_a_size_that_must_tune_has_three_times_the_longest_first_steps_before_it() -> None:
    """Where a GPU's kernels are compiled at the first step, a larger size would be taken for stuck, and too large."""
    trial = Trial(batch_size=4, verdict=Verdict.FITS, step_seconds=0.04, first_steps_seconds=90)
    shorter = trial.model_copy(update={"first_steps_seconds": 5.0})
    assert deadline_seconds([trial, shorter], 32) == pytest.approx(120 + 3 * 90 + 60 * 0.32)
