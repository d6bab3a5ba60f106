"""What it means to call an existing run again: under other conditions, or with more or fewer epochs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autofit.config.batch_schedule import steps_per_epoch
from autofit.config.learning_rates import RateFall, falls_of_other_length
from autofit.config.option_table import OPTIONS
from autofit.config.options import (
    Options,
    asks_to_fine_tune,
    head_options,
    may_fine_tune_unasked,
    needing_epochs,
)
from autofit.protocol.epoch_stages import is_cut_by_budget
from autofit.protocol.job import TrainingPlan
from autofit.runs import plan
from autofit.runs.collect_result import Committed
from autofit.runs.fine_tune_plan import keeps_pixels
from autofit.runs.run_record import RunRecord
from autofit.runs.stages import next_stage, stages_of

WITHOUT_BUDGET = "the time budget was for the run that is finished: the epochs that are named now train without it"


class AnotherTrainingError(ValueError):
    """The requested training is not the run's training made shorter or longer; the message says why."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """A run as it is called again.

    Attributes:
        record: the record of the run, with the new conditions and epochs.
        trains_on: whether the run was finished and now trains on.
        words: what the new epochs mean, for the user; may be empty.
    """

    record: RunRecord
    trains_on: bool = False
    words: str = ""


def with_conditions(record: RunRecord, options: Options) -> RunRecord:
    """The run under the conditions of another call: the options that do not change what is trained are that call's."""
    names = [name for option in OPTIONS if option.on_rerun in {"any", "unfinished"} for name in option.field_names]
    now = record.options.model_copy(update={name: getattr(options, name) for name in names})
    tuned, is_of_all = record.plan.fine_tune, record.plan.head == "solve" and now.trainable == "all"
    is_free = now.time_budget_seconds is None and record.plan.epochs_by_budget == "open"
    planned = {
        "checkpoint_seconds": now.checkpoint_seconds,
        "checkpoint_steps": now.checkpoint_steps,
        "max_bad_images": now.max_bad_images,
        "devices": now.devices,
        "epochs_by_budget": "no" if is_free else record.plan.epochs_by_budget,
        "pixel_cache": plan.uses_pixel_cache(head_options(now) if is_of_all else now),
        "fine_tune": tuned and tuned.model_copy(update={"pixel_cache": keeps_pixels(now, tuned.cut)}),
    }
    is_same_budget = now.time_budget_seconds == record.options.time_budget_seconds
    update = {"options": now, "plan": record.plan.model_copy(update=planned)}
    return record.model_copy(update={**update, "budget_is_over": record.budget_is_over and is_same_budget})


def with_fine_tuning_as_planned(there: Options, here: Options) -> Options:
    """The request of a call, without the fine-tuning that only its time budget may do if the run was begun without it.

    An earlier version did none after a head that is trained by epochs: the same call recorded 0, and now asks for it.
    """
    may_be_unasked = here.fine_tune_epochs == "auto" and not asks_to_fine_tune(here) and may_fine_tune_unasked(here)
    if may_be_unasked and there.fine_tune_epochs == 0 and needing_epochs(here):
        return here.model_copy(update={"fine_tune_epochs": 0})
    return here


def has_other_epochs(there: Options, here: Options) -> bool:
    """Whether a call asks for another number of epochs than the run has."""
    return (there.epochs, there.fine_tune_epochs) != (here.epochs, here.fine_tune_epochs)


def with_epochs(
    record: RunRecord, options: Options, fresh: TrainingPlan, state: Committed | None, *, is_finished: bool
) -> Rerun:
    """The run with the epochs of another call, trained as if they had been asked for at once.

    Args:
        record: the record of the run.
        options: the options of the call, with the new epochs.
        fresh: the plan that a new run with these options would have.
        state: what was committed so far; None if nothing was.
        is_finished: whether the run has completed.

    Raises:
        AnotherTrainingError: with so many epochs the training would have been another one from its beginning, or more
            epochs are trained already.
    """
    done = state or Committed()
    now = _new_plan(record, options, fresh, is_finished=is_finished)
    _require_same_beginning(record.plan, now, done)
    trained = _trained_updates(now, record.data.train_count, done)
    now = _with_falls(now, record.data.train_count, trained)
    asked = {"epochs": options.epochs, "fine_tune_epochs": options.fine_tune_epochs}
    update: dict[str, Any] = {"options": record.options.model_copy(update=asked), "plan": now}
    trains_on, words = False, ""
    if is_finished and now != record.plan:
        is_last = len(stages_of(now)) == 1
        has_more = now.epochs > done.epoch if is_last else next_stage(now, done.stages, done.best_epoch) is not None
        has_stopped = done.stopped and not is_cut_by_budget(done.stages, done.stage)
        trains_on = has_more and not (is_last and has_stopped)
        if has_more and not trains_on:
            words = f"the training was stopped after {done.epoch} epochs, so asking for {now.epochs} changes nothing"
    if trains_on or not is_finished:
        falls = record.plan.rate_falls, now.rate_falls, fresh.rate_falls
        words = _words_of_falls(*falls, trained, options.learning_rate)
    if trains_on and options.time_budget_seconds is not None:
        update["budget_is_over"] = True
        words = "; ".join([WITHOUT_BUDGET, *([words] if words else [])])
    return Rerun(record.model_copy(update=update), trains_on, words)


def _new_plan(record: RunRecord, options: Options, fresh: TrainingPlan, *, is_finished: bool) -> TrainingPlan:
    """The plan of the run with the changes that the new epochs make; the budget of a finished run decides no more."""
    was = record.plan
    tuned = was.fine_tune
    if fresh.fine_tune is None or _stays_left_out(record, options):
        tuned = None
    elif tuned is None:
        later = {"refit": fresh.fine_tune.refit and was.refit_head}
        later |= {"by_budget": fresh.fine_tune.by_budget and not is_finished}
        tuned = fresh.fine_tune.model_copy(update=later)
    elif _is_about_fine_tuning(record.options, options, was):
        tuned = tuned.model_copy(update={"epochs": fresh.fine_tune.epochs, "views": fresh.fine_tune.views})
    update: dict[str, Any] = {"epochs": fresh.epochs, "fine_tune": tuned, "feature_views": fresh.feature_views}
    update |= {"head": fresh.head, "epochs_by_budget": fresh.epochs_by_budget}
    return was.model_copy(update=update)


def _trained_updates(planned: TrainingPlan, train_count: int, done: Committed) -> int:
    """The number of updates that were made."""
    epochs = done.epoch * steps_per_epoch(train_count, planned.first_batch_size)
    return epochs + steps_per_epoch(done.position, planned.first_batch_size)


def _with_falls(planned: TrainingPlan, train_count: int, trained: int) -> TrainingPlan:
    """The plan, in which the learning rate falls at the new end, if it falls at all."""
    if not planned.rate_falls:
        return planned
    updates = planned.schedule.updates(train_count)
    return planned.model_copy(update={"rate_falls": falls_of_other_length(planned.rate_falls, trained, updates)})


def _words_of_falls(
    was: Sequence[RateFall], now: Sequence[RateFall], at_once: Sequence[RateFall], trained: int, learning_rate: float
) -> str:
    """What other epochs mean if as many at once would have had other learning rates, namely those `at_once`."""
    if len(now) > len(was):
        return (
            f"the learning rate, which had fallen to zero, is {learning_rate:g} again, and falls in the last of the "
            "new epochs"
        )
    if now and now not in (was, at_once) and now[-1].begin <= trained:
        return (
            "the learning rate has begun to fall, and falls until the new end: as many epochs at once give another "
            "model"
        )
    return ""


def _stays_left_out(record: RunRecord, options: Options) -> bool:
    """Whether fine-tuning, which a time budget has left out after the head, is not what is asked for now."""
    is_named = record.options.fine_tune_epochs != options.fine_tune_epochs or options.trainable == "all"
    return record.plan.fine_tune is None and not is_named


def _is_about_fine_tuning(was: Options, now: Options, planned: TrainingPlan) -> bool:
    """Whether the epochs that differ are those of fine-tuning; in a training of all layers, `epochs` are these."""
    is_of_all = planned.fine_tune is not None and was.trainable == "all"
    return was.fine_tune_epochs != now.fine_tune_epochs or (is_of_all and was.epochs != now.epochs)


def _require_same_beginning(was: TrainingPlan, now: TrainingPlan, done: Committed) -> None:
    """Check that what was trained so far is the beginning of the requested training.

    Raises:
        AnotherTrainingError: it is not.
    """
    if was.replay is not None:
        raise AnotherTrainingError("a replay has the epochs of the run that it repeats")
    finished = {stage.name for stage in done.stages}
    firsts = {stages_of(was)[0], *(stage.name for stage in done.stages[:1])}  # a head is one still if nothing follows
    if was.head != now.head or stages_of(now)[0] not in firsts:
        raise AnotherTrainingError("the head would be trained in another way")
    is_begun = "fine-tune" in finished or done.stage in {"fine-tune", "refit"}
    if is_begun and was.fine_tune != now.fine_tune:
        raise AnotherTrainingError("the learning rate of fine-tuning falls to zero over all its epochs")
    if was.epochs == now.epochs:
        return
    if was.first_batch_size != was.last_batch_size:
        raise AnotherTrainingError("the batch sizes of batch_schedule are spread over all epochs")
    if was.feature_views != now.feature_views:
        raise AnotherTrainingError("the number of views in the feature cache follows from the epochs")
    if stages_of(was)[0] in finished and len(stages_of(was)) > 1:
        raise AnotherTrainingError("the stage after these epochs has begun")
    if "head" in finished and now.fine_tune is not None:
        raise AnotherTrainingError("the head has ended: ask for its epochs alone, and for fine-tuning afterwards")
    trained = done.epoch + (done.position > 0)
    if now.epochs < trained:
        raise AnotherTrainingError(f"{trained} epochs are trained already")
