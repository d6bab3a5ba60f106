"""One life of a worker, from `job.json` to `outcome.json`: every way it can end becomes a verdict."""

from __future__ import annotations

import errno
import gc
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from autofit.errors import StorageError, UserError
from autofit.input.predecode import PredecodedImages, predecoding
from autofit.protocol.job import Event, Job, Outcome, PredictJob, TrainJob, TrialsJob
from autofit.protocol.messages import Phase, Trial, Verdict
from autofit.protocol.payload import Payload
from autofit.storage.run_directory import AttemptDirectory
from autofit.worker.runtime import tf_settings
from autofit.worker.runtime.control_pipe import Requests
from autofit.worker.runtime.exceptions import OutOfDeviceMemoryError, ShortOfMemoryError, StopRequested, TornUpdateError
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.memory import resident_bytes

if TYPE_CHECKING:
    from autofit.worker.execution.session import Session

LoadPayload = Callable[[], Payload | None]

STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG}


def run_attempt(attempt_path: Path, requests: Requests, load_payload: LoadPayload) -> int:
    """Do what the attempt's `job.json` says, write its `outcome.json`, and return an exit code.

    `load_payload` is called only when TensorFlow may be imported: what it unpickles may do so.
    """
    attempt = AttemptDirectory(attempt_path)
    job = Job.load(attempt.job)
    with Heartbeat(attempt) as heartbeat:
        outcome = _outcome(job, attempt, heartbeat, requests, load_payload)
        outcome.save(attempt.outcome)
    if not job.isolated:
        _clear_session()
    return 0 if outcome.verdict is Verdict.COMPLETED else 1


def _outcome(
    job: Job, attempt: AttemptDirectory, heartbeat: Heartbeat, requests: Requests, load_payload: LoadPayload
) -> Outcome:
    try:
        sha256 = _work(job, attempt, heartbeat, requests, load_payload)
        verdict, cause, trace = Verdict.COMPLETED, "", ""
    except Exception as error:  # noqa: BLE001 - sorted into a verdict, and its traceback kept
        sha256, trace = None, traceback.format_exc()
        verdict, cause = _verdict_of(error)
    return Outcome(
        verdict=verdict,
        cause=cause,
        traceback=trace[-20_000:],
        epoch=heartbeat.epoch,
        step=heartbeat.step,
        micro_batch_size=heartbeat.micro_batch_size,
        weights_sha256=sha256,
    )


def _work(
    job: Job, attempt: AttemptDirectory, heartbeat: Heartbeat, requests: Requests, load_payload: LoadPayload
) -> str | None:
    planned = job.work.plan.kernels if isinstance(job.work, TrainJob) and job.isolated else None
    tf_settings.before_import(job.memory.device, planned)
    with predecoding(job) as early:
        tf_settings.import_keras(isolated=job.isolated)
        if isinstance(job.work, TrialsJob):
            _try_sizes(job, attempt, heartbeat, requests, load_payload)
            return None
        if isinstance(job.work, PredictJob):
            _limit_allocator(job, heartbeat)
            from autofit.worker.jobs.predict import predict  # noqa: PLC0415 - Keras only after the environment is set

            predict(job, job.work, attempt, heartbeat)
            return None
        try:
            _limit_allocator(job, heartbeat)
        except ShortOfMemoryError as error:  # the next attempt asks for less, or finds more
            raise StopRequested("yielded", error.cause) from error
        session, payload = _open_session(job, heartbeat, load_payload)
        return _train(job, job.work, session, heartbeat, requests, payload, early)


def _limit_allocator(job: Job, heartbeat: Heartbeat) -> None:
    trains = job.source.spec.trainable if job.source else "head"
    heartbeat.event(Event(allocator_bytes=tf_settings.limit_allocator(job.memory, trains)))


def _open_session(job: Job, heartbeat: Heartbeat, load_payload: LoadPayload) -> tuple[Session, Payload | None]:
    from autofit.worker.execution.session import open_session  # noqa: PLC0415 - Keras only after the environment is set

    sys.path.extend(path for path in job.import_paths if path not in sys.path)  # a payload may name modules there
    payload = load_payload()
    session = open_session(job, payload, heartbeat)
    heartbeat.phase(Phase.TRACE)
    return session, payload


def _try_sizes(
    job: Job, attempt: AttemptDirectory, heartbeat: Heartbeat, requests: Requests, load_payload: LoadPayload
) -> None:
    """Import what is needed, wait for the first size and its budget, and run the trials.

    The budget of a trial depends on its size, and a process has only one: so a worker may be started ahead of time, and
    needs the device only when it is asked for something.
    """
    from autofit.worker.jobs.trial import run_trials  # noqa: PLC0415 - as above

    heartbeat.event(Event(baseline_rss_bytes=resident_bytes()))
    first = requests.get()
    if first is None or first.trial is None:
        return
    job = job.model_copy(update={"memory": first.memory or job.memory})
    try:
        _limit_allocator(job, heartbeat)
    except UserError as error:
        if (
            job.memory.non_allocator_bytes is None
        ):  # nothing was ever measured: then it is the user's limit that is too small
            raise
        heartbeat.event(Event(trial=Trial(batch_size=first.trial, verdict=Verdict.HOST_OOM, cause=str(error))))
        return
    session, _ = _open_session(job, heartbeat, load_payload)
    run_trials(job, session, heartbeat, requests, first, attempt.path)


def _train(
    job: Job,
    work: TrainJob,
    session: Session,
    heartbeat: Heartbeat,
    requests: Requests,
    payload: Payload | None,
    early: PredecodedImages | None,
) -> str:
    from autofit.worker.runtime.stop_conditions import StopConditions  # noqa: PLC0415 - as above
    from autofit.worker.training.trainer import Trainer  # noqa: PLC0415 - Keras only after the environment is set

    departure = StopConditions(requests, heartbeat, job.memory, tf_settings.device_name(job.memory), work.stop_at)
    loop = Trainer(job, work, session, heartbeat, departure, payload, early)
    try:
        return loop.run()
    except OutOfDeviceMemoryError:
        loop.commit_if_whole()
        raise


def _verdict_of(error: Exception) -> tuple[Verdict, str]:
    """The verdict on an exception and its first line."""
    name = type(error).__name__
    text = (str(error) or name).strip().splitlines()[0][:500]
    if isinstance(error, UserError):
        return Verdict.USER_ERROR, text
    if isinstance(error, StorageError) or (isinstance(error, OSError) and error.errno in STORAGE_ERRORS):
        return Verdict.STORAGE, text
    if isinstance(error, StopRequested):
        return Verdict(error.reason), text
    if isinstance(error, (OutOfDeviceMemoryError, TornUpdateError)):
        return Verdict.DEVICE_OOM, text
    if isinstance(error, MemoryError):
        return Verdict.HOST_OOM, f"MemoryError: {text}"
    return (Verdict.DEVICE_OOM if _is_device_oom(error) else Verdict.CRASHED), f"{name}: {text}"


def _is_device_oom(error: Exception) -> bool:
    if "tensorflow" not in sys.modules:
        return False
    from autofit.worker.execution.microbatch import Blame, blame  # noqa: PLC0415 - TensorFlow is loaded here

    return blame(error) is Blame.MEMORY


def _clear_session() -> None:
    """Leave nothing behind for the next attempt in this process."""
    if "keras" in sys.modules:
        from autofit.worker.execution.session import clear_session  # noqa: PLC0415 - Keras is loaded here

        clear_session()
    gc.collect()
