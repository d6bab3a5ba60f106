"""Predictions in a worker: what it is asked for, and what comes back from it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autofit.errors import AutofitError, DoesNotFitError, InterruptedRunError, TrainingFailedError, UserError
from autofit.process.exit_classifier import ExitDiagnosis
from autofit.process.launch import ProcessLauncher
from autofit.process.monitor import WorkerExit
from autofit.protocol.job import Event
from autofit.protocol.messages import BadImage, Phase, PredictRequest, Progress, Verdict
from autofit.runs.model_worker import error_of_model_worker
from autofit.runs.prediction import LEAVING_SECONDS, PredictionWorker, SavedModel
from autofit.storage.run_directory import RunDirectory
from tests.support.answering import ROWS, Answering, Silence, rows
from tests.support.keras_files import keras_file
from tests.support.machines import GB, make_hardware
from tests.support.stub_runs import result_of


@pytest.fixture
def model(tmp_path: Path) -> SavedModel:
    return SavedModel(keras_file(tmp_path / "model.keras"), (32, 48))


def test_predictions_come_back_in_the_order_of_their_paths_from_one_worker(
    model: SavedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker, in another folder, would look for relative paths in vain; or each call wait for TensorFlow."""
    monkeypatch.chdir(tmp_path)
    launcher = Answering(rows)
    with closing(PredictionWorker(model, launcher, Silence())) as worker:
        found, unreadable = worker.predict(["a.jpg", "~b c.jpg"], Silence())
        assert worker.is_alive
        worker.predict(["c", "d"], Silence(), views=4, done=2, total=4)
    assert launcher.paths[0] == [str(tmp_path / "a.jpg"), str(tmp_path / "~b c.jpg")]
    assert np.array_equal(found, ROWS)
    assert unreadable == []
    assert [(work.model_path, work.image_size) for work in launcher.works] == [(str(model.path), (32, 48))]
    assert [(one.views, one.done, one.total) for one in launcher.requests] == [(1, 0, 2), (4, 2, 4)]
    assert launcher.is_closed
    assert not launcher.attempt.path.exists()


def test_each_answer_names_its_own_unreadable_images(model: SavedModel) -> None:
    """A bad image of the first call would be said to be one of the second."""

    def second_is_bad(request: PredictRequest) -> list[Event]:
        bad = Event(quarantined=BadImage(path=f"bad {request.done}", reason="cut short"))
        return [*rows(request), *([bad] if request.done else [])]

    with closing(PredictionWorker(model, Answering(second_is_bad), Silence())) as worker:
        answers = [worker.predict(["a", "b"], Silence(), done=done)[1] for done in (0, 5, 0)]
    assert [[image.path for image in one] for one in answers] == [[], ["bad 5"], []]


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
            "the prediction ran out of memory (because): free memory, or use another machine",
        ),
        ("interrupted", InterruptedRunError, "the prediction was stopped: give the same call again"),
        ("user_error", UserError, "because"),
        ("crashed", TrainingFailedError, "the prediction failed: because"),
    ],
)
def test_a_prediction_that_fails_says_why(
    model: SavedModel, verdict: str, kind: type[AutofitError], message: str
) -> None:
    """Every end would look the same, and its exit code be wrong; or the dead worker be asked again."""
    with closing(PredictionWorker(model, Answering(lambda _: verdict), Silence())) as worker:
        with pytest.raises(AutofitError) as raised:
            worker.predict(["a.jpg"], Silence())
        assert not worker.is_alive
    assert (type(raised.value), str(raised.value)) == (kind, message)


@pytest.mark.parametrize(
    ("verdict", "phase", "is_limited", "message"),
    [
        (Verdict.DEVICE_OOM, Phase.BUILD, False, "the model itself does not fit here, without any image (x): free mem"),
        (
            Verdict.DEVICE_OOM,
            Phase.SAVE,
            False,
            "the export ran out of memory (x): free memory, or use another machine",
        ),
        (Verdict.DEVICE_OOM, Phase.PREDICT, False, "not even one image at a time fits here (x): free memory, or"),
        (Verdict.HOST_OOM, Phase.PREDICT, False, "the export ran out of memory (x): free memory, or use another"),
        (Verdict.HOST_OOM, Phase.PREDICT, True, "the export ran out of memory: x"),
    ],
    ids=str,
)
def test_what_did_not_fit_is_told_by_what_was_done(
    verdict: Verdict, phase: Phase, *, is_limited: bool, message: str
) -> None:
    """A user would be told of one image where 32 were tried, or none; or to free memory where a limit is the cause."""
    ended = WorkerExit(
        diagnosis=ExitDiagnosis(verdict, "x", is_limited=is_limited),
        outcome=None,
        last=Progress(time=0.0, phase=phase),
        events=(),
        wall_seconds=1.0,
    )
    found = str(error_of_model_worker(ended, "export"))
    assert found == message if is_limited else found.startswith(message)


def test_a_worker_that_is_about_to_leave_is_asked_for_nothing_more(model: SavedModel) -> None:
    """A request would be sent to a worker that ends just then, and the call fail."""
    worker = PredictionWorker(model, Answering(rows), Silence(), idle_seconds=LEAVING_SECONDS)
    with closing(worker):
        assert not worker.is_alive


def test_no_model_is_refused_without_a_worker(model: SavedModel) -> None:
    """TensorFlow would be started to find out that there is nothing to open."""
    model.path.unlink()
    result_of(RunDirectory(model.path.parent)).save(model.path.parent / "result.json")
    with pytest.raises(UserError, match="is gone: bring it back, or train again in another run_dir"):
        PredictionWorker(model, ProcessLauncher(), Silence())


def test_a_run_that_has_come_to_no_model_yet_is_not_said_to_have_lost_it(model: SavedModel) -> None:
    """After Ctrl-C in the first stage a user would be told to train again, or to bring back what never was."""
    model.path.unlink()
    stopped = result_of(RunDirectory(model.path.parent)).model_copy(update={"status": "interrupted"})
    stopped.save(model.path.parent / "result.json")
    with pytest.raises(UserError, match="has no model yet: finish it first, with autofit resume"):
        PredictionWorker(model, ProcessLauncher(), Silence())


MACHINES = {
    "CPU": ({"cores": 6}, ("cpu", 12 * GB), 6),
    "CPU with one core": ({"cores": 1}, ("cpu", 12 * GB), 2),
    "GPU": ({"device": "gpu", "device_free_bytes": 7 * GB, "device_memory_bytes": 8 * GB}, ("gpu", 7 * GB), 2),
    "GPU, free memory unknown": ({"device": "gpu", "device_memory_bytes": 8 * GB}, ("gpu", 12 * GB), 2),
}


@pytest.mark.parametrize(("machine", "memory", "threads"), MACHINES.values(), ids=MACHINES)
def test_the_worker_may_use_what_the_machine_has_free(
    model: SavedModel, monkeypatch: pytest.MonkeyPatch, machine: dict[str, Any], memory: tuple[str, int], threads: int
) -> None:
    """A prediction would take memory that another program uses, fail beside free memory, or decode on one core."""
    monkeypatch.setattr("autofit.machine.hardware.detect", lambda: make_hardware(**machine))
    launcher = Answering(rows)
    PredictionWorker(model, launcher, Silence()).close()
    given = launcher.memory
    assert given
    assert ((given.device, given.limit_bytes), given.is_given) == (memory, False)
    assert (launcher.works[0].threads, launcher.works[0].batch_size) == (threads, 32)
