"""The decision of a time budget about the second stage, fixed in `run.json` before that stage begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autofit.protocol.job import StageTime
from autofit.protocol.messages import FINE_TUNING, StageName, StageRecord
from autofit.runs.run_record import RunRecord
from autofit.runs.stage_probe import needs_stage_probe
from autofit.runs.stage_speed import measured_speed
from autofit.runs.stages import next_stage
from autofit.runs.time_budget import TRACE_SECONDS, TimeBudget, Work, decide, is_asked_for
from autofit.storage.run_directory import RunDirectory, writing_in


def with_stage_decided(
    record: RunRecord,
    files: RunDirectory,
    finished: Sequence[StageRecord],
    budget: TimeBudget,
    now: float,
    *,
    is_probed: bool,
) -> tuple[RunRecord, str]:
    """Decide whether and how long to fine-tune, if that is next and not yet decided, and save it in `run.json`.

    A run that is resumed or replayed follows what is saved.

    Args:
        record: the run.
        files: its directory.
        finished: its finished stages.
        budget: of the run.
        now: by its clock.
        is_probed: the sizes of the stage are known. Before, only that there is none is decided for good.

    Returns:
        The run as it is now, and what to say; nothing if there was nothing to decide.

    Raises:
        StorageError: `run.json` cannot be written.
    """
    stage = record.plan.fine_tune
    if stage is None or not stage.by_budget or next_stage(record.plan, finished, None) != "fine-tune":
        return record, ""
    work, left_seconds = _work(record, files, budget), budget.left_seconds(now)
    if not is_probed and not files.fine_tune_probe.exists():
        left_seconds -= probe_seconds(record, work)
    decision = decide(stage, work, left_seconds, is_asked_for=is_asked_for(record.options))
    if decision.fine_tune is not None and not is_probed:
        return record, ""
    plan = record.plan.model_copy(update={"fine_tune": decision.fine_tune})
    decided = record.model_copy(update={"plan": plan})
    with writing_in(files.path):
        decided.save(files.run)
    return decided, decision.words


def stage_time(record: RunRecord, files: RunDirectory, stage: StageName, budget: TimeBudget) -> StageTime:
    """What a worker of a stage is told, with an epoch as it is foreseen, if anything is known of it."""
    fine_tune = record.plan.fine_tune
    if stage not in FINE_TUNING or fine_tune is None:
        return budget.stage_time()
    work = _work(record, files, budget)
    return budget.stage_time((work.refitted() if stage == "refit" else work).epoch_seconds(fine_tune))


def probe_seconds(record: RunRecord, work: Work) -> float:
    """What a probe of the second stage takes, if it makes one: a worker's start and a trial."""
    needed = needs_stage_probe(record.options, record.plan, "fine-tune")
    return work.speed.other_seconds + TRACE_SECONDS if needed else 0.0


def _work(record: RunRecord, files: RunDirectory, budget: TimeBudget) -> Work:
    """The images and the speed: what the run has measured, else what a profile says."""
    speed = measured_speed(files)
    if speed.images_per_second is None:
        speed = replace(speed, images_per_second=budget.known_per_second, kernels=record.plan.kernels)
    return Work(record.data.train_count, record.data.validation_count, speed)
