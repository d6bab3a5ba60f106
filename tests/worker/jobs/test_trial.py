"""Trials as on a GPU, on the CPU's BFC allocator: which peaks count, and when a process may go on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from autofit.protocol.messages import Trial, Verdict
from tests.support.paths import CHILDREN
from tests.support.shared import made_once

pytestmark = [pytest.mark.slow, pytest.mark.whole]

LEAKED_BYTES = 64 * 2**20


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    """Two sizes that fit, one that does not, the second again, one that leaks, and one that may be broken; run once."""

    def run(folder: Path) -> None:
        done = subprocess.run([sys.executable, CHILDREN / "trials_as_on_gpu.py"], check=True, capture_output=True)
        (folder / "trials.jsonl").write_bytes(done.stdout)

    folder = made_once(tmp_path_factory, "trials-as-on-gpu", run)
    return [Trial.model_validate_json(line) for line in (folder / "trials.jsonl").read_text().splitlines()]


def test_the_allocator_is_whole_after_an_out_of_memory_and_the_process_goes_on(trials: list[Trial]) -> None:
    """Each out-of-memory would cost the start of a process; or a trial measure what the one before left behind."""
    _, fits, too_many, again, _, _ = trials
    assert (too_many.verdict, too_many.worker_stays) == (Verdict.DEVICE_OOM, True)
    assert again.verdict is Verdict.FITS
    assert again.peak_bytes == pytest.approx(fits.peak_bytes, rel=0.15)


def test_an_allocator_that_is_not_whole_ends_the_process(trials: list[Trial]) -> None:
    """A leak of an out-of-memory would count in each trial after it."""
    leaking = trials[-2]
    assert (leaking.verdict, leaking.worker_stays) == (Verdict.DEVICE_OOM, False)
    assert leaking.first_step_peak_bytes >= LEAKED_BYTES


def test_an_error_that_may_mean_a_broken_handle_ends_the_process(trials: list[Trial]) -> None:
    """Each size after it would fail on cuDNN's broken handle, and be taken for too large."""
    broken = trials[-1]
    assert (broken.verdict, broken.worker_stays) == (Verdict.DEVICE_OOM, False)


def test_first_steps_are_apart_from_steady_ones(trials: list[Trial]) -> None:
    """The memory line would go through workspaces of tuning, and the speed be that of tracing."""
    first, second, *_ = trials
    for trial in (first, second):
        assert trial.peak_bytes > 0
        assert trial.first_step_peak_bytes > 0
        assert trial.steady_steps_seconds >= trial.step_seconds > 0
        assert trial.seconds >= trial.first_steps_seconds + trial.steady_steps_seconds
        assert trial.images_per_second == pytest.approx(trial.batch_size / trial.step_seconds)
    assert first.first_steps_seconds > 3 * first.step_seconds  # it traced
    assert second.peak_bytes > first.peak_bytes
