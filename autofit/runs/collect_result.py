"""Collects the content of `result.json` from a run directory: all attempts, also those of killed processes.

The directory may come from an untrusted source: every read is bounded, and what is not a valid record is ignored.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autofit.config.multi_label_figures import MEAN_AVERAGE_PRECISION
from autofit.config.options import Options
from autofit.errors import UserError
from autofit.protocol.job import Event, Job, Outcome, TrainJob
from autofit.protocol.messages import OUT_OF_MEMORY, Calibration, Phase, Progress, StageName, StageRecord, Verdict
from autofit.runs.grouped_validation import NOT_GROUPED, GroupedValidation
from autofit.runs.result_record import AttemptRecord, ResultRecord
from autofit.runs.result_warnings import ValidatedRun, result_warnings, validation_error
from autofit.runs.run_record import DataRecord
from autofit.runs.time_spent import run_time_spent, spent_seconds
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.json_bounds import LINE, MAX_RECORD_BYTES, parsed, require_bounded
from autofit.storage.records import first_problem
from autofit.storage.run_directory import AttemptDirectory, RunDirectory
from autofit.storage.safe_files import bounded_lines, open_plain, read_bounded

LAST_LINES_BYTES = 2**16
"""How much of the end of a heartbeat file is read; a line has some hundred bytes."""

MOST_ATTEMPTS = 10_000
MOST_EVENTS = 400_000
"""The most events of all attempts together: there is one for each epoch and each unreadable image."""

R = TypeVar("R", bound=BaseModel)


class Committed(BaseModel):
    """The part of a checkpoint's state that the parent reads. The training has come to `position` in `epoch`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    epoch: int = Field(0, ge=0)
    position: int = Field(0, ge=0)
    micro_batch_size: int = Field(0, ge=0)
    stage: StageName = "training"
    history: dict[str, list[float]] = Field(default_factory=dict)
    best_epoch: int | None = Field(None, ge=0)
    best_predicted: list[int] = Field(default_factory=list)
    calibration: Calibration | None = None
    result_changed: bool = False
    stopped: bool = False
    callbacks_ended: bool = False
    stages: list[StageRecord] = Field(default_factory=list)


def committed(store: CheckpointStore) -> Committed | None:
    """The state of the newest good checkpoint; None if there is none.

    Raises:
        UserError: its checksums are right, but it is not a checkpoint of autofit.
        StorageError: it cannot be read.
    """
    state = store.latest_state()
    try:
        return None if state is None else Committed.model_validate(state)
    except ValidationError as error:
        raise UserError(
            f"the newest checkpoint in {store.folder} cannot be used ({first_problem(error)}): remove it, then resume"
        ) from None


def saved_epoch(files: RunDirectory) -> int | None:
    """The epoch, from zero, of the model in `model.keras`, by `labels.json`; None if that does not tell."""
    try:
        said = parsed(read_bounded(files.labels, MAX_RECORD_BYTES), files.labels.name).get("epoch")
    except (OSError, ValueError, AttributeError):
        return None
    return said if type(said) is int and said >= 0 else None


def has_best_model(files: RunDirectory) -> bool:
    """Whether the model of a run that ended early is known to be that of the best epoch that was committed.

    Raises:
        UserError: as in `committed`.
        StorageError: as in `committed`.
    """
    state, saved = committed(CheckpointStore(files.checkpoints)), saved_epoch(files)
    return state is not None and saved is not None and saved == state.best_epoch


def collect_result(
    files: RunDirectory,
    status: Literal["completed", "failed", "interrupted"],
    cause: str,
    wall_seconds: float,
    data: DataRecord | None = None,
    budget_seconds: float | None = None,
    grouped: GroupedValidation = NOT_GROUPED,
    options: Options | None = None,
) -> ResultRecord:
    """Read everything that a run has recorded about itself; without `data` the result has no warnings."""
    attempts = files.attempts()[-MOST_ATTEMPTS:]
    events = list(islice(_events(attempts), MOST_EVENTS))
    state = committed(CheckpointStore(files.checkpoints)) or Committed()
    quarantined = {event.quarantined.path: event.quarantined for event in events if event.quarantined}
    copies = 0 if data is None else _copies(files, data)
    validated, saved = _validated(state, data, grouped, copies, options), saved_epoch(files)
    firsts = [event.seconds_to_first_step for event in events if event.seconds_to_first_step is not None]
    return ResultRecord(
        status=status,
        cause=cause,
        history=state.history,
        attempts=[_attempt_record(attempt) for attempt in attempts],
        oom_events=[event.oom for event in events if event.oom],
        quarantined=list(quarantined.values()),
        cut_off_images=max((event.cut_off or 0 for event in events), default=0),
        best_epoch=state.best_epoch,
        stages=state.stages,
        saved_epoch=saved,
        calibration=state.calibration if status == "completed" or saved == state.best_epoch else None,
        result_changed=state.result_changed or any(event.result_changed for event in events),
        is_bit_equal=all(map(_is_bit_equal, attempts)) and not _has_changed_rung(attempts),
        weights_sha256=_last_sha256(attempts) if status == "completed" else None,
        seconds_to_first_step=firsts[0] if firsts else None,
        wall_seconds=wall_seconds,
        time_spent=run_time_spent(last_lines(attempts), [event.oom for event in events if event.oom], wall_seconds),
        budget_seconds=budget_seconds,
        validated_images=validated.images if validated else 0,
        validation_standard_error=validation_error(validated) if validated else None,
        warnings=result_warnings(validated) if validated else [],
        monitor=options.monitor if options else "auto",
    )


def _validated(
    state: Committed, data: DataRecord | None, grouped: GroupedValidation, copies: int, options: Options | None
) -> ValidatedRun | None:
    """The figures that warnings are about; None if nothing is known of the images."""
    if data is None:
        return None
    return ValidatedRun(
        state.history,
        data.class_names,
        data.validation_counts,
        state.best_predicted,
        state.best_epoch,
        state.stages,
        grouped.groups,
        grouped.effective_images,
        data.validation_count if MEAN_AVERAGE_PRECISION in state.history else 0,
        copies,
        options,
    )


def _copies(files: RunDirectory, data: DataRecord) -> int:
    """How many validation images are known to be training images too."""
    from autofit.dataset.duplicates import copied_to_validation, noted_equal_images  # noqa: PLC0415 - loads NumPy

    noted = noted_equal_images(files.equal_images, data.train_count + data.validation_count)
    return copied_to_validation(noted, data.train_count)


def _attempt_record(attempt: AttemptDirectory) -> AttemptRecord:
    return AttemptRecord.load_or_none(attempt.record) or _reconstructed(attempt)


def _reconstructed(attempt: AttemptDirectory) -> AttemptRecord:
    """The record of an attempt whose supervisor was killed, made from its outcome or its last heartbeat."""
    outcome = Outcome.load_or_none(attempt.outcome)
    lines = _first_and_last(attempt.progress)
    last = lines[-1] if lines else Progress(time=0.0, phase=Phase.START)
    job = Job.load_or_none(attempt.job)
    unknown = "the supervising process ended as well" if lines else "it ended before its first heartbeat"
    return AttemptRecord(
        verdict=outcome.verdict if outcome else Verdict.CRASHED,
        cause=outcome.cause if outcome else unknown,
        batch_size=_batch_size(attempt, last.epoch),
        micro_batch_size=last.micro_batch_size,
        epoch=last.epoch,
        step=last.epoch_step,
        wall_seconds=max(last.monotonic_seconds - lines[0].monotonic_seconds, spent_seconds(last)) if lines else 0.0,
        segments=_segments(job),
        stage=job.work.stage if job and isinstance(job.work, TrainJob) else "",
    )


def _segments(job: Job | None) -> int:
    return job.source.spec.segments if job and job.source else 0


def _batch_size(attempt: AttemptDirectory, epoch: int) -> int:
    job = Job.load_or_none(attempt.job)
    return job.work.plan.schedule.batch_size(epoch) if job and isinstance(job.work, TrainJob) else 0


def _is_bit_equal(attempt: AttemptDirectory) -> bool:
    """Whether an attempt's operations give the same bits each time; on a GPU, some do so only in deterministic mode."""
    job = Job.load_or_none(attempt.job)
    return job is None or job.deterministic or job.memory.device == "cpu"


def _has_changed_rung(attempts: Sequence[AttemptDirectory]) -> bool:
    """Whether updates of one stage may have been made on several rungs of the ladder, which round differently.

    An attempt that ran out of memory in its very first step has made no update.
    """
    used: dict[StageName, set[int]] = {}
    for attempt in attempts:
        job = Job.load_or_none(attempt.job)
        if job and isinstance(job.work, TrainJob) and _has_trained(attempt):
            used.setdefault(job.work.stage, set()).add(_segments(job))
    return any(len(segments) > 1 for segments in used.values())


def _has_trained(attempt: AttemptDirectory) -> bool:
    """Whether an attempt may have made an update: its heartbeat advanced, or it did not end for lack of memory."""
    lines = _first_and_last(attempt.progress)
    has_moved = bool(lines) and (lines[0].epoch, lines[0].epoch_step) != (lines[-1].epoch, lines[-1].epoch_step)
    return has_moved or _attempt_record(attempt).verdict not in OUT_OF_MEMORY


def _last_sha256(attempts: Sequence[AttemptDirectory]) -> str | None:
    """The hash of the weights at the end of the last stage, from the newest attempt that completed one."""
    outcomes = (Outcome.load_or_none(attempt.outcome) for attempt in reversed(attempts))
    return next((outcome.weights_sha256 for outcome in outcomes if outcome and outcome.weights_sha256), None)


def has_model_of_stage(files: RunDirectory, stage: StageName) -> bool:
    """Whether `model.keras` is the model of a finished stage, and not that of an earlier epoch.

    A worker saves the model before it reports that it has completed its stage. One that was killed between the stage's
    last checkpoint and the report has reported nothing. The times of the files are not used, since a clock may be set
    back.
    """
    for attempt in reversed(files.attempts()[-MOST_ATTEMPTS:]):
        job = Job.load_or_none(attempt.job)
        if job and isinstance(job.work, TrainJob) and job.work.stage == stage:
            outcome = Outcome.load_or_none(attempt.outcome)
            return outcome is not None and outcome.verdict is Verdict.COMPLETED and files.model.exists()
    return False


# Reading --------------------------------------------------------------------------------------------------------------


def _first_and_last(path: Path) -> list[Progress]:
    """Some of the first and some of the last lines of a heartbeat file, which may be large."""
    return records_in(_head(path, LAST_LINES_BYTES), Progress) + records_in(_end(path, LAST_LINES_BYTES), Progress)


def last_lines(attempts: Iterable[AttemptDirectory]) -> Iterator[Progress]:
    """The last heartbeat of each attempt that has one."""
    for attempt in attempts:
        yield from records_in(_end(attempt.progress, LAST_LINES_BYTES), Progress)[-1:]


def _events(attempts: Iterable[AttemptDirectory]) -> Iterator[Event]:
    """The events of all attempts, without those that only have an epoch's end, which a checkpoint has, or a message."""
    for attempt in attempts:
        for event in events_of(attempt):
            if event.model_fields_set - {"epoch_end", "message"}:
                yield event


def events_of(attempt: AttemptDirectory, *, is_own: bool = False) -> Iterator[Event]:
    """The events of an attempt that has ended, in their order.

    Of a file without end these are the first, unless this process itself has made the attempt (`is_own`).
    """
    most_bytes, most = (sys.maxsize, None) if is_own else (MAX_RECORD_BYTES, 2 * MOST_EVENTS)
    with contextlib.suppress(OSError):  # it does not exist, or is no regular file
        lines = bounded_lines(attempt.events, LINE.size_bytes, most_bytes)
        yield from _each_record(islice(lines, most), Event)


def _each_record(lines: Iterable[bytes], kind: type[R]) -> Iterator[R]:
    """The records in these lines; a damaged line is skipped."""
    for line in lines:
        with contextlib.suppress(ValueError):
            require_bounded(line, kind.__name__, LINE)
            yield kind.model_validate_json(line)


def records_in(text: bytes, kind: type[R]) -> list[R]:
    """The records in complete lines; a damaged line is skipped."""
    return list(_each_record(text.split(b"\n")[:-1], kind))


def _head(path: Path, most_bytes: int) -> bytes:
    try:
        with open_plain(path, follow_links=False) as stream:
            return stream.read(most_bytes)
    except OSError:  # it does not exist, or is no regular file
        return b""


def _end(path: Path, most_bytes: int) -> bytes:
    try:
        with open_plain(path, follow_links=False) as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - most_bytes))
            return stream.read(most_bytes)
    except OSError:
        return b""
