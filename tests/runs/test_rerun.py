"""A run that is called again with other epochs or conditions."""

from __future__ import annotations

from typing import Any

import pytest

from autofit.config.learning_rates import RateFall
from autofit.config.options import Options, changed_options, make_options
from autofit.protocol.job import TrainingPlan
from autofit.protocol.messages import StageName, StageRecord
from autofit.runs import plan
from autofit.runs.collect_result import Committed
from autofit.runs.rerun import WITHOUT_BUDGET, AnotherTrainingError, Rerun, with_conditions, with_epochs
from autofit.runs.run_record import DataRecord, RunRecord
from autofit.runs.stages import next_stage
from tests.support.machines import make_hardware

TRAIN = 80


def planned(options: Options) -> TrainingPlan:
    return plan.staged_plan(options, TRAIN, 2, None, make_hardware())


def record_of(**given: Any) -> RunRecord:
    options = make_options(**given)
    data = DataRecord(
        root="/x", class_names=["a", "b"], train_count=TRAIN, validation_count=20, skipped_files=0, fingerprint="f"
    )
    return RunRecord(options=options, has_callbacks=False, data=data, plan=planned(options), started=1.0)


def again(before: dict[str, Any], now: dict[str, Any], state: Committed | None, *, is_finished: bool) -> Rerun:
    options = make_options(**now)
    return with_epochs(record_of(**before), options, planned(options), state, is_finished=is_finished)


def trained(epochs: int, *names: StageName, stage: StageName = "training", **more: Any) -> Committed:
    stages = [StageRecord(name=name, method="epochs", epochs=epochs) for name in names]
    return Committed(epoch=epochs, stage=stage, stages=stages, best_epoch=0, **more)


def test_a_finished_run_trains_on_to_more_epochs() -> None:
    """The run of 8 epochs would be refused, or returned in place of one of 12."""
    rerun = again({"epochs": 8}, {"epochs": 12}, trained(8, "training"), is_finished=True)
    assert rerun.trains_on
    assert (rerun.record.options.epochs, rerun.record.plan.epochs) == (12, 12)
    assert rerun.record.plan == record_of(epochs=12).plan


@pytest.mark.parametrize(("epochs", "position"), [(3, 0), (2, 5)], ids=["between epochs", "within one"])
def test_an_interrupted_run_may_have_more_epochs_or_fewer(epochs: int, position: int) -> None:
    """Who sees after 3 of 8 epochs that 4 are enough would have to begin anew."""
    state = trained(epochs).model_copy(update={"position": position})
    for wanted in (12, 4, 3):
        rerun = again({"epochs": 8}, {"epochs": wanted}, state, is_finished=False)
        assert (rerun.record.plan.epochs, rerun.trains_on) == (wanted, False)
    with pytest.raises(AnotherTrainingError, match="3 epochs are trained already"):
        again({"epochs": 8}, {"epochs": 2}, state, is_finished=False)


def test_a_training_that_stopped_itself_is_the_same_with_more_epochs() -> None:
    """A worker would start for nothing; or the run train on where the same call at once would have stopped."""
    rerun = again(
        {"epochs": 8, "early_stopping": 2},
        {"epochs": 12, "early_stopping": 2},
        trained(5, "training", stopped=True),
        is_finished=True,
    )
    assert not rerun.trains_on
    assert rerun.words == "the training was stopped after 5 epochs, so asking for 12 changes nothing"


def test_fine_tuning_follows_a_solved_head_that_is_finished() -> None:
    """The head would be extracted and solved again only to fine-tune above it."""
    rerun = again({}, {"fine_tune_epochs": 4}, trained(1, "head", stage="head"), is_finished=True)
    assert rerun.trains_on
    assert rerun.record.plan == record_of(fine_tune_epochs=4).plan


@pytest.mark.parametrize(
    ("before", "now", "state", "why"),
    [
        ({}, {"epochs": 12}, trained(1, "head", stage="head"), "the head would be trained in another way"),
        ({"epochs": 3}, {"epochs": 3, "fine_tune_epochs": 2}, trained(3, "training"), "trained in another way"),
        (
            {"epochs": 8, "batch_schedule": "32:16"},
            {"epochs": 12, "batch_schedule": "32:16"},
            trained(8, "training"),
            "the batch sizes of batch_schedule are spread over all epochs",
        ),
        (
            {"fine_tune_epochs": 2},
            {"fine_tune_epochs": 4},
            trained(3, "head", "fine-tune", stage="fine-tune"),
            "the learning rate of fine-tuning falls to zero over all its epochs",
        ),
        (
            {"trainable": "all", "epochs": 2},
            {"trainable": "all", "epochs": 4},
            trained(2, "head", stage="fine-tune"),
            "the learning rate of fine-tuning falls to zero over all its epochs",
        ),
        (
            {"epochs": 3, "fine_tune_epochs": 2},
            {"epochs": 4, "fine_tune_epochs": 2},
            trained(3, "head", stage="head"),
            "the stage after these epochs has begun",
        ),
        (
            {"epochs": 2, "augment": "light", "feature_cache": "on"},
            {"epochs": 3, "augment": "light", "feature_cache": "on"},
            trained(2, "training"),
            "the number of views in the feature cache follows from the epochs",
        ),
        ({"epochs": 8}, {"epochs": 5}, trained(8, "training"), "8 epochs are trained already"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_training_that_would_have_been_another_from_its_beginning_is_refused(
    before: dict[str, Any], now: dict[str, Any], state: Committed, why: str
) -> None:
    """A result would be handed over that is not that of the call."""
    with pytest.raises(AnotherTrainingError, match=why):
        again(before, now, state, is_finished=True)


def test_the_conditions_are_those_of_the_new_call() -> None:
    """The plan that the worker gets would have the old ones."""
    record = record_of(epochs=8, weights="none", checkpoint_every="30s")
    now = make_options(epochs=9, weights="none", checkpoint_every=5, pixel_cache="off", max_minutes=3, max_bad_images=1)
    changed = with_conditions(record, now)
    assert changed.options == now.model_copy(update={"epochs": 8})
    assert changed.plan == record.plan.model_copy(
        update={"checkpoint_seconds": None, "checkpoint_steps": 5, "pixel_cache": False, "max_bad_images": 1.0}
    )


def test_all_layers_keep_decoded_images_as_the_new_call_says() -> None:
    """They would be kept on a disk that is full; or the stage of the head keep them too, which needs them once."""
    record = record_of(trainable="all")
    assert with_conditions(record, record.options) == record
    off = with_conditions(record, make_options(trainable="all", pixel_cache="off")).plan
    assert (off.pixel_cache, off.fine_tune and off.fine_tune.pixel_cache) == (False, False)


def test_more_epochs_from_scratch_train_at_the_full_rate_again() -> None:
    """The updates of the new epochs would be made at a rate of zero."""
    before, now = {"weights": "none", "epochs": 8}, {"weights": "none", "epochs": 12}
    early = again(before, now, trained(3), is_finished=False)
    assert early.record.plan == record_of(**now).plan
    late = again(before, now, trained(8, "training"), is_finished=True)
    assert late.record.plan.rate_falls == (RateFall(begin=28, end=40), RateFall(begin=54, end=60))
    assert late.words == (
        "the learning rate, which had fallen to zero, is 0.001 again, and falls in the last of the new epochs"
    )


@pytest.mark.parametrize(
    ("before", "now"),
    [({"time_budget": "12s"}, {"fine_tune_epochs": 8}), ({"time_budget": "12s", "epochs": 2}, {"epochs": 8})],
    ids=str,
)
def test_epochs_named_for_a_finished_run_are_trained_without_its_old_budget(
    before: dict[str, Any], now: dict[str, Any]
) -> None:
    """The budget, which is used up, would leave out what was just asked for; README promises that a run goes on."""
    record = record_of(**before)
    plan_then = record.plan.model_copy(update={"fine_tune": None, "views": None})  # as the budget has decided
    record = record.model_copy(update={"plan": plan_then})
    options = make_options(**before | now)
    state = trained(1 if "epochs" not in before else 2, "head" if "epochs" not in before else "training")
    rerun = with_epochs(record, options, planned(options), state, is_finished=True)
    assert rerun.trains_on
    assert rerun.record.budget_is_over
    assert rerun.words == WITHOUT_BUDGET
    tuned = rerun.record.plan.fine_tune
    assert tuned is None or (tuned.epochs, tuned.by_budget) == (8, False)
    going_on = with_conditions(rerun.record, options)
    assert going_on.budget_is_over
    assert not with_conditions(rerun.record, make_options(**before | now | {"time_budget": "5m"})).budget_is_over
    unfinished = with_epochs(record, options, planned(options), None, is_finished=False)
    assert not unfinished.record.budget_is_over


def test_a_training_that_its_budget_ended_is_trained_on() -> None:
    """Who sees that more epochs are needed would have to train the first ones anew."""
    cut = StageRecord(name="training", method="epochs", epochs=7, cut_short="7 of 10 epochs")
    state = Committed(epoch=7, stages=[cut], best_epoch=0, stopped=True)
    before = {"time_budget": "12s", "epochs": 10}
    rerun = again(before, before | {"epochs": 20}, state, is_finished=True)
    assert (rerun.trains_on, rerun.words) == (True, WITHOUT_BUDGET)


@pytest.mark.parametrize(
    ("now", "fine_tunes", "epochs"),
    [
        ({"fine_tune_epochs": 8}, True, 10),
        ({"epochs": 20}, False, 20),
        ({"epochs": 20, "fine_tune_epochs": 8}, None, 0),
    ],
    ids=str,
)
@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_head_by_epochs_whose_fine_tuning_was_left_out_goes_on(
    now: dict[str, Any], *, fine_tunes: bool | None, epochs: int, is_resumed: bool
) -> None:
    """What README promises would be refused; or fine-tuning begin on a head of 10 epochs for which 20 were asked."""
    before = {"time_budget": "1m", "batch_size": 8}
    record = record_of(**before)
    assert record.plan.fine_tune is not None
    record = record.model_copy(update={"plan": record.plan.model_copy(update={"fine_tune": None})})
    options = changed_options(record.options, now) if is_resumed else make_options(**before | now)
    state = trained(10, "head", stage="head")
    if fine_tunes is None:
        with pytest.raises(AnotherTrainingError, match="ask for its epochs alone, and for fine-tuning afterwards"):
            with_epochs(record, options, planned(options), state, is_finished=True)
        return
    rerun = with_epochs(record, options, planned(options), state, is_finished=True)
    assert (rerun.trains_on, rerun.words) == (True, WITHOUT_BUDGET)
    assert (rerun.record.plan.fine_tune is not None, rerun.record.plan.epochs) == (fine_tunes, epochs)
    assert next_stage(rerun.record.plan, state.stages, 0) == ("fine-tune" if fine_tunes else None)


def test_other_epochs_while_the_rate_falls_are_said_to_give_another_model() -> None:
    """The rate rises again, or falls faster: nobody would know why the model is not that of as many epochs at once."""
    before = {"weights": "none", "epochs": 10}  # 50 updates; the rate falls in the last 15
    longer = again(before, {"weights": "none", "epochs": 30}, trained(9), is_finished=False)
    assert longer.record.plan.rate_falls == (RateFall(begin=35, end=150),)
    said = "the learning rate has begun to fall, and falls until the new end: as many epochs at once give another model"
    assert longer.words == said
    assert again(before, {"weights": "none", "epochs": 9}, trained(8), is_finished=False).words == said
    assert not again(before, {"weights": "none", "epochs": 30}, trained(6), is_finished=False).words
    assert not again(before, before, trained(9), is_finished=False).words


def test_a_run_from_before_the_rate_fell_goes_on_with_a_constant_one() -> None:
    """It would be another training from its beginning."""
    record = record_of(weights="none", epochs=8)
    record = record.model_copy(update={"plan": record.plan.model_copy(update={"rate_falls": ()})})
    options = make_options(weights="none", epochs=12)
    rerun = with_epochs(record, options, planned(options), trained(3), is_finished=False)
    assert (rerun.record.plan.epochs, rerun.record.plan.rate_falls) == (12, ())
