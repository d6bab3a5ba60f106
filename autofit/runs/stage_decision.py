"""The decisions of a time budget about the stages after the head, fixed in `run.json` before they begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autofit.protocol.job import StageTime
from autofit.protocol.messages import FINE_TUNING, StageName, StageRecord
from autofit.runs.run_record import RunRecord
from autofit.runs.stage_probe import needs_stage_probe
from autofit.runs.stage_speed import measured_speed
from autofit.runs.stages import next_stage
from autofit.runs.time_budget import TRACE_SECONDS, TimeBudget, Work, decide, is_asked_for, seconds_words
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
    """Decide about the next stage, if that is not decided yet, and save it in `run.json`.

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
    record, words = _with_views_decided(record, files, finished, budget, now)
    stage = record.plan.fine_tune
    if words or stage is None or not stage.by_budget or next_stage(record.plan, finished, None) != "fine-tune":
        return record, words
    work, left_seconds = _work(record, files, budget), budget.left_seconds(now)
    if not is_probed and not files.fine_tune_probe.exists():
        left_seconds -= probe_seconds(record, work)
    decision = decide(stage, work, left_seconds, is_asked_for=is_asked_for(record.options))
    if decision.fine_tune is not None and not is_probed:
        return record, ""
    return _with_plan(record, files, {"fine_tune": decision.fine_tune}), decision.words


def _with_views_decided(
    record: RunRecord, files: RunDirectory, finished: Sequence[StageRecord], budget: TimeBudget, now: float
) -> tuple[RunRecord, str]:
    """Decide whether the head is solved once more on augmented views, if that is next; and what to say if it is.

    Where no speed is known there is no forecast; and it is not done for the images that a short budget has left.
    """
    views = record.plan.views
    if views is None or not views.by_budget or next_stage(record.plan, finished, None) != "views":
        return record, ""
    work, left_seconds = _work(record, files, budget), budget.left_seconds(now)
    solved = sum(stage.seconds or 0.0 for stage in finished)
    needed = work.views_seconds(views, solved)
    is_short = work.speed.images_per_second is None or any(stage.cut_short for stage in finished)
    if is_short or needed > left_seconds:
        return _with_plan(record, files, {"views": None}), ""
    decided = views.model_copy(update={"by_budget": False})
    words = (
        f"time budget: {seconds_words(left_seconds)} left: the head is solved once more, "
        f"on {views.count} augmented views of each image, about {seconds_words(needed)}"
    )
    return _with_plan(record, files, {"views": decided}), words


def _with_plan(record: RunRecord, files: RunDirectory, update: dict[str, object]) -> RunRecord:
    """The run with a decision in its plan, saved."""
    decided = record.model_copy(update={"plan": record.plan.model_copy(update=update)})
    with writing_in(files.path):
        decided.save(files.run)
    return decided


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
