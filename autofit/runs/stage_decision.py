"""The decisions by a time budget about the stages after the head, which are saved in `run.json` before these begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autofit.config.batch_schedule import steps_per_epoch
from autofit.config.cuts import WHOLE
from autofit.config.learning_rates import falls_of_other_length
from autofit.config.rungs import MOST_SEGMENTS, Rung, saving_more
from autofit.protocol.job import FineTunePlan, Kernels, StageTime
from autofit.protocol.messages import FINE_TUNING, LATER_STAGES, StageName, StageRecord
from autofit.runs.fine_tune_plan import choices
from autofit.runs.run_record import RunRecord
from autofit.runs.stage_forecast import TRAIN_FACTOR, Work
from autofit.runs.stage_precision import with_stage_precision
from autofit.runs.stage_probe import StageStart, needs_stage_probe
from autofit.runs.stage_speed import forward_by_epochs, measured_epochs, measured_speed
from autofit.runs.stages import chosen_rung, next_stage
from autofit.runs.time_budget import (
    TimeBudget,
    decide,
    epochs_in,
    is_asked_for,
    left_words,
    seconds_words,
    views_fit,
    words_of_test,
)
from autofit.storage.run_directory import RunDirectory, writing_in

LEAST_MEASURED = 128
"""If a profile knows the speed, that of an extraction of fewer images is not used: the cache had all others."""

LEAST_BETWEEN_SECONDS = 0.5
"""Less than this before a stage is not written down: nothing was measured then."""

SHARE_FOR_TEST = 0.25
"""The most of a time budget that a first stage leaves to the test: a head on fewer images is worse by far, and a run
with so short a budget may end later."""

WARM_START = 0.5
"""The start of a later worker takes at least this share of the first one's, which may have read from a cold disk."""


def with_stage_decided(
    record: RunRecord,
    files: RunDirectory,
    finished: Sequence[StageRecord],
    budget: TimeBudget,
    now: float,
    *,
    is_probed: bool,
    best_epoch: int | None = None,
) -> tuple[RunRecord, str]:
    """Decide about the next stage, if that is not decided yet, and save the decision in `run.json`.

    If the user has left it to autofit, all layers are fine-tuned if there is time for that, else those above the cut. A
    run that is resumed or replayed follows the saved decision.

    Args:
        record: the record of the run.
        files: the run's directory.
        finished: its finished stages.
        budget: its time budget.
        now: the time by the budget's clock.
        is_probed: whether the stage was probed. If not, this decides only which layers are probed, or, finally, that
            there is no further stage.
        best_epoch: the best epoch of the run, counted from zero; after a fine-tuning it says whether a refit follows.

    Returns:
        The record with the decision, and a message for the user; empty if there is nothing to say.

    Raises:
        StorageError: `run.json` cannot be written.
    """
    kept_seconds = seconds_of_test(record, files, budget)
    before_test = budget.before_test(kept_seconds)
    record, words = _decided(record, files, finished, before_test, now, is_probed=is_probed, best_epoch=best_epoch)
    return record, words and words + words_of_test(kept_seconds)


def _decided(
    record: RunRecord,
    files: RunDirectory,
    finished: Sequence[StageRecord],
    budget: TimeBudget,
    now: float,
    *,
    is_probed: bool,
    best_epoch: int | None,
) -> tuple[RunRecord, str]:
    """`with_stage_decided`, by the budget of what comes before the test."""
    if record.plan.epochs_by_budget == "open":
        return _with_epochs_decided(record, files, finished, budget, now)
    if next_stage(record.plan, finished, best_epoch) == "refit":
        return _with_refit_decided(record, files, budget, now)
    record, words = _with_views_decided(record, files, finished, budget, now)
    stage = record.plan.fine_tune
    if words or stage is None or not stage.by_budget or next_stage(record.plan, finished, None) != "fine-tune":
        return record, words
    has_sizes = is_probed or files.fine_tune_probe.exists()
    may_be = stage_choices(record) if stage.cut == WHOLE or not has_sizes else (stage,)
    decision = decide(
        may_be if is_probed else with_foreseen_kernels(may_be, record),
        _work(record, files, budget),
        budget.left_seconds(now),
        is_asked_for=is_asked_for(record.options),
        is_to_probe=not is_probed and _is_to_probe(record, files),
    )
    if decision.fine_tune is None or is_probed:
        return _with_plan(record, files, {"fine_tune": decision.fine_tune}), decision.words
    if decision.fine_tune.cut != stage.cut:
        chosen = next(choice for choice in stage_choices(record) if choice.cut == decision.fine_tune.cut)
        record = _with_plan(record, files, {"fine_tune": chosen})
    return record, ""


def stage_choices(record: RunRecord) -> tuple[FineTunePlan, ...]:
    """The plans for fine-tuning that a time budget may choose from, the best first; empty without such a stage."""
    stage = record.plan.fine_tune
    return () if stage is None else choices(stage, record.options, record.data.train_count)


def foreseen_choices(record: RunRecord) -> tuple[FineTunePlan, ...]:
    """The same plans before the stage is probed: with the kernels that each may get."""
    return with_foreseen_kernels(stage_choices(record), record)


def with_foreseen_kernels(may_be: Sequence[FineTunePlan], record: RunRecord) -> tuple[FineTunePlan, ...]:
    """Plans for fine-tuning, with the kernels that they get if the probe of the stage finds plenty of memory.

    With the slower kernels of the plans themselves, training all layers would seem too slow on most machines.
    """
    is_open = record.plan.kernels == "onednn" and needs_stage_probe(record.options, record.plan, "fine-tune")
    return tuple(stage.model_copy(update={"kernels": "onednn"}) if is_open else stage for stage in may_be)


def above_the_cut_instead(record: RunRecord, files: RunDirectory) -> RunRecord | None:
    """Plan to fine-tune only above the cut, since all layers do not fit into memory, and save that in `run.json`.

    Returns:
        The record with the new plan; None unless a time budget had chosen all layers.

    Raises:
        StorageError: `run.json` cannot be written.
    """
    stage, may_be = record.plan.fine_tune, stage_choices(record)
    if stage is None or not stage.by_budget or len(may_be) == 1 or stage.cut != WHOLE:
        return None
    return _with_plan(record, files, {"fine_tune": may_be[-1]})


def with_seconds_between(record: RunRecord, files: RunDirectory, seconds: float) -> RunRecord:
    """The run with the time before a stage that is no attempt's, such as that of a probe; saved if it is worth it.

    Raises:
        StorageError: `run.json` cannot be written.
    """
    if seconds < LEAST_BETWEEN_SECONDS:
        return record
    counted = record.model_copy(update={"seconds_between": record.seconds_between + seconds})
    return _saved(counted, files)


def with_start(record: RunRecord, files: RunDirectory, stage: StageName, start: StageStart) -> RunRecord:
    """The run with what was chosen for a stage: the kernels, the precision and the rung; saved if that is new.

    Raises:
        StorageError: `run.json` cannot be written.
    """
    decided = _with_kernels(with_stage_precision(record, start.precision), start.kernels)
    if decided != record:
        record = _saved(decided, files)
    if chosen_rung(record.plan, stage) is None and start.rung is not None:
        return with_rung(record, files, stage, start.rung)
    return record


def _with_kernels(record: RunRecord, kernels: Kernels | None) -> RunRecord:
    stage = record.plan.fine_tune
    if stage is None or kernels in {None, stage.kernels}:
        return record
    tuned = stage.model_copy(update={"kernels": kernels})
    return record.model_copy(update={"plan": record.plan.model_copy(update={"fine_tune": tuned})})


def with_rung(record: RunRecord, files: RunDirectory, stage: StageName, rung: Rung) -> RunRecord:
    """The run with the rung of the ladder that was chosen for a stage; it is saved.

    Raises:
        StorageError: `run.json` cannot be written.
    """
    tuned = record.plan.fine_tune
    if stage in FINE_TUNING and tuned is not None:
        return _with_plan(record, files, {"fine_tune": tuned.model_copy(update={"rung": rung})})
    return _with_plan(record, files, {"rung": rung})


def saving_rung(record: RunRecord, stage: StageName, rung: Rung, most_segments: int = 0) -> Rung | None:
    """The rung to take if not even one image at a time fits on this one; None if there is none.

    `most_segments` is the largest number of segments into which the network can be cut; 0 if that is unknown.

    There is none if only the head trains, if the user has decided about recomputing, and in a replay, which would no
    longer be equal bit for bit.
    """
    trains = stage in FINE_TUNING or (stage == "training" and record.options.trainable == "all")
    is_free = record.options.recompute == "auto" and record.plan.replay is None
    return saving_more(rung, most_segments or MOST_SEGMENTS) if trains and is_free else None


def _with_epochs_decided(
    record: RunRecord, files: RunDirectory, finished: Sequence[StageRecord], budget: TimeBudget, now: float
) -> tuple[RunRecord, str]:
    """Decide how many epochs a training from scratch has, when its first one is done: as many as there is time for.

    The learning rate falls in the last of them. A training that has no time for a second one is finished.

    Returns:
        The record with the decision, and a message if more epochs follow.
    """
    done = sum(stage.epochs for stage in finished)
    spent_seconds, start_seconds = measured_epochs(files)
    epoch_seconds, left_seconds = spent_seconds / max(done, 1), budget.left_seconds(now)
    epochs = epochs_in(left_seconds, done, epoch_seconds, start_seconds)
    updates = steps_per_epoch(record.data.train_count, record.plan.first_batch_size)
    falls = falls_of_other_length(record.plan.rate_falls, done * updates, epochs * updates)
    update = {"epochs": epochs, "rate_falls": falls, "epochs_by_budget": "decided"}
    takes = seconds_words(start_seconds + (epochs - done) * epoch_seconds)
    words = f"{left_words(left_seconds)}: {epochs} epochs in all, about {takes} more"
    return _with_plan(record, files, update), words if epochs > done else ""


def _with_views_decided(
    record: RunRecord, files: RunDirectory, finished: Sequence[StageRecord], budget: TimeBudget, now: float
) -> tuple[RunRecord, str]:
    """Decide whether the head is solved again on augmented views, if that is the next stage.

    It is not if no speed is known, or if the time was too short to extract all images.

    Returns:
        The record with the decision, and a message if the head is solved again.
    """
    views = record.plan.views
    if views is None or not views.by_budget or next_stage(record.plan, finished, None) != "views":
        return record, ""
    work, left_seconds = _work(record, files, budget), budget.left_seconds(now)
    may_follow = foreseen_choices(record)
    solved = sum(stage.seconds or 0.0 for stage in finished)
    needed = work.views_seconds(views, solved)
    is_short = work.speed.images_per_second is None or any(stage.cut_short for stage in finished)
    how = {"is_asked_for": is_asked_for(record.options), "is_to_probe": _is_to_probe(record, files)}
    if is_short or not views_fit(views, may_follow, work, left_seconds, solved, **how):
        return _with_plan(record, files, {"views": None}), ""
    decided = views.model_copy(update={"by_budget": False})
    words = (
        f"{left_words(left_seconds)}: the head is solved once more, "
        f"on {views.count} augmented views of each image, about {seconds_words(needed)}"
    )
    return _with_plan(record, files, {"views": decided}), words


def _with_refit_decided(
    record: RunRecord, files: RunDirectory, budget: TimeBudget, now: float
) -> tuple[RunRecord, str]:
    """Leave out the refit if there is no time to start its worker, which ends it if there is none for its epochs.

    Returns:
        The record with the decision, and a message if the refit is left out.
    """
    stage, left_seconds = record.plan.fine_tune, budget.left_seconds(now)
    if stage is None or left_seconds >= WARM_START * _work(record, files, budget).speed.other_seconds:
        return record, ""
    why = "no time to fine-tune once more on all images: the model from before is the result"
    words = f"{left_words(left_seconds)}, {why}"
    return _with_plan(record, files, {"fine_tune": stage.model_copy(update={"refit": False})}), words


def _with_plan(record: RunRecord, files: RunDirectory, update: dict[str, object]) -> RunRecord:
    """The run with a change of its plan, saved in `run.json`."""
    return _saved(record.model_copy(update={"plan": record.plan.model_copy(update=update)}), files)


def _saved(record: RunRecord, files: RunDirectory) -> RunRecord:
    with writing_in(files.path):
        record.save(files.run)
    return record


def _is_to_probe(record: RunRecord, files: RunDirectory) -> bool:
    """Whether fine-tuning is probed before it begins, and was not yet."""
    return not files.fine_tune_probe.exists() and needs_stage_probe(record.options, record.plan, "fine-tune")


def stage_time(record: RunRecord, files: RunDirectory, stage: StageName, budget: TimeBudget) -> StageTime:
    """The times that a worker of a stage gets, with the estimated time of an epoch, if there is an estimate."""
    fine_tune, kept_seconds = record.plan.fine_tune, seconds_of_test(record, files, budget)
    if stage not in LATER_STAGES:
        kept_seconds = min(kept_seconds, SHARE_FOR_TEST * budget.seconds)
    budget = budget.before_test(kept_seconds)
    if stage not in FINE_TUNING or fine_tune is None:
        return budget.stage_time()
    work = _work(record, files, budget)
    return budget.stage_time((work.refitted() if stage == "refit" else work).epoch_seconds(fine_tune))


def seconds_of_test(record: RunRecord, files: RunDirectory, budget: TimeBudget) -> float:
    """The estimated time of the test at the end of a run, by the speed of its first stage; 0 without test images."""
    data, work = record.data, _work(record, files, budget)
    if data.test_count and not work.speed.images_per_second:
        times = TRAIN_FACTOR if record.options.trainable == "all" else 1.0
        passes = times * data.train_count + data.validation_count
        work = replace(work, speed=replace(work.speed, images_per_second=forward_by_epochs(files, passes)))
    return work.test_seconds(data.test_count)


def _work(record: RunRecord, files: RunDirectory, budget: TimeBudget) -> Work:
    """The number of images, and the speed: as measured in this run on enough images, else by a profile."""
    speed = measured_speed(files, LEAST_MEASURED if budget.known_per_second else 1)
    if speed.images_per_second is None:
        speed = replace(speed, images_per_second=budget.known_per_second, kernels=record.plan.kernels)
    return Work(record.data.train_count, record.data.validation_count, speed)
