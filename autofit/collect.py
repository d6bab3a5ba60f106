"""From a run directory to the content of `result.json`: all attempts, also those of processes that were killed."""

from __future__ import annotations

from typing import Literal

from autofit.checkpoints import CheckpointStore
from autofit.process.job import Event, Job, Outcome, TrainJob
from autofit.process.messages import Phase, Progress, Verdict
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
        weights_sha256=_weights_sha256(attempts[-1]) if status == "completed" and attempts else None,
        seconds_to_first_step=firsts[0] if firsts else None,
        wall_seconds=wall_seconds,
    )


def _attempt_record(attempt: AttemptDirectory) -> AttemptRecord:
    try:
        return AttemptRecord.load(attempt.record)
    except (OSError, ValueError):
        return _reconstructed(attempt)


def _reconstructed(attempt: AttemptDirectory) -> AttemptRecord:
    """What can be said of an attempt whose supervisor was killed: its own words, or its last heartbeat."""
    outcome = _outcome(attempt)
    lines = Tail(attempt.progress).records(Progress)
    last = lines[-1] if lines else Progress(time=0.0, phase=Phase.START)
    unsaid = "the supervising process ended as well" if lines else "it ended before its first heartbeat"
    return AttemptRecord(
        verdict=outcome.verdict if outcome else Verdict.CRASHED,
        cause=outcome.cause if outcome else unsaid,
        batch_size=_batch_size(attempt, last.epoch),
        micro_batch_size=last.micro_batch_size,
        epoch=last.epoch,
        step=last.step,
        wall_seconds=max(0.0, last.time - lines[0].time) if lines else 0.0,
    )


def _batch_size(attempt: AttemptDirectory, epoch: int) -> int:
    try:
        work = Job.load(attempt.job).work
    except (OSError, ValueError):
        return 0
    return work.plan.schedule.batch_size(epoch) if isinstance(work, TrainJob) else 0


def _weights_sha256(attempt: AttemptDirectory) -> str | None:
    outcome = _outcome(attempt)
    return outcome.weights_sha256 if outcome else None


def _outcome(attempt: AttemptDirectory) -> Outcome | None:
    try:
        return Outcome.load(attempt.outcome)
    except (OSError, ValueError):
        return None
