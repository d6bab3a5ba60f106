"""Trials as on a GPU, on the CPU's BFC allocator: which peaks count, and when a process may go on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from autofit.config.backbones import ModelSpec
from autofit.errors import UserError
from autofit.process.gpu_causes import NO_GPU_FOUND
from autofit.protocol.job import Event, Job, ModelSource, TrialsJob
from autofit.protocol.messages import MemoryBudget, Request, Trial, Verdict
from autofit.storage.run_directory import AttemptDirectory
from autofit.worker.jobs.trial import run_trials
from autofit.worker.runtime.control_pipe import Requests
from autofit.worker.runtime.heartbeat import Heartbeat
from tests.support.paths import CHILDREN
from tests.support.shared import made_once

pytestmark = pytest.mark.slow

LEAKED_BYTES = 64 * 2**20


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    """Two sizes that fit, one that does not, the second again, one that leaks, and one that may be broken; run once."""

    def run(folder: Path) -> None:
        done = subprocess.run([sys.executable, CHILDREN / "trials_as_on_gpu.py"], check=True, capture_output=True)
        (folder / "trials.jsonl").write_bytes(done.stdout)

    folder = made_once(tmp_path_factory, "trials-as-on-gpu", run)
    return [Trial.model_validate_json(line) for line in (folder / "trials.jsonl").read_text().splitlines()]


@pytest.mark.whole
def test_the_allocator_is_whole_after_an_out_of_memory_and_the_process_goes_on(trials: list[Trial]) -> None:
    """Each out-of-memory would cost the start of a process; or a trial measure what the one before left behind."""
    _, fits, too_many, again, _, _ = trials
    assert (too_many.verdict, too_many.worker_stays) == (Verdict.DEVICE_OOM, True)
    assert again.verdict is Verdict.FITS
    assert again.peak_bytes == pytest.approx(fits.peak_bytes, rel=0.15)


@pytest.mark.whole
def test_an_allocator_that_is_not_whole_ends_the_process(trials: list[Trial]) -> None:
    """A leak of an out-of-memory would count in each trial after it."""
    leaking = trials[-2]
    assert (leaking.verdict, leaking.worker_stays) == (Verdict.DEVICE_OOM, False)
    assert leaking.first_step_peak_bytes >= LEAKED_BYTES


@pytest.mark.whole
def test_an_error_that_may_mean_a_broken_handle_ends_the_process(trials: list[Trial]) -> None:
    """Each size after it would fail on cuDNN's broken handle, and be taken for too large."""
    broken = trials[-1]
    assert (broken.verdict, broken.worker_stays) == (Verdict.DEVICE_OOM, False)


@pytest.mark.whole
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


@pytest.mark.parametrize("measured", [None, 10**9], ids=["a stage's first trial", "a later trial"])
def test_a_gpu_that_is_not_found_is_no_size_that_does_not_fit(
    measured: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose GPU is gone between two stages would end with "not even one image fits", or go on without them."""
    monkeypatch.setattr("autofit.worker.runtime.tf_settings._allocator_limit", None)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: [])
    spec = ModelSpec(backbone="MobileNet", weights="none", image_size=(32, 32), trainable="head", cut="auto")
    memory = MemoryBudget(device="gpu", limit_bytes=10**9, is_given=False, non_allocator_bytes=measured)
    source = ModelSource(spec=spec, num_classes=3, optimizer="adam", learning_rate=1e-3)
    job = Job(attempt=1, source=source, memory=memory, isolated=True, work=TrialsJob())
    attempt, requests = AttemptDirectory(tmp_path), Requests()
    requests.put(Request(trial=1))
    with Heartbeat(attempt) as heartbeat, pytest.raises(UserError, match=NO_GPU_FOUND):
        run_trials(job, attempt, heartbeat, requests, lambda: None)
    events = [Event.model_validate_json(line) for line in attempt.events.read_text().splitlines()]
    assert [event.trial for event in events if event.trial] == []
