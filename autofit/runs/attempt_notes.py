"""Records an attempt that has ended: its `AttemptRecord`, the out-of-memory that ended it, and what is said of it."""

from __future__ import annotations

from autofit.process.monitor import WorkerExit
from autofit.protocol.job import Event, TrainingPlan
from autofit.protocol.messages import OomEvent, Phase, StageName, at_once
from autofit.runs.attempt_summary import sizes_at_exit
from autofit.runs.result_record import AttemptRecord
from autofit.runs.retry_policy import AttemptSummary, Sizes
from autofit.runs.squeeze import Squeeze
from autofit.storage.run_directory import AttemptDirectory, writing_in


def attempt_record(worker_exit: WorkerExit, sizes: Sizes, stage: StageName, plan: TrainingPlan) -> AttemptRecord:
    """The record of an attempt, which was started with these sizes at this stage with this plan."""
    last = worker_exit.last
    epoch = last.epoch if last else 0
    return AttemptRecord(
        verdict=worker_exit.diagnosis.verdict,
        cause=worker_exit.diagnosis.cause,
        batch_size=plan.schedule.batch_size(epoch),
        micro_batch_size=sizes_at_exit(worker_exit, sizes).micro_batch_size,
        epoch=epoch,
        step=last.epoch_step if last else 0,
        wall_seconds=worker_exit.wall_seconds,
        segments=sizes.rung.segments,
        stage=stage,
    )


def note_oom(number: int, directory: AttemptDirectory, worker_exit: WorkerExit, before: Sizes, after: Sizes) -> None:
    """Record the out-of-memory that ended an attempt, beside those from which the worker recovered itself.

    Raises:
        StorageError: the file cannot be written.
    """
    last = worker_exit.last
    event = OomEvent(
        attempt=number,
        epoch=last.epoch if last else 0,
        step=last.epoch_step if last else 0,
        phase=last.phase if last else Phase.START,
        micro_batch_size_before=before.micro_batch_size,
        micro_batch_size_after=after.micro_batch_size,
        seconds_lost=worker_exit.wall_seconds,
    )
    with writing_in(directory.path), directory.events.open("a", encoding="utf-8") as events:
        # the first newline ends a line that a killed worker may have left incomplete
        events.write("\n" + Event(oom=event).model_dump_json(exclude_defaults=True) + "\n")


def failure_words(
    number: int, summary: AttemptSummary, sizes: Sizes, squeeze: Squeeze | None, *, is_begun: bool = True
) -> str:
    """What is shown of an attempt that failed: its cause, and the sizes with which the next one goes on.

    `is_begun` says whether there is a checkpoint with which it begins.
    """
    following = "going on from the last checkpoint" if is_begun else "trying again"
    cause = summary.diagnosis.cause or summary.diagnosis.verdict.value
    fewer = " and fewer decoded ahead" if sizes.buffer_bytes < summary.sizes.buffer_bytes else ""
    if sizes.rung != summary.sizes.rung:
        fewer += f", and {sizes.rung.words}"
    return (
        f"attempt {number} ended ({summary.diagnosis.verdict.value}: {cause}); "
        f"{following} with {at_once(sizes.micro_batch_size)}{fewer}" + (f": {squeeze.words}" if squeeze else "")
    )
