"""The stages of a run: their order, and what each asks of its workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autofit.config.options import make_options
from autofit.protocol.job import FineTunePlan, TrainingPlan
from autofit.protocol.messages import StageName, StageRecord
from autofit.runs.fine_tune_plan import MOST_REFITTED, choices
from autofit.runs.model_source import model_source
from autofit.runs.plan import staged_plan
from autofit.runs.run_record import DataRecord
from autofit.runs.stages import is_refit_dropped, next_stage, plan_of_stage, source_of_stage, stages_of
from tests.support.machines import make_hardware
from tests.support.records import make_probe_report

HEAD = StageRecord(name="head", method="solved", epochs=1, l2=1.0)
FINE_TUNED = StageRecord(name="fine-tune", method="epochs", epochs=4)
IN_STAGES: tuple[StageName, ...] = ("head", "fine-tune", "refit")
DATA = DataRecord(
    root="/photos", class_names=["a", "b"], train_count=1_000, validation_count=250, skipped_files=0, fingerprint=""
)


def plan(*, images: int = 1_000, classes: int = 10, has_callbacks: bool = False, **given: Any) -> TrainingPlan:
    probe = make_probe_report(32, 64)
    return staged_plan(make_options(**given), images, classes, probe, make_hardware(), has_callbacks=has_callbacks)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("head",)),
        ({"recipe": "classic"}, ("training",)),
        ({"epochs": 3}, ("training",)),
        ({"batch_size": 8}, ("training",)),
        ({"batch_schedule": "32:16"}, ("training",)),
        ({"hidden_units": 8}, ("training",)),
        ({"optimizer": "sgd"}, ("training",)),
        ({"learning_rate": 0.1}, ("training",)),
        ({"early_stopping": 2}, ("training",)),
        ({"feature_cache": "off"}, ("training",)),
        ({"augment": "light"}, ("training",)),
        ({"augment": "light", "feature_cache": "on"}, ("head",)),
        ({"has_callbacks": True}, ("training",)),
        ({"images": 10**6, "classes": 1_000}, ("training",)),
        ({"weights": None}, ("training",)),
        ({"model": "json:loads"}, ("training",)),
        ({"fine_tune_epochs": 4}, IN_STAGES),
        ({"fine_tune_epochs": 4, "epochs": 2}, IN_STAGES),
        ({"time_budget": "5m", "batch_size": 8}, IN_STAGES),
        ({"time_budget": "5m", "epochs": 3}, ("training",)),
        ({"trainable": "all"}, IN_STAGES),
        ({"trainable": "all", "epochs": 3, "batch_size": 8}, IN_STAGES),
        ({"trainable": "all", "optimizer": "sgd"}, ("training",)),
        ({"trainable": "all", "recipe": "classic"}, ("training",)),
        ({"trainable": "all", "has_callbacks": True}, ("training",)),
    ],
    ids=str,
)
def test_the_stages_follow_from_the_request(given: dict[str, Any], expected: tuple[StageName, ...]) -> None:
    """An option about epochs would have no effect, or a head be trained worse than need be."""
    assert stages_of(plan(**given)) == expected


def test_early_stopping_is_for_the_epochs_that_the_user_asks_for() -> None:
    """Of all layers, all epochs would be trained, whatever was asked; a refit has no validation to stop by."""
    of_all, above = plan(trainable="all", early_stopping=2), plan(fine_tune_epochs=4, early_stopping=2)

    def stopping(made: TrainingPlan) -> list[int | None]:
        finished = [HEAD, FINE_TUNED]
        return [plan_of_stage(made, stage, finished, 1).early_stopping for stage in IN_STAGES]

    assert stopping(of_all) == [None, 2, None]
    assert stopping(above) == [2, None, None]


def test_epochs_of_a_head_before_fine_tuning_are_its_own() -> None:
    """A user's epochs would be taken for those of the fine-tuning."""
    made = plan(fine_tune_epochs=4, epochs=2)
    assert (made.head, made.epochs) == ("epochs", 2)
    assert made.fine_tune is not None
    assert made.fine_tune.epochs == 4


@pytest.mark.parametrize(
    ("given", "head", "rate"),
    [
        ({"fine_tune_epochs": 4}, "solve", 1e-4),
        ({"fine_tune_epochs": 4, "learning_rate": 1e-5}, "solve", 1e-5),
        ({"fine_tune_epochs": "auto", "learning_rate": 1e-5}, "solve", 1e-5),
        ({"fine_tune_epochs": 4, "learning_rate": 1e-3}, "solve", 1e-4),  # the default, as if not given
        ({"time_budget": "5m", "fine_tune_from": "0.5", "learning_rate": 1e-5}, "solve", 1e-5),
        ({"time_budget": "5m", "fine_tune_epochs": 4, "learning_rate": 1e-5}, "solve", 1e-5),
        ({"time_budget": "5m", "learning_rate": 1e-2}, "epochs", 1e-4),  # only the head was asked for
        ({"fine_tune_epochs": 4, "learning_rate": 1e-2, "epochs": 2}, "epochs", 1e-4),
        ({"fine_tune_epochs": 4, "learning_rate": 1e-2, "optimizer": "sgd"}, "epochs", 1e-4),
        ({"fine_tune_epochs": 4, "learning_rate": 1e-2, "has_callbacks": True}, "epochs", 1e-4),
    ],
    ids=str,
)
def test_a_rate_is_that_of_the_fine_tuning_that_was_asked_for(given: dict[str, Any], head: str, rate: float) -> None:
    """The head would hardly be trained at a rate for fine-tuning, which would have another one."""
    made = plan(**given)
    assert made.fine_tune is not None
    assert (made.head, made.fine_tune.learning_rate) == (head, rate)


def test_a_head_that_cannot_be_solved_after_all_has_a_rate_of_its_own() -> None:
    """Without room for its features it would train by epochs at the rate of fine-tuning, and learn next to nothing."""
    for given in ({"fine_tune_epochs": 4}, {"trainable": "all"}):
        options = make_options(learning_rate=1e-5, **given)
        made = plan(learning_rate=1e-5, **given)
        assert source_of_stage(model_source(options, 10), made, "head", DATA).learning_rate == 1e-3
        assert source_of_stage(model_source(options, 10), made, "fine-tune", DATA).learning_rate == 1e-5
    by_epochs = plan(fine_tune_epochs=4, learning_rate=0.01, epochs=2)
    options = make_options(fine_tune_epochs=4, learning_rate=0.01, epochs=2)
    assert source_of_stage(model_source(options, 10), by_epochs, "head", DATA).learning_rate == 0.01


@pytest.mark.parametrize("stage", ["head", "training", "views"])
def test_the_head_begins_as_it_was_planned(stage: StageName) -> None:
    """A run of an earlier version, or its replay, would begin with other weights than it had."""
    source, made = model_source(make_options(), 10), plan(fine_tune_epochs=4)
    assert source_of_stage(source, made, stage, DATA).spec.head_from_zeros
    earlier = made.model_copy(update={"head_from_zeros": False})
    assert not source_of_stage(source, earlier, stage, DATA).spec.head_from_zeros
    assert not source_of_stage(source, made, "fine-tune", DATA).spec.head_from_zeros


def test_the_head_is_fitted_again_only_on_images_that_autofit_has_split_off(tmp_path: Any) -> None:
    """Validation images of the user's own would no longer be unseen."""
    assert plan().refit_head
    assert not plan(validation=tmp_path).refit_head


def test_a_stage_follows_when_the_one_before_is_finished(tmp_path: Path) -> None:
    """A stage would be trained twice, or left out."""
    made = plan(fine_tune_epochs=4, validation=tmp_path)
    assert next_stage(made, [], None) == "head"
    assert next_stage(made, [HEAD], 0) == "fine-tune"
    assert next_stage(made, [HEAD, FINE_TUNED], 1) is None


def test_a_head_by_epochs_is_the_last_stage_where_a_budget_leaves_out_the_next() -> None:
    """It would be trained on as a stage of another name, in a worker for which there is no time."""
    made = plan(fine_tune_epochs=4, epochs=2, time_budget="5m")
    left_out = made.model_copy(update={"fine_tune": None})
    head = StageRecord(name="head", method="epochs", epochs=2)
    assert next_stage(made, [head], 1) == "fine-tune"
    assert next_stage(left_out, [head], 1) is None
    assert next_stage(plan(epochs=2), [], None) == "training"


def test_only_fine_tuning_that_helped_is_done_once_more() -> None:
    """The validation images would be lost to the model; or a worse one take the place of the head alone."""
    made = plan(fine_tune_epochs=4)
    assert stages_of(made) == ("head", "fine-tune", "refit")
    assert next_stage(made, [HEAD, FINE_TUNED], 0) is None
    assert next_stage(made, [HEAD, FINE_TUNED], 3) == "refit"
    assert next_stage(made, [HEAD, FINE_TUNED, FINE_TUNED.model_copy(update={"name": "refit"})], 3) is None


@pytest.mark.parametrize(
    ("epochs", "ends_worse", "expected"),
    [(4, False, "refit"), (4, True, None), (3, True, "refit")],
    ids=["good to its end", "worse in the end", "ended early"],
)
def test_a_fine_tuning_that_ended_worse_than_the_head_is_not_repeated(
    epochs: int, expected: StageName | None, *, ends_worse: bool
) -> None:
    """All of its epochs would be trained again, without a validation: the model would be worse than the head."""
    made = plan(fine_tune_epochs=4)
    finished = [HEAD, FINE_TUNED.model_copy(update={"epochs": epochs, "ends_worse": ends_worse})]
    assert next_stage(made, finished, 1) == expected
    assert is_refit_dropped(made, finished, 1) == (expected is None)
    assert not is_refit_dropped(made, finished, 0)  # it has not helped at all, which is said otherwise


def test_only_a_time_budget_brings_views_of_the_head() -> None:
    """A run without options would take five times as long; or the user's own augmentation be done twice."""
    assert "views" not in stages_of(plan())
    assert stages_of(plan(time_budget="5m"))[:2] == ("head", "views")
    assert "views" not in stages_of(plan(time_budget="5m", augment="none"))
    made = plan(time_budget="5m", flip=False)
    of_views = plan_of_stage(made, "views", [HEAD])
    assert (of_views.head, of_views.epochs, of_views.feature_views, of_views.augment) == ("solve", 2, 4, "light")
    assert (of_views.flip, of_views.refit_head, of_views.fine_tune) == (False, True, None)
    assert source_of_stage(model_source(make_options(), 10), made, "views", DATA).spec.trainable == "head"


def test_images_of_the_users_own_to_validate_with_are_not_trained_on(tmp_path: Path) -> None:
    """What the user keeps apart would be trained on; nor is there anything to add without a validation."""
    assert stages_of(plan(fine_tune_epochs=4, validation=tmp_path)) == ("head", "fine-tune")
    assert stages_of(plan(fine_tune_epochs=4, validation=0)) == ("head", "fine-tune")
    assert stages_of(plan(fine_tune_epochs=4, images=MOST_REFITTED + 1)) == ("head", "fine-tune")


def test_epochs_are_counted_on_over_the_stages() -> None:
    """The order of the samples would repeat that of the stage before, or the stage end at once."""
    made = plan(fine_tune_epochs=4, fine_tune_from="0.5")
    of_stage = plan_of_stage(made, "fine-tune", [HEAD])
    assert (of_stage.epochs, of_stage.head, of_stage.fine_tune) == (5, "epochs", None)
    assert (of_stage.augment, of_stage.feature_views, of_stage.feature_cache) == ("light", 4, True)
    assert plan_of_stage(made, "head", []).epochs == made.epochs


def test_a_refit_has_as_many_epochs_as_the_best_of_a_fine_tuning_that_ended_early() -> None:
    """It would train on to where the fine-tuning was no longer better; or be cut at an epoch that is best by chance."""
    made = plan(fine_tune_epochs=8, fine_tune_from="0.5")
    refits = [
        plan_of_stage(made, "refit", [HEAD, FINE_TUNED.model_copy(update={"epochs": epochs})], best_epoch)
        for epochs, best_epoch in [(5, 3), (5, 5), (8, 3)]
    ]
    assert [refit.epochs for refit in refits] == [6 + 3, 6 + 5, 9 + 8]
    ended = [HEAD, FINE_TUNED.model_copy(update={"epochs": 5}), FINE_TUNED.model_copy(update={"name": "refit"})]
    assert plan_of_stage(made, "refit", ended, 3) == refits[0]  # to save its model
    schedule = source_of_stage(model_source(make_options(), 10), made, "refit", DATA).fine_tuning
    assert schedule is not None
    assert schedule.updates == 8 * -(-1_250 // 32)


def test_a_refit_has_no_more_views_of_an_image_than_epochs() -> None:
    """Views would be extracted that no epoch shows: of 2,000 images in a refit of one epoch, 6,000 for nothing."""
    made = plan(fine_tune_epochs=8, fine_tune_from="0.5")
    ended_early = [HEAD, FINE_TUNED.model_copy(update={"epochs": 6})]
    refits = [plan_of_stage(made, "refit", ended_early, best_epoch) for best_epoch in (1, 3, 6)]
    assert [(refit.epochs - 7, refit.feature_views) for refit in refits] == [(1, 1), (3, 3), (6, 4)]


@pytest.mark.parametrize(
    ("given", "strength", "views"),
    [({}, "light", 4), ({"augment": "none"}, "none", 1), ({"augment": "strong", "feature_cache": "on"}, "strong", 4)],
    ids=str,
)
def test_fine_tuning_has_the_augmentation_that_is_given(given: dict[str, Any], strength: str, views: int) -> None:
    """Augmentation would be on although it was switched off, or digits be mirrored in fine-tuning alone."""
    for flip in (True, False):
        of_stage = plan_of_stage(plan(fine_tune_epochs=4, flip=flip, **given), "fine-tune", [HEAD])
        assert (of_stage.augment, of_stage.feature_views, of_stage.flip) == (strength, views, flip)
    every_layer = plan_of_stage(plan(trainable="all", flip=False, **given), "fine-tune", [HEAD])
    assert (every_layer.augment, every_layer.flip) == ("none" if not given else strength, False)


def test_only_a_stage_with_constant_activations_caches_them() -> None:
    """Activations of layers that train would be taken from before."""
    made = plan(trainable="all", epochs=3)
    assert not plan_of_stage(made, "fine-tune", [HEAD]).feature_cache
    assert plan_of_stage(made, "head", []).feature_cache


@pytest.mark.parametrize(("cut", "checked"), [("conv_pw_11_relu", "conv_pw_11_relu"), (0.5, "0.5"), ("auto", None)])
def test_a_cut_that_is_given_is_checked_before_the_head_is_trained(cut: object, checked: str | None) -> None:
    """A name with a typing error would be told after the features of all images were extracted."""
    options = make_options(fine_tune_epochs=2, fine_tune_from=cut)
    made = plan(fine_tune_epochs=2, fine_tune_from=cut)
    assert source_of_stage(model_source(options, 10), made, "head", DATA).later_cut == checked


def test_that_a_users_network_can_be_cut_is_checked_before_its_head_is_solved() -> None:
    """A network without any place to cut at would fail when its head is done."""
    request: dict[str, Any] = {"model": "json:loads", "fine_tune_epochs": 2}
    made = plan(**request)
    assert stages_of(made) == ("head", "fine-tune", "refit")
    source = model_source(make_options(**request), 10)
    of_head, tuned = (source_of_stage(source, made, stage, DATA) for stage in ("head", "fine-tune"))
    assert (of_head.spec.trainable, of_head.spec.cut, of_head.later_cut) == ("head", None, "auto")
    assert (tuned.spec.trainable, tuned.spec.cut) == ("all", "auto")
    alone = plan(model="json:loads", trainable="head")
    assert source_of_stage(source, alone, "head", DATA).later_cut is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"trainable": "all"}, [False, True, True]),
        ({"trainable": "all", "pixel_cache": "off"}, [False, False, False]),
        ({"fine_tune_epochs": 4, "fine_tune_from": "input"}, [False, True, True]),
        ({"fine_tune_epochs": 4}, [False, False, False]),
    ],
    ids=str,
)
def test_images_are_decoded_once_where_all_layers_need_them_in_each_epoch(
    given: dict[str, Any], kept: list[bool]
) -> None:
    """They would be decoded in each epoch, as the guide says they are not; a head needs them only once."""
    made = plan(**given)
    assert [plan_of_stage(made, stage, [HEAD, FINE_TUNED], 1).pixel_cache for stage in IN_STAGES] == kept


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"trainable": "all"}, [False, True, True]),
        ({"fine_tune_epochs": 4}, [False, True, True]),
        ({"fine_tune_epochs": 4, "loss": "categorical_focal_crossentropy"}, [False, False, False]),
        ({"trainable": "all", "multi_label": True}, [False, False, False]),
    ],
    ids=str,
)
def test_what_is_fine_tuned_by_autofits_own_loss_is_calibrated(given: dict[str, Any], expected: list[bool]) -> None:
    """A loss of the user's own may be there to make the model more confident, or less."""
    made = plan(**given)
    assert [plan_of_stage(made, stage, [HEAD, FINE_TUNED], 1).calibrates for stage in IN_STAGES] == expected


def test_models_are_compared_as_the_run_was_planned() -> None:
    """A run of an earlier version would be resumed to another model than it was started for."""
    assert (
        FineTunePlan(epochs=1, batch_size=8, micro_batch_size=8, learning_rate=1.0, cut="auto").compares == "accuracy"
    )
    for made in (plan(trainable="all"), plan(fine_tune_epochs=4), plan(time_budget="5m")):
        stage = made.fine_tune
        assert stage is not None
        assert plan_of_stage(made, "fine-tune", [HEAD]).compares == "quality and loss"
        old = stage.model_copy(update={"compares": "accuracy"})
        may_be = choices(old, make_options(time_budget="5m"), 500)
        assert {each.compares for each in may_be} == {"accuracy"}


@pytest.mark.parametrize("calibrates", [False, True])
def test_what_a_time_budget_chooses_from_is_calibrated_as_the_run_was_planned(*, calibrates: bool) -> None:
    """A run of an earlier version would be resumed to another model than it was started for."""
    options = make_options(time_budget="5m")
    stage = plan(time_budget="5m").fine_tune
    assert stage is not None
    may_be = choices(stage.model_copy(update={"calibrates": calibrates}), options, 500)
    assert [each.calibrates for each in may_be] == [calibrates] * 2


def test_each_stage_has_its_network_and_its_rates() -> None:
    """The head would train the whole network, or fine-tuning the head alone."""
    options = make_options(trainable="all", learning_rate=5e-5)
    made = plan(trainable="all", learning_rate=5e-5, epochs=2)
    source = model_source(options, 10)
    head = source_of_stage(source, made, "head", DATA)
    assert (head.spec.trainable, head.spec.cut, head.fine_tuning) == ("head", None, None)
    tuned = source_of_stage(source, made, "fine-tune", DATA)
    assert (tuned.spec.trainable, tuned.spec.cut, tuned.learning_rate) == ("all", "input", 5e-5)
    assert tuned.fine_tuning is not None
    assert tuned.fine_tuning.updates == 2 * -(-1_000 // 32)
    refitted = source_of_stage(source, made, "refit", DATA)
    assert refitted.fine_tuning is not None
    assert refitted.fine_tuning.updates == 2 * -(-1_250 // 32)
