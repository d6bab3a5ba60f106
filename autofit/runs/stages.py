"""The stages of a run: which comes next, and with which plan and network its workers run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from autofit.config.batch_schedule import steps_per_epoch
from autofit.config.cuts import AUTO_CUT, WHOLE
from autofit.config.fine_tuning import FineTuning
from autofit.config.learning_rates import DEFAULT_LEARNING_RATE
from autofit.config.rungs import Rung
from autofit.protocol.job import FineTunePlan, ModelSource, TrainingPlan, ViewsPlan
from autofit.protocol.messages import FINE_TUNING, StageName, StageRecord
from autofit.runs.history import stage_of
from autofit.runs.model_source import on_rung
from autofit.runs.run_record import DataRecord

NO_REFIT = (
    "Fine-tuning was not done once more on all images: its last epoch was clearly worse in validation than the model "
    "before. "
    "Its best epoch was kept, which has not seen the validation images."
)

WARMUP_SHARE = 0.1
"""The share of a fine-tuning's updates, at its beginning, in which the learning rate rises."""


def stages_of(plan: TrainingPlan) -> tuple[StageName, ...]:
    """The stages of a plan, in order; `next_stage` may leave some of them out."""
    first: StageName = "head" if plan.head == "solve" or plan.fine_tune is not None else "training"
    views: tuple[StageName, ...] = ("views",) if plan.views is not None else ()
    tuned: tuple[StageName, ...] = ("fine-tune",) if plan.fine_tune is not None else ()
    again: tuple[StageName, ...] = ("refit",) if plan.fine_tune is not None and plan.fine_tune.refit else ()
    return (first, *views, *tuned, *again)


def next_stage(plan: TrainingPlan, finished: Sequence[StageRecord], best_epoch: int | None) -> StageName | None:
    """The first stage that is not finished and is useful; None if there is none.

    A fine-tuning that was no better than the head is not repeated by a refit, nor one that ended worse.

    Args:
        plan: the plan of the run.
        finished: the finished stages.
        best_epoch: the best epoch of the run, counted from zero.
    """
    done = {stage.name for stage in finished}
    following = next((stage for stage in stages_of(plan) if stage not in done), None)
    if following == "training" and done:  # a head by epochs, whose fine-tuning a time budget has left out
        return None
    has_helped = stage_of(finished, best_epoch or 0) == "fine-tune"
    if following == "refit" and (not has_helped or is_refit_dropped(plan, finished, best_epoch)):
        return None
    return following


def is_refit_dropped(plan: TrainingPlan, finished: Sequence[StageRecord], best_epoch: int | None) -> bool:
    """Whether a fine-tuning that has helped is not repeated on all images, since its last epoch was worse than before.

    The refit would have all its epochs, and no validation to choose an earlier one by. That of a fine-tuning which
    ended early has the epochs up to the best one.
    """
    fine_tune, tuned = plan.fine_tune, next((record for record in finished if record.name == "fine-tune"), None)
    if fine_tune is None or tuned is None or stage_of(finished, best_epoch or 0) != "fine-tune":
        return False
    return fine_tune.refit and tuned.ends_worse and tuned.epochs >= fine_tune.epochs


def plan_of_stage(
    plan: TrainingPlan, stage: StageName, finished: Sequence[StageRecord], best_epoch: int | None = None
) -> TrainingPlan:
    """The plan of one stage; its epochs are numbered on from those of the stages before it.

    Args:
        plan: the plan of the run.
        stage: the name of the stage.
        finished: the finished stages.
        best_epoch: the best epoch of the run, counted from zero; a refit of a fine-tuning that ended early needs it.
    """
    if stage == "views" and plan.views is not None:
        return _plan_of_views(plan, plan.views, finished)
    fine_tune = plan.fine_tune
    if stage not in FINE_TUNING or fine_tune is None:
        epochs = 1 if stage == "training" and plan.epochs_by_budget == "open" else plan.epochs
        return plan.model_copy(update={"epochs": epochs, "views": None, "fine_tune": None})
    epochs = _epochs_of(fine_tune, stage, finished, best_epoch)
    return plan.model_copy(
        update={
            "epochs": _epochs_before(stage, finished) + epochs,
            "first_batch_size": fine_tune.batch_size,
            "last_batch_size": fine_tune.batch_size,
            "micro_batch_size": fine_tune.micro_batch_size,
            "early_stopping": fine_tune.early_stopping if stage == "fine-tune" else None,  # a refit has no validation
            "augment": fine_tune.augment,
            "flip": fine_tune.flip,
            "feature_cache": fine_tune.cut != WHOLE and fine_tune.caches is not False,
            "pixel_cache": plan.pixel_cache or fine_tune.pixel_cache,
            "feature_views": min(fine_tune.views, epochs),  # an image has one an epoch: no others are extracted
            "kernels": fine_tune.kernels,
            "calibrates": fine_tune.calibrates,
            "compares": fine_tune.compares,
            "head": "epochs",
            "refit_head": False,
            "views": None,
            "fine_tune": None,
        }
    )


def _epochs_before(stage: StageName, finished: Sequence[StageRecord]) -> int:
    """The epochs of the stages before one, which may be finished itself."""
    earlier = takewhile(lambda record: record.name != stage, finished)
    return sum(record.epochs for record in earlier)


def _epochs_of(
    fine_tune: FineTunePlan, stage: StageName, finished: Sequence[StageRecord], best_epoch: int | None
) -> int:
    """How many epochs a stage of fine-tuning has: all, or in the refit of one that ended early, up to the best one.

    The learning rate is that of the same epochs before: it falls to zero over all planned epochs, as in `_settings`.
    """
    tuned = next((record for record in finished if record.name == "fine-tune"), None)
    if stage != "refit" or tuned is None or best_epoch is None or tuned.epochs >= fine_tune.epochs:
        return fine_tune.epochs
    return best_epoch + 1 - _epochs_before("fine-tune", finished)


def _plan_of_views(plan: TrainingPlan, views: ViewsPlan, finished: Sequence[StageRecord]) -> TrainingPlan:
    return plan.model_copy(
        update={
            "epochs": _epochs_before("views", finished) + 1,
            "augment": views.augment,
            "flip": views.flip,
            "feature_views": views.count,
            "views": None,
            "fine_tune": None,
        }
    )


def source_of_stage(source: ModelSource, plan: TrainingPlan, stage: StageName, data: DataRecord) -> ModelSource:
    """Where a worker of the stage gets its network: cut for fine-tuning, with a frozen backbone for the head.

    It has the rung of the stage, or that of `source` if none was chosen for the stage.
    """
    rung = chosen_rung(plan, stage)
    if rung is not None:
        source = on_rung(source, rung)
    begins = {"head_from_zeros": plan.head_from_zeros}
    if stage == "training":
        spec = source.spec.model_copy(update=begins)
        return source.model_copy(update={"spec": spec, "rate_falls": plan.rate_falls})
    if stage not in FINE_TUNING or plan.fine_tune is None:
        may_be_none = source.spec.backbone is None  # a user's network may have no place to cut at
        given = plan.fine_tune.cut if plan.fine_tune and (may_be_none or plan.fine_tune.cut != AUTO_CUT) else None
        spec = source.spec.model_copy(update=begins | {"trainable": "head"})
        # a head that cannot be solved after all is trained by epochs, at its own rate
        rate = DEFAULT_LEARNING_RATE if plan.head == "solve" else source.learning_rate
        return source.model_copy(update={"spec": spec, "later_cut": given, "learning_rate": rate})
    images = data.train_count + (data.validation_count if stage == "refit" else 0)
    return source.model_copy(
        update={
            "spec": source.spec.model_copy(update={"trainable": "all", "cut": plan.fine_tune.cut}),
            "learning_rate": plan.fine_tune.learning_rate,
            "fine_tuning": _settings(plan.fine_tune, images),
        }
    )


def chosen_rung(plan: TrainingPlan, stage: StageName) -> Rung | None:
    """The rung of the ladder that was chosen for a stage of a run; None if none was."""
    return plan.fine_tune.rung if stage in FINE_TUNING and plan.fine_tune else plan.rung


def _settings(fine_tune: FineTunePlan, images: int) -> FineTuning:
    updates = fine_tune.epochs * steps_per_epoch(images, fine_tune.batch_size)
    return FineTuning(updates=updates, warmup_updates=round(WARMUP_SHARE * updates))
