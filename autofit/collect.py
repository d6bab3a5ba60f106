"""From a run directory to the content of `result.json`: all attempts, also those of processes that were killed."""

from __future__ import annotations

from typing import Literal

from autofit.checkpoints import CheckpointStore
from autofit.process.job import Event, Job, Outcome, TrainJob
from autofit.process.messages import Progress, Verdict
from autofit.process.watch import Tail
from autofit.result import AttemptRecord, ResultRecord
from autofit.run_directory import AttemptDirectory, RunDirectory


def collect_result(
    files: RunDirectory, status: Literal["completed", "failed", "interrupted"], cause: str, wall_seconds: float
) -> ResultRecord:
    """Read everything that a run has written down about itself."""
    attempts = files.attempts()
    events = [event for attempt in attempts for event in Tail(attempt.events).records(Event)]
    state = CheckpointStore(files.checkpoints).latest_state() or {}
    quarantined = {event.quarantined.path: event.quarantined for event in events if event.quarantined}
    firsts = [event.seconds_to_first_step for event in events if event.seconds_to_first_step is not None]
    return ResultRecord(
        status=status,
        cause=cause,
        history=state.get("history", {}),
        attempts=[_attempt_record(attempt) for attempt in attempts],
        oom_events=[event.oom for event in events if event.oom],
        quarantined=list(quarantined.values()),
        result_changed=bool(state.get("result_changed")) or any(event.result_changed for event in events),
        weights_sha256=_weights_sha256(attempts) if status == "completed" else None,
        seconds_to_first_step=firsts[0] if firsts else None,
        wall_seconds=wall_seconds,
    )


def _attempt_record(attempt: AttemptDirectory) -> AttemptRecord:
    try:
        return AttemptRecord.load(attempt.record)
    except (OSError, ValueError):
        return _reconstructed(attempt)


def _reconstructed(attempt: AttemptDirectory) -> AttemptRecord:
    """What can be said of an attempt whose supervisor was killed with it: its last heartbeat."""
    lines = Tail(attempt.progress).records(Progress)
    last = lines[-1] if lines else None
    return AttemptRecord(
        verdict=Verdict.CRASHED,
        cause="the supervising process ended as well",
        batch_size=_batch_size(attempt),
        micro_batch_size=last.micro_batch_size if last else 0,
        epoch=last.epoch if last else 0,
        step=last.step if last else 0,
        wall_seconds=lines[-1].time - lines[0].time if lines else 0.0,
    )


def _batch_size(attempt: AttemptDirectory) -> int:
    try:
        work = Job.load(attempt.job).work
    except (OSError, ValueError):
        return 0
    return work.plan.first_batch_size if isinstance(work, TrainJob) else 0


def _weights_sha256(attempts: list[AttemptDirectory]) -> str | None:
    try:
        return Outcome.load(attempts[-1].outcome).weights_sha256 if attempts else None
    except (OSError, ValueError):
        return None
