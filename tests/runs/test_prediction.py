"""Predictions in a worker: what it is asked for, and what comes back from it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autofit.errors import AutofitError, DoesNotFitError, InterruptedRunError, TrainingFailedError, UserError
from autofit.process.launch import Exit, ProcessLauncher, Worker
from autofit.protocol.job import Job, PredictJob
from autofit.protocol.messages import MemoryBudget, Progress, Request
from autofit.protocol.payload import Payload
from autofit.report.progress import ProgressView
from autofit.runs import prediction
from autofit.storage.run_directory import AttemptDirectory
from tests.support.machines import GB, make_hardware

ROWS = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], np.float32)


class OneAnswer:
    """A launcher whose worker has already ended, in the way given."""

    isolated = True

    def __init__(self, outcome: Callable[[AttemptDirectory, PredictJob], str]) -> None:
        self._outcome = outcome
        self.paths: list[str] = []
        self.memory: MemoryBudget | None = None
        self.threads = self.batch_size = 0

    def launch(self, attempt: AttemptDirectory, payload: Payload | None, lock_fd: int | None) -> Worker:
        """Read the job and answer it."""
        assert (payload, lock_fd) == (None, None)
        job = Job.load(attempt.job)
        work = job.work
        assert isinstance(work, PredictJob)
        self.memory, self.threads = job.memory, work.threads
        self.batch_size, self.paths = work.batch_size, Path(work.paths_file).read_bytes().decode().split("\0")
        verdict = self._outcome(attempt, work)
        attempt.outcome.write_text(
            json.dumps({"schema": "autofit/outcome/1", "verdict": verdict, "cause": "because"}), encoding="ascii"
        )
        return _Ended()


class _Ended:
    def poll(self) -> Exit | None:
        return Exit(0)

    def send(self, request: Request) -> None: ...

    def kill(self) -> None: ...

    def close(self) -> None: ...


class Silence(ProgressView):
    """A view that shows nothing."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def update(self, progress: Progress, *, epochs: int) -> None:
        """Nothing is shown."""


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.keras"
    path.touch()
    return path


def test_a_prediction_comes_back_in_the_order_of_its_paths(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker, in another folder, would look for relative paths in vain, or a name of bytes be lost."""

    def save(attempt: AttemptDirectory, work: PredictJob) -> str:
        assert (work.model_path, work.image_size) == (str(model_file), (32, 48))
        np.save(attempt.path / "predictions.npy", ROWS)
        return "completed"

    monkeypatch.chdir(tmp_path)
    launcher = OneAnswer(save)
    rows, unreadable = prediction.predict_paths(
        model_file, (32, 48), ["a.jpg", "~b c.jpg"], launcher=launcher, view=Silence()
    )
    assert launcher.paths == [str(tmp_path / "a.jpg"), str(tmp_path / "~b c.jpg")]
    assert np.array_equal(rows, ROWS)
    assert unreadable == []


@pytest.mark.parametrize(
    ("verdict", "kind", "message"),
    [
        (
            "device_oom",
            DoesNotFitError,
            "not even one image at a time fits here (because): free memory, or use another machine",
        ),
        (
            "host_oom",
            DoesNotFitError,
            "not even one image at a time fits here (because): free memory, or use another machine",
        ),
        ("interrupted", InterruptedRunError, "the prediction was stopped: give the same call again"),
        ("user_error", UserError, "because"),
        ("crashed", TrainingFailedError, "the prediction failed: because"),
    ],
)
def test_a_prediction_that_fails_says_why(
    model_file: Path, verdict: str, kind: type[AutofitError], message: str
) -> None:
    """Every end would look the same, and its exit code be wrong."""
    launcher = OneAnswer(lambda *_: verdict)
    with pytest.raises(AutofitError) as raised:
        prediction.predict_paths(model_file, (32, 48), ["a.jpg"], launcher=launcher, view=Silence())
    assert (type(raised.value), str(raised.value)) == (kind, message)


def test_nothing_to_predict_and_no_model_are_refused_without_a_worker(model_file: Path) -> None:
    """TensorFlow would be started to find out that there is nothing to do."""
    launcher = ProcessLauncher()
    with pytest.raises(UserError, match="there are no images to predict"):
        prediction.predict_paths(model_file, (32, 48), [], launcher=launcher, view=Silence())
    model_file.unlink()
    with pytest.raises(UserError, match="is gone: train again, or bring it back"):
        prediction.predict_paths(model_file, (32, 48), ["a.jpg"], launcher=launcher, view=Silence())


MACHINES = {
    "CPU": ({"cores": 6}, ("cpu", 12 * GB), 6),
    "CPU with one core": ({"cores": 1}, ("cpu", 12 * GB), 2),
    "GPU": ({"device": "gpu", "device_free_bytes": 7 * GB, "device_memory_bytes": 8 * GB}, ("gpu", 7 * GB), 2),
    "GPU, free memory unknown": ({"device": "gpu", "device_memory_bytes": 8 * GB}, ("gpu", 12 * GB), 2),
}


@pytest.mark.parametrize(("machine", "memory", "threads"), MACHINES.values(), ids=MACHINES)
def test_the_worker_may_use_what_the_machine_has_free(
    model_file: Path, monkeypatch: pytest.MonkeyPatch, machine: dict[str, Any], memory: tuple[str, int], threads: int
) -> None:
    """A prediction would take memory that another program uses, fail beside free memory, or decode on one core."""
    monkeypatch.setattr("autofit.machine.hardware.detect", lambda: make_hardware(**machine))
    launcher = OneAnswer(lambda *_: "crashed")
    with pytest.raises(TrainingFailedError):
        prediction.predict_paths(model_file, (32, 48), ["a.jpg"], launcher=launcher, view=Silence())
    given = launcher.memory
    assert given
    assert ((given.device, given.limit_bytes), given.is_given) == (memory, False)
    assert (launcher.threads, launcher.batch_size) == (threads, 32)
