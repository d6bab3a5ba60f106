"""A worker with a job on a saved model: the job, its memory, and the error if it fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from autofit.doctor.start_crash import with_findings
from autofit.errors import (
    AutofitError,
    DoesNotFitError,
    InterruptedRunError,
    StorageError,
    TrainingFailedError,
    UserError,
)
from autofit.machine import hardware
from autofit.process.launch import Launcher
from autofit.process.monitor import View, WorkerExit, monitored
from autofit.protocol.job import Event, Job
from autofit.protocol.messages import BUILDING, OUT_OF_MEMORY, MemoryBudget, Phase, Verdict
from autofit.protocol.model_jobs import ExportJob, OutputKind, PredictJob
from autofit.protocol.payload import NO_CODE, OwnCode
from autofit.runs.result_record import is_finished
from autofit.storage.json_bounds import MAX_RECORD_BYTES, parsed
from autofit.storage.model_file import require_sound_model
from autofit.storage.run_directory import AttemptDirectory, RunDirectory
from autofit.storage.safe_files import read_bounded


def run_on_model(
    work: ExportJob,
    attempt: AttemptDirectory,
    *,
    launcher: Launcher,
    view: View,
    name: str,
    code: OwnCode = NO_CODE,
) -> list[Event]:
    """Let a worker do a job on a saved model; returns its events.

    Args:
        work: the job.
        attempt: the folder for the worker's files.
        launcher: starts the worker.
        view: shows the progress.
        name: the name of the work in messages, such as `export`.
        code: the user's code that is needed to open the model.

    Raises:
        AutofitError: the worker failed; the message says why.
    """
    job = model_job(work, code.import_paths, isolated=launcher.isolated)
    with monitored(job, attempt, launcher, view=view, payload=code.payload) as worker:
        worker_exit = worker.run()
    if worker_exit.diagnosis.verdict is not Verdict.COMPLETED:
        raise error_of_model_worker(worker_exit, name)
    return list(worker_exit.events)


def require_model(path: Path) -> None:
    """Check that a saved model exists, and that its file holds data of a bounded size.

    Raises:
        UserError: it does not exist, or its file is damaged or may be malicious.
    """
    require_there(path)
    require_sound_model(path)


def require_there(path: Path) -> None:
    """Check that a saved model exists.

    Raises:
        UserError: it does not; the message says whether the run beside it has not come to one yet.
    """
    if path.is_file():
        return
    if is_finished(RunDirectory(path.parent)):
        raise UserError(f"the model {path} is gone: bring it back, or train again in another run_dir")
    raise UserError(f"the run in {path.parent} has no model yet: finish it first, with autofit resume")


def write_paths(file: Path, paths: Iterable[str]) -> None:
    """Write a list of paths for a worker, separated by NUL, since names may have any other byte.

    Relative paths are made absolute: the worker starts in another folder than its parent.
    """
    absolute = (str(Path(path).absolute()) for path in paths)
    file.write_bytes("\0".join(absolute).encode("utf-8", "surrogateescape"))


def output_kind(model_path: Path) -> OutputKind:
    """What a saved model's output holds, by `labels.json` beside it; probabilities if that does not tell."""
    try:
        data = read_bounded(model_path.with_name("labels.json"), MAX_RECORD_BYTES, follow_links=True)
        said = parsed(data, "labels.json").get("outputs", "probabilities")
    except (OSError, ValueError, AttributeError):
        return "probabilities"
    return next((kind for kind in get_args(OutputKind) if kind == said), "probabilities")


def model_job(work: PredictJob | ExportJob, import_paths: Sequence[str], *, isolated: bool) -> Job:
    """The job of a worker that may use all free memory of the machine."""
    machine = hardware.detect()
    has = machine.device_free_bytes if machine.device == "gpu" else machine.host_available_bytes
    return Job(
        attempt=1,
        source=None,
        import_paths=list(import_paths),
        isolated=isolated,
        memory=MemoryBudget(device=machine.device, limit_bytes=has or machine.host_available_bytes, is_given=False),
        work=work,
    )


def error_of_model_worker(worker_exit: WorkerExit, name: str) -> AutofitError:
    """The error to raise for a worker that has failed; `name` is the name of its work in the message."""
    verdict, cause = worker_exit.diagnosis.verdict, worker_exit.diagnosis.cause
    if verdict is Verdict.USER_ERROR:
        return UserError(with_findings(cause))
    if verdict is Verdict.STORAGE:
        return StorageError(cause)
    if verdict is Verdict.INTERRUPTED:
        return InterruptedRunError(f"the {name} was stopped: give the same call again")
    if verdict in OUT_OF_MEMORY:
        return DoesNotFitError(_memory_words(worker_exit, name))
    return TrainingFailedError(with_findings(f"the {name} failed: {cause}"))


def _memory_words(worker_exit: WorkerExit, name: str) -> str:
    """What did not fit, and what to do. Only a worker that reports it itself has gone down to a single image."""
    diagnosis, last = worker_exit.diagnosis, worker_exit.last
    what = f"the {name} ran out of memory"
    if last is not None and last.phase in BUILDING:
        what = "the model itself does not fit here, without any image"
    elif diagnosis.verdict is Verdict.DEVICE_OOM and (last is None or last.phase is Phase.PREDICT):
        what = "not even one image at a time fits here"
    if diagnosis.is_limited:
        return f"{what}: {diagnosis.cause}"
    return f"{what} ({diagnosis.cause}): free memory, or use another machine"
