"""The attempts of a run, from the first to its result, or to the reason why there is none and how to go on."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Literal

from autofit.api.directories import absolute
from autofit.api.existing_run import how_to_resume, read_run
from autofit.api.extractions import keep_extraction
from autofit.api.result import Result, from_here
from autofit.api.workers import cache_for, import_paths, launcher_for, profile_store
from autofit.errors import AutofitError, InterruptedRunError, TrainingFailedError
from autofit.machine.hardware import Hardware
from autofit.mirror.mirror import Mirror
from autofit.probing.records import ProbeReport
from autofit.process.monitor import View
from autofit.protocol.messages import EpochEnd, MemoryBudget
from autofit.protocol.payload import Payload
from autofit.report.drawing import import_ahead
from autofit.report.page import run_page
from autofit.runs import plan
from autofit.runs.collect_result import collect_result
from autofit.runs.plan import RunRecord
from autofit.runs.supervisor import Supervisor
from autofit.storage.run_directory import RunDirectory, RunLock, writing_in


def supervise(
    files: RunDirectory,
    record: RunRecord,
    machine: Hardware,
    payload: Payload | None,
    lock: RunLock,
    view: View,
    mirror: Mirror | None,
) -> Result:
    """Attempt until the run has ended, write down how, and return the run or raise the reason."""
    if record.has_callbacks and not (payload and payload.callbacks):
        view.message("this run was started with callbacks; going on without them")
    began, earlier = time.monotonic(), collect_result(files, "failed", "", 0.0).attempts
    store, before = profile_store(view), len(files.attempts())
    supervisor = Supervisor(
        files,
        record,
        _memory(files, record, machine),
        launcher_for(record.options, machine),
        view=PageAhead(view),
        payload=payload,
        lock_fd=lock.fileno(),
        import_paths=import_paths(record.options, payload),
        cache=cache_for(record, machine, store),
        sleep=mirror.sleep if mirror else time.sleep,
    )
    if mirror:
        mirror.start()
    error = _attempts(supervisor, mirror)
    keep_extraction(record, machine, store, files, before)
    wall_seconds = time.monotonic() - began + sum(attempt.wall_seconds for attempt in earlier)
    with writing_in(files.path):
        collect_result(files, _status(error), str(error or ""), wall_seconds).save(files.result)
    result = Result(files.path)
    write_page(files, result)
    if error is not None:
        raise _with_directions(error, files, record)
    return result


def _memory(files: RunDirectory, record: RunRecord, machine: Hardware) -> MemoryBudget:
    """What its workers may use; what they take outside the allocator is known where the run's probe has measured it."""
    probe = _probe(files)
    budget = plan.memory_budget(
        record.options,
        machine,
        plan.largest_decoded_batch(record.plan, machine),
        extracts=record.plan.feature_cache,
        foreseen_bytes=plan.foreseen_bytes(probe, record.plan.micro_batch_size) if probe else math.inf,
    )
    return budget.model_copy(update={"non_allocator_bytes": probe.non_allocator_bytes or None if probe else None})


def _probe(files: RunDirectory) -> ProbeReport | None:
    """The run's probe; None where there is none."""
    try:
        return ProbeReport.load(files.probe)
    except (OSError, ValueError):  # the sizes were given, or the file is damaged: it only makes estimates better
        return None


def _attempts(supervisor: Supervisor, mirror: Mirror | None) -> AutofitError | None:
    """Run to the end; also the second Ctrl-C, which stops at once, is an end to be written down."""
    try:
        return supervisor.run()
    except KeyboardInterrupt:
        if mirror:
            mirror.leave_at_once()
        return InterruptedRunError("stopped at once")


def _status(error: AutofitError | None) -> Literal["completed", "failed", "interrupted"]:
    if error is None:
        return "completed"
    return "interrupted" if isinstance(error, InterruptedRunError) else "failed"


def _with_directions(error: AutofitError, files: RunDirectory, record: RunRecord) -> AutofitError:
    """The same error, with where to look or how to go on."""
    if isinstance(error, InterruptedRunError):
        return InterruptedRunError(f"{error}: the last checkpoint is kept; go on with: {how_to_resume(files, record)}")
    if isinstance(error, TrainingFailedError):
        attempts = files.attempts()
        log = attempts[-1].path if attempts else files.path
        return type(error)(f"{error} (logs in {from_here(log)}; the last checkpoint is kept)")
    return error


class PageAhead:
    """A run's view that sees to it that its page can be drawn at once: what draws it is imported in the last epoch.

    Not earlier: it would take 31 MB of a machine that trains.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._has_begun = False
        self.update, self.message, self.passthrough = view.update, view.message, view.passthrough

    def epoch_done(self, end: EpochEnd, *, epochs: int) -> None:
        """Show the figures of a finished epoch; after the last but one, begin."""
        self._view.epoch_done(end, epochs=epochs)
        if not self._has_begun and end.epoch >= epochs - 2:
            self._has_begun = True
            import_ahead()


def report(run_dir: str | Path) -> Result:
    """Write a run's `report.html` anew and return the run."""
    files = RunDirectory(absolute(run_dir))
    read_run(files)
    result = Result(files.path)
    write_page(files, result)
    return result


def write_page(files: RunDirectory, result: Result) -> None:
    """Write the page of a run that has ended.

    Raises:
        StorageError: it cannot be written.
    """
    page = run_page(result.record, labels=result.labels, model_path=files.model)
    with writing_in(files.path):
        files.report.write_text(page, encoding="utf-8")
