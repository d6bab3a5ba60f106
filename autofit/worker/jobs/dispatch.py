"""Does the job in `job.json` and writes `outcome.json`: each exception that ends a job becomes a verdict."""

from __future__ import annotations

import gc
import sys
import traceback
from pathlib import Path

from autofit.errors import StorageError, UserError
from autofit.input.predecode import predecoding
from autofit.protocol.job import ComparisonJob, Job, Outcome, TrainingPlan, TrainJob, TrialsJob
from autofit.protocol.messages import Verdict
from autofit.protocol.model_jobs import ExportJob, PredictJob
from autofit.storage.run_directory import AttemptDirectory
from autofit.storage.system_errors import OF_STORAGE, described
from autofit.worker.jobs.startup import LoadPayload
from autofit.worker.runtime import tf_settings
from autofit.worker.runtime.control_pipe import Requests
from autofit.worker.runtime.exceptions import (
    OutOfDeviceMemoryError,
    StopRequested,
    TornUpdateError,
    first_line,
    without_placement,
)
from autofit.worker.runtime.heartbeat import Heartbeat


def run_job(attempt_path: Path, requests: Requests, load_payload: LoadPayload) -> int:
    """Do the job of an attempt's folder, write its outcome, and return an exit code.

    Args:
        attempt_path: the folder with `job.json`.
        requests: the requests of the parent.
        load_payload: returns the user's objects. It is called only after TensorFlow's settings are made, since
            unpickling them may import TensorFlow.
    """
    attempt = AttemptDirectory(attempt_path)
    job = Job.load(attempt.job)
    with Heartbeat(attempt) as heartbeat:
        outcome = _outcome(job, attempt, heartbeat, requests, load_payload)
        outcome.save(attempt.outcome)
    if not job.isolated:
        gc.collect()  # what the job held; `clear_session` would also reset Keras's settings in the user's own threads
    return 0 if outcome.verdict is Verdict.COMPLETED else 1


def _outcome(
    job: Job, attempt: AttemptDirectory, heartbeat: Heartbeat, requests: Requests, load_payload: LoadPayload
) -> Outcome:
    try:
        sha256 = _dispatch(job, attempt, heartbeat, requests, load_payload)
        verdict, cause, trace = Verdict.COMPLETED, "", ""
    except (Exception, SystemExit) as error:  # noqa: BLE001 - sorted into a verdict, and its traceback saved
        sha256, trace = None, traceback.format_exc()
        refused = (_refusal(error) if job.deterministic else None) or _set_rate(job, error)
        verdict, cause = (Verdict.USER_ERROR, refused) if refused else _verdict_of(error)
    return Outcome(
        verdict=verdict,
        cause=cause,
        traceback=trace[-20_000:],
        epoch=heartbeat.epoch,
        step=heartbeat.step,
        micro_batch_size=heartbeat.micro_batch_size,
        weights_sha256=sha256,
    )


def _dispatch(
    job: Job, attempt: AttemptDirectory, heartbeat: Heartbeat, requests: Requests, load_payload: LoadPayload
) -> str | None:
    """Import Keras with its settings made, and do the job; returns the hash of the final weights of a training."""
    plan: TrainingPlan | ComparisonJob | None = None
    if job.isolated and isinstance(job.work, TrainJob | ComparisonJob):
        plan = job.work.plan if isinstance(job.work, TrainJob) else job.work
    if plan:
        tf_settings.before_import(job.memory.device, plan.kernels, plan.tuning, xla=plan.xla)
    else:
        tf_settings.before_import(job.memory.device)
    if job.isolated and job.memory.device == "gpu":
        tf_settings.keep_compiled_kernels()
    elif job.isolated:
        tf_settings.hide_gpus()
    with predecoding(job) as predecoded:
        _import_keras(job)
        # the jobs import Keras, so they are imported after its settings are made
        if isinstance(job.work, TrialsJob):
            from autofit.worker.jobs.trial import run_trials  # noqa: PLC0415

            run_trials(job, attempt, heartbeat, requests, load_payload)
            return None
        if isinstance(job.work, ComparisonJob):
            from autofit.worker.jobs.compare import compare  # noqa: PLC0415

            compare(job, job.work, heartbeat, load_payload)
            return None
        if isinstance(job.work, PredictJob):
            from autofit.worker.jobs.predict import predict  # noqa: PLC0415

            predict(job, job.work, heartbeat, requests, load_payload)
            return None
        if isinstance(job.work, ExportJob):
            from autofit.worker.jobs.export import export  # noqa: PLC0415

            export(job, job.work, attempt, heartbeat, load_payload)
            return None
        from autofit.worker.jobs.attempt import train  # noqa: PLC0415

        return train(job, job.work, heartbeat, requests, load_payload, predecoded)


def _import_keras(job: Job) -> None:
    """Import Keras, and make the settings that TensorFlow takes after its import."""
    tf_settings.import_keras(isolated=job.isolated)
    if job.deterministic:
        tf_settings.make_deterministic()
    recomputes = job.source is not None and job.source.spec.segments > 0
    if recomputes and job.isolated and job.memory.device == "cpu":
        tf_settings.compute_in_order()


def _verdict_of(error: BaseException) -> tuple[Verdict, str]:
    """The verdict on an exception, and its first line."""
    name = type(error).__name__
    text = first_line(error)[:500]
    if isinstance(error, UserError):
        return Verdict.USER_ERROR, text
    if isinstance(error, OSError) and error.errno in OF_STORAGE:
        error = StorageError(described(error))
        text = str(error)
    if isinstance(error, StorageError):
        return Verdict.STORAGE, text
    if isinstance(error, StopRequested):
        return Verdict(error.reason), text
    if isinstance(error, (OutOfDeviceMemoryError, TornUpdateError)):
        return Verdict.DEVICE_OOM, text
    if isinstance(error, MemoryError):
        return Verdict.HOST_OOM, f"MemoryError: {text}"
    is_oom = _is_device_oom(error)
    return (
        (Verdict.DEVICE_OOM, f"{name}: {without_placement(text)}") if is_oom else (Verdict.CRASHED, f"{name}: {text}")
    )


def _refusal(error: BaseException) -> str | None:
    """The message if TensorFlow refuses to run an operation deterministically; None for any other exception.

    TensorFlow raises exceptions of several classes, whose messages all have a word like "deterministic" in them.
    """
    if isinstance(error, (UserError, StorageError, OSError)):
        return None
    why = next((line.strip() for line in str(error).splitlines() if "determin" in line.lower()), None)
    advice = "leave deterministic out, or use another layer"
    return why and f"deterministic: the model has an operation that cannot be ({why[:300]}): {advice}"


def _set_rate(job: Job, error: BaseException) -> str | None:
    """The message if a callback tried to set a learning rate that falls by the plan; None for any other exception.

    Keras lets nobody set the rate of an optimizer that has a schedule; older code assigns to what is a tensor then.
    """
    if job.source is None or not job.source.rate_falls:
        return None
    sets = isinstance(error, TypeError) and "LearningRateSchedule" in str(error) and "settable" in str(error)
    assigns = isinstance(error, AttributeError) and error.name == "assign" and "EagerTensor" in str(error)
    if not (sets or assigns):
        return None
    return "a callback sets the learning rate, which in this run falls to zero at the end: resume without that callback"


def _is_device_oom(error: BaseException) -> bool:
    if "tensorflow" not in sys.modules:
        return False
    from autofit.worker.execution.microbatch import Blame, blame  # noqa: PLC0415 - TensorFlow is loaded by now

    return blame(error) is Blame.MEMORY
