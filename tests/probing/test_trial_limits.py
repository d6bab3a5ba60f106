"""The steps and the time limit of a trial; its memory budget is tested with the probe, in `test_loop.py`."""

from typing import Literal

import pytest

from autofit.config.batch_schedule import image_buffer_bytes
from autofit.probing.search import NextTrial
from autofit.probing.trial_limits import deadline_seconds, measured_non_allocator_bytes, min_steps, spare_bytes
from autofit.protocol.messages import MemoryBudget, Trial, Verdict


def test_a_size_that_must_tune_has_three_times_the_longest_first_steps_before_it() -> None:
    """Where a GPU's kernels are compiled at the first step, a larger size would be taken for stuck, and too large."""
    trial = Trial(batch_size=4, verdict=Verdict.FITS, step_seconds=0.04, first_steps_seconds=90)
    shorter = trial.model_copy(update={"first_steps_seconds": 5.0})
    assert deadline_seconds([trial, shorter], 32) == pytest.approx(120 + 3 * 90 + 60 * 0.32)


def test_where_nothing_fits_a_process_is_given_what_those_before_it_took() -> None:
    """An estimate for any network would keep a tight limit from the tensors: an image that fits would not be found."""
    size = (32, 32)
    buffers = image_buffer_bytes(4, size)
    ran_out = Trial(batch_size=4, verdict=Verdict.DEVICE_OOM, non_allocator_bytes=600 * 10**6 + buffers)
    assert measured_non_allocator_bytes([Trial(batch_size=4, verdict=Verdict.DEVICE_OOM)], size) is None
    assert measured_non_allocator_bytes([ran_out], size) == 600 * 10**6
    fits = ran_out.model_copy(update={"verdict": Verdict.FITS, "non_allocator_bytes": 700 * 10**6 + buffers})
    assert measured_non_allocator_bytes([ran_out, fits], size) == 716 * 10**6  # with the least margin


@pytest.mark.parametrize(
    ("segments", "device", "fresh", "steps"),
    [(8, "cpu", True, 12), (8, "cpu", False, 2), (1, "cpu", True, 2), (0, "cpu", True, 2), (8, "gpu", True, 2)],
)
def test_a_candidate_whose_peaks_differ_runs_more_steps_in_less_room(
    *, segments: int, device: Literal["cpu", "gpu"], fresh: bool, steps: int
) -> None:
    """Two steps that fit would be an answer of which the third runs out of memory."""
    memory = MemoryBudget(device=device, limit_bytes=10**9, is_given=True)
    assert min_steps(None, NextTrial(8, fresh=fresh), segments, memory) == steps
    assert spare_bytes(segments, memory, 600 * 10**6) == (20 * 10**6 if (segments, device) == (8, "cpu") else 0)
