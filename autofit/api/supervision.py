"""Makes the attempts of a run and ends it: with the result, or with an error that says why and how to resume."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

from autofit.api.budget_notes import announce_budget, with_known_speed
from autofit.api.callbacks import give_back
from autofit.api.code_identity import as_given, remember_used
from autofit.api.device_notes import announce_device, devices_note, require_devices
from autofit.api.existing_run import how_to_resume, save_if_changed
from autofit.api.extractions import save_extraction
from autofit.api.final_test import with_test
from autofit.api.report import write_page_or_say_why
from autofit.api.result import Result, shown_path
from autofit.api.squeezed import squeeze_reader
from autofit.api.stage_sizes import StageSizes
from autofit.api.workers import cache_for, import_paths, launcher_for, machine_for, profile_store
from autofit.doctor.start_crash import with_findings
from autofit.errors import (
    AutofitError,
    DoesNotFitError,
    InterruptedRunError,
    StorageError,
    TrainingFailedError,
    UserError,
)
from autofit.machine.hardware import Hardware
from autofit.mirror.mirror import Mirror
from autofit.process.monitor import View
from autofit.protocol.messages import MemoryBudget
from autofit.protocol.payload import Payload
from autofit.runs.collect_result import collect_result, has_best_model
from autofit.runs.data_check import run_findings
from autofit.runs.environment import environment_of, on_software, software_of
from autofit.runs.grouped_validation import grouped_validation
from autofit.runs.memory_budget import GIVEN_LIMIT, foreseen_bytes, largest_decoded_batch, limited_by, memory_budget
from autofit.runs.run_record import RunRecord, read_run
from autofit.runs.stage_probe import stage_left_out
from autofit.runs.stage_speed import saved_probe
from autofit.runs.stages import NO_REFIT, is_refit_dropped
from autofit.runs.supervisor import Supervisor
from autofit.runs.time_budget import TimeBudget
from autofit.runs.what_would_help import left_out_words
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory, writing_in
from autofit.storage.run_lock import NO_FLOCK, RunLock


def supervise(
    files: RunDirectory,
    record: RunRecord,
    machine: Hardware,
    payload: Payload | None,
    lock: RunLock,
    view: View,
    mirror: Mirror | None,
    called_at: float | None = None,
) -> Result:
    """Make attempts until the run is finished or cannot go on; write its result; return it, or raise the reason.

    A time budget and `max_minutes` count from `called_at`, the time of the user's call by `time.monotonic()`; if None,
    from now.
    """
    if record.has_callbacks and not (payload and payload.callbacks):
        view.message("this run was started with callbacks; continuing without them")
    require_devices(record.options, machine)
    record = _on_this_software(files, record, machine, view)
    if note := devices_note(record.options, machine):
        view.message(note)
    announce_device(record.plan, machine, view, isolated=record.options.isolation == "process")
    start_seconds, earlier = time.monotonic(), collect_result(files, "failed", "", 0.0).attempts
    store, before = profile_store(record.options, view), len(files.attempts())
    memory = _memory(files, record, machine)
    used_seconds = sum(attempt.wall_seconds for attempt in earlier) + record.seconds_between
    began, minutes = start_seconds if called_at is None else called_at, record.options.max_minutes
    budget = _budget(record, began, used_seconds, is_resumed=before > 0)
    if budget:
        budget = with_known_speed(budget, record, machine, store)
        announce_budget(budget, record, machine, view, is_resumed=before > 0)
    supervisor = Supervisor(
        files,
        record,
        memory,
        launcher_for(record.options, machine),
        view=view,
        payload=payload,
        lock_fd=lock.fileno(),
        import_paths=import_paths(record.options, payload),
        cache=cache_for(record, machine, store),
        sleep=mirror.sleep if mirror else time.sleep,
        squeezed=squeeze_reader(files, machine, lambda: machine_for(record.options), memory.limit_bytes),
        begin_stage=StageSizes(files, payload, view, memory).begin,
        budget=budget,
        stop_at=None if minutes is None else began + 60 * minutes,
    )
    if mirror:
        mirror.start()
    callbacks = payload.callbacks if payload else ()
    given = as_given(callbacks)
    error = _attempts(supervisor, mirror)
    give_back(files, callbacks, view.message)
    remember_used(callbacks, given)
    save_extraction(record, machine, store, files, before)
    wall_seconds = time.monotonic() - start_seconds + used_seconds + (record.seconds_before if budget else 0.0)
    return _end(files, record, error, wall_seconds, machine, view)


def _on_this_software(files: RunDirectory, record: RunRecord, machine: Hardware, view: View) -> RunRecord:
    """Record the versions of the software with which the run goes on; a message says if they have changed."""
    now, said = on_software(record, software_of(machine), is_begun=bool(files.attempts()))
    if said:
        view.message(said)
    return save_if_changed(files, record, now)


def _budget(record: RunRecord, called_at: float, used_seconds: float, *, is_resumed: bool) -> TimeBudget | None:
    """What the run has left of its time budget; None without a budget.

    The time that a killed session used is known from its attempts, and from what it recorded of the time besides.
    """
    seconds = _budget_seconds(record)
    if seconds is None:
        return None
    used = used_seconds + record.seconds_before if is_resumed else 0.0
    return TimeBudget(seconds, called_at + seconds - used)


def _budget_seconds(record: RunRecord) -> float | None:
    """The time budget of a run; None if it has none, or trains on after it."""
    return None if record.budget_is_over else record.options.time_budget_seconds


def _end(
    files: RunDirectory,
    record: RunRecord,
    error: AutofitError | None,
    wall_seconds: float,
    machine: Hardware,
    view: View,
) -> Result:
    """Write the result, test a finished model, and write the page; then return the run, or raise why it failed.

    If something cannot be written, the reason of the failure is still the one that is raised.

    Raises:
        AutofitError: the run failed; or it is finished, but its result cannot be written.
    """
    try:
        result = _write_result(files, record, error, wall_seconds, machine)
        if error is None:
            result = _tested(files, record, result, machine, view)
    except AutofitError as problem:
        if error is None:
            raise type(problem)(
                f"the training is finished, but {problem}: then write its result with {how_to_resume(files, record)}"
            ) from problem
        view.message(f"result.json and report.html were not written: {problem}")
    else:
        write_page_or_say_why(files, result, view)
        if error is None:
            return result
    raise _with_directions(error, files, record, machine)


def _write_result(
    files: RunDirectory, record: RunRecord, error: AutofitError | None, wall_seconds: float, machine: Hardware
) -> Result:
    with writing_in(files.path):
        result = collect_result(
            files,
            _status(error),
            str(error or ""),
            wall_seconds,
            record.data,
            _budget_seconds(record),
            grouped_validation(files, record),
            record.options,
        )
        decided = read_run(files) or record  # a time budget may have decided for the head alone
        if error is None and (stage := stage_left_out(decided.plan, result.stages, result.best_epoch)):
            left_out = left_out_words(decided.settled_options, machine.device, stage)
            result = result.model_copy(update={"warnings": [left_out, *result.warnings]})
        if error is None and is_refit_dropped(decided.plan, result.stages, result.best_epoch):
            result = result.model_copy(update={"warnings": [*result.warnings, NO_REFIT]})
        data = run_findings(files, record.data) if error is None else None
        facts = {
            "environment": environment_of(machine),
            "data": data,
            "is_bit_equal": result.is_bit_equal and len(decided.software) <= 1,
        }
        result.model_copy(update=facts).save(files.result)
    return Result(files.path)


def _tested(files: RunDirectory, record: RunRecord, result: Result, machine: Hardware, view: View) -> Result:
    """Add the figures of the test to a result that is already written, so that a kill meanwhile leaves it finished."""
    tested = with_test(files, record, result.record, machine, view)
    if tested == result.record:
        return result
    with writing_in(files.path):
        tested.save(files.result)
    return Result(files.path)


def _memory(files: RunDirectory, record: RunRecord, machine: Hardware) -> MemoryBudget:
    """The memory budget of the workers; it includes what the probe measured outside the allocator, if there was one."""
    probe = saved_probe(files.probe)
    budget = memory_budget(
        record.options,
        machine,
        largest_decoded_batch(record.plan, machine),
        extracts=record.plan.feature_cache,
        foreseen_bytes=foreseen_bytes(probe, record.plan.micro_batch_size) if probe else math.inf,
    )
    return budget.model_copy(update={"non_allocator_bytes": probe.non_allocator_bytes or None if probe else None})


def _attempts(supervisor: Supervisor, mirror: Mirror | None) -> AutofitError | None:
    """Make the attempts. A second Ctrl-C, which stops at once, is returned as an error too, so that it is recorded."""
    try:
        return supervisor.run()
    except KeyboardInterrupt:
        if mirror:
            mirror.hurry()
        return InterruptedRunError("stopped at once")


def say_of_lock(lock: RunLock, view: View) -> None:
    """Warn if the drive cannot lock files, so that the run directory is locked in another way."""
    if not lock.has_flock:
        view.message(NO_FLOCK)


def _status(error: AutofitError | None) -> Literal["completed", "failed", "interrupted"]:
    if error is None:
        return "completed"
    return "interrupted" if isinstance(error, InterruptedRunError) else "failed"


LOGS, CHECKPOINT_KEPT = " (logs in ", "; the last checkpoint is kept"


def without_directions(error: AutofitError) -> str:
    """The message of a run's error without where its logs are and how it goes on, for a run that is removed."""
    return str(error).partition(LOGS)[0].partition(CHECKPOINT_KEPT)[0]


def _with_directions(error: AutofitError, files: RunDirectory, record: RunRecord, machine: Hardware) -> AutofitError:
    """The same error, with the place of the logs or how to resume."""
    if isinstance(error, InterruptedRunError):
        how = how_to_resume(files, record)
        kept = "the last checkpoint is kept" if _newest_checkpoint(files) else "there was no checkpoint yet"
        return InterruptedRunError(f"{error}: {kept}{_model_so_far(files)}; go on with: {how}")
    if isinstance(error, DoesNotFitError):
        return DoesNotFitError(f"{error}{_what_is_kept(files, record, machine)}")
    if isinstance(error, UserError):
        return type(error)(with_findings(str(error)))
    if isinstance(error, TrainingFailedError):
        return type(error)(f"{with_findings(str(error))}{LOGS}{_logs_and_checkpoint(error, files, record)})")
    return error


def _what_is_kept(files: RunDirectory, record: RunRecord, machine: Hardware) -> str:
    """The model and the checkpoint of a run whose memory did not suffice, and how it goes on; empty without any."""
    has_model = record.plan.fine_tune is not None and files.model.exists()
    model = f"; the head's model is in {shown_path(files.model)}" if has_model else ""
    if _newest_checkpoint(files) is None:
        return model
    is_given = limited_by(record.options, machine) == GIVEN_LIMIT
    more = "and a higher memory_limit" if is_given else "where there is more memory"
    return f"{model}{CHECKPOINT_KEPT}: go on with {how_to_resume(files, record)} {more}"


def _logs_and_checkpoint(error: TrainingFailedError, files: RunDirectory, record: RunRecord) -> str:
    """Where the logs and the newest checkpoint are; after the failure of a drive also how to go on when it works."""
    log = files.path
    with suppress(OSError, StorageError, IndexError):  # the disk may be what failed
        log = files.attempts()[-1].path
    newest = _newest_checkpoint(files)
    kept = f"the checkpoint {newest.name} is kept" if newest else "there was no checkpoint yet"
    then = f"; then go on with: {how_to_resume(files, record)}" if isinstance(error, StorageError) else ""
    return f"{shown_path(log)}; {kept}{_model_so_far(files)}{then}"


def _model_so_far(files: RunDirectory) -> str:
    """Where the model is that a run has saved before it ended; empty without one.

    A run that is stopped saves its best epoch, unless it is stopped at once. One that fails leaves what it has saved
    before, such as its head's.
    """
    with suppress(OSError, AutofitError):  # the disk may be what failed
        if files.model.is_file():
            which = "best model so far" if has_best_model(files) else "last model saved"
            return f" and the {which} is {shown_path(files.model)}"
    return ""


def _newest_checkpoint(files: RunDirectory) -> Path | None:
    with suppress(OSError, StorageError):  # the disk may be what failed
        return CheckpointStore(files.checkpoints).newest()
    return None
