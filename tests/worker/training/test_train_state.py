"""Which epoch is the best one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from autofit.errors import TrainingFailedError, UserError
from autofit.protocol.messages import StageRecord
from autofit.worker.execution.loss_scale import LossScale
from autofit.worker.model.network_hash import network_sha256
from autofit.worker.model.weights import frozen_hash
from autofit.worker.training.divergence import divergence
from autofit.worker.training.export import write_history
from autofit.worker.training.train_state import TrainState
from autofit.worker.training.training_progress import TrainingProgress

pytestmark = pytest.mark.slow

EPOCHS = [
    {"loss": 0.9, "accuracy": 0.5, "val_loss": 0.4, "val_accuracy": 0.6},
    {"loss": 0.5, "accuracy": 0.9, "val_loss": 0.3, "val_accuracy": 0.5},
    {"loss": 0.4, "accuracy": 0.8, "val_loss": 0.5, "val_accuracy": 0.7},
    {"loss": 0.6, "accuracy": 0.7, "val_loss": 0.6, "val_accuracy": 0.7},
]


@pytest.mark.parametrize(
    ("monitor", "best", "waited"),
    [("auto", 1, 2), ("val_loss", 1, 2), ("val_accuracy", 2, 1), ("loss", 2, 1), ("accuracy", 1, 2)],
)
def test_the_best_epoch_is_the_one_that_is_asked_for(monitor: str, best: int, waited: int) -> None:
    """Another model would be handed over, or early stopping follow another figure."""
    progress = TrainingProgress()
    for epoch, logs in enumerate(EPOCHS):
        progress = progress.after_epoch(epoch, logs, monitor)
    assert (progress.best_epoch, progress.waited_epochs) == (best, waited)


@pytest.mark.parametrize("monitor", ["auto", "val_loss", "val_accuracy"])
def test_a_network_of_nan_is_never_better(monitor: str) -> None:
    """It gives every image the first class, which most images may have: it would replace the head, and be saved."""
    ruined = {"loss": 0.5, "accuracy": 0.9, "val_loss": float("nan"), "val_accuracy": 0.95}  # by its last update
    head = TrainingProgress(stage="head").after_epoch(0, EPOCHS[0], monitor).after_stage(HEAD).in_stage("fine-tune")
    assert head.after_epoch(1, ruined, monitor).best_epoch == 0
    alone = TrainingProgress().after_epoch(0, ruined, monitor)
    assert (alone.best_epoch, alone.after_epoch(1, EPOCHS[0], monitor).best_epoch) == (0, 1)


def test_a_figure_that_there_is_not_is_named() -> None:
    """A compiled model without accuracy would end in a KeyError."""
    with pytest.raises(UserError, match="monitor 'val_accuracy' is none of the metrics here: loss, val_loss"):
        TrainingProgress().after_epoch(0, {"loss": 1.0, "val_loss": 1.0}, "val_accuracy")


def test_skipped_updates_are_counted_an_epoch() -> None:
    """The history would show none, or those of all epochs; a network in float32 needs no such column."""
    skips = TrainingProgress(loss_scale=LossScale(), skipped_updates=3)
    assert skips.skipped_logs() == {"skipped_updates": 3.0}
    after = skips.after_epoch(0, EPOCHS[0] | skips.skipped_logs())
    assert after.history["skipped_updates"] == [3.0]
    assert after.skipped_logs() == {"skipped_updates": 0.0}
    assert TrainingProgress().skipped_logs() == {}


def test_a_stage_has_a_scale_of_its_own() -> None:
    """One that is killed before its first update would go on with the scale of the stage before, to other weights."""
    assert TrainingProgress(loss_scale=LossScale(value=1.0)).in_stage("refit").loss_scale is None


def session_of(model: keras.Model) -> Any:
    """A session with nothing but a model."""
    empty = SimpleNamespace(variables=[])
    return SimpleNamespace(
        built=SimpleNamespace(model=model, frozen=False, features=None, head_layers=(), below_head=None),
        objective=SimpleNamespace(optimizer=empty, loss=empty, metric_variables=[]),
        train_step=SimpleNamespace(restore_loss_scale=lambda _: None),
    )


def test_numbers_that_are_drawn_without_a_seed_generator_go_on_from_a_checkpoint() -> None:
    """A resumed run would draw the first numbers again, and end with other weights than one that was not killed."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    keras.utils.set_random_seed(0)
    state = TrainState(session_of(model))
    assert "seeds" not in state.groups()
    keras.random.normal((2,))
    groups, following = state.groups(), keras.random.normal((2,))

    keras.utils.set_random_seed(0)
    again = TrainState(session_of(model))
    again.restore(SimpleNamespace(groups=groups), TrainingProgress())  # type: ignore[arg-type]

    np.testing.assert_array_equal(keras.random.normal((2,)), following)


def test_skipped_updates_of_a_later_stage_have_a_row_for_each_epoch_before(tmp_path: Path) -> None:
    """Fine-tuning in float16 would end at its first epoch, with a column that is shorter than those of the head."""
    head = TrainingProgress(stage="head").after_epoch(0, EPOCHS[0])
    tuning = head.in_stage("fine-tune").moved(loss_scale=LossScale(), skipped_updates=2)
    after = tuning.after_epoch(1, EPOCHS[1] | tuning.skipped_logs())
    assert after.history["skipped_updates"] == [0.0, 2.0]
    write_history(tmp_path / "history.csv", after)
    assert (tmp_path / "history.csv").read_text().splitlines()[1:] == [
        "0,0.9,0.5,0.4,0.6,0.0,fine-tune",
        "1,0.5,0.9,0.3,0.5,2.0,fine-tune",
    ]


def test_the_history_names_the_stage_of_each_epoch(tmp_path: Path) -> None:
    """A reader would take a fine-tuning whose accuracy begins anew for a head that has become worse."""
    progress = TrainingProgress(stage="head").after_epoch(0, EPOCHS[0]).after_stage(HEAD).in_stage("fine-tune")
    progress = progress.after_epoch(1, EPOCHS[1]).after_epoch(2, EPOCHS[2]).after_stage()
    refit = progress.in_stage("refit").after_epoch(3, {"loss": 0.1})  # has no row
    for each in (progress, refit):
        write_history(tmp_path / "history.csv", each)
        rows = [line.split(",") for line in (tmp_path / "history.csv").read_text().splitlines()]
        assert [row[-1] for row in rows] == ["stage", "head", "fine-tune", "fine-tune"]


WITHOUT_VALIDATION = [{"loss": 0.001, "accuracy": 1.0}, {"loss": 0.5, "accuracy": 0.8}, {"loss": 0.3, "accuracy": 0.9}]


@pytest.mark.parametrize("monitor", ["auto", "loss", "accuracy"])
def test_without_validation_the_fine_tuned_model_is_not_measured_by_the_figures_of_the_head(monitor: str) -> None:
    """A head knows the images by heart that it was fitted to: what was fine-tuned would always be thrown away."""
    progress = TrainingProgress(stage="head").after_epoch(0, WITHOUT_VALIDATION[0], monitor)
    progress = progress.after_stage(HEAD).in_stage("fine-tune")
    torn = progress.moved(stopped=True).after_epoch(1, WITHOUT_VALIDATION[1], monitor)
    assert torn.best_epoch == 0  # the time was over within its first epoch
    for epoch, logs in enumerate(WITHOUT_VALIDATION[1:], 1):
        progress = progress.after_epoch(epoch, logs, monitor)
        assert (progress.best_epoch, progress.best_accuracy) == (epoch, logs["accuracy"])
    assert progress.after_epoch(3, WITHOUT_VALIDATION[1], monitor).best_epoch == 2


def test_the_losses_of_a_refit_are_those_of_its_own_epochs() -> None:
    """One that diverges would be the model: its history is that of the stages before, and it has no validation."""
    tuned = TrainingProgress(stage="fine-tune", stages=[HEAD.model_copy(update={"epochs": 1})])
    tuned = tuned.after_epoch(1, EPOCHS[0]).after_stage()
    refit = tuned.in_stage("refit")
    assert refit.losses_of_stage() == []
    for epoch, loss in enumerate([0.5, 2.0, 2.0], 2):
        refit = refit.after_epoch(epoch, {"loss": loss})
    again = TrainingProgress.model_validate_json(refit.model_dump_json())  # in another attempt
    assert again.losses_of_stage() == [0.5, 2.0, 2.0]
    assert divergence([*again.losses_of_stage(), 2.0])
    assert again.history == tuned.history


HEAD = StageRecord(name="head", method="solved", epochs=1)
LEFT_OUT = StageRecord(name="views", method="epochs", epochs=0)
BY_EPOCHS = StageRecord(name="head", method="epochs", epochs=3)


@pytest.mark.parametrize(
    ("finished", "begins_with"),
    [([HEAD], 1), ([HEAD, LEFT_OUT], 1), ([BY_EPOCHS], 2)],
    ids=["solved", "solved, without views", "by epochs"],
)
def test_fine_tuning_begins_with_a_head_that_has_not_seen_the_validation(
    finished: list[StageRecord], begins_with: int
) -> None:
    """Its epochs would be judged by images that its head was fitted to, and a worse one be taken for the best."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    session = session_of(model)
    trained, handed_over = (
        {"0": np.full((3, 2), value, np.float32), "1": np.full(2, value, np.float32)} for value in (1, 2)
    )
    checkpoint: Any = SimpleNamespace(groups={"model": trained, "best": handed_over})
    state = TrainState(session)

    state.begin_stage(checkpoint, "fine-tune", finished)

    assert (model.layers[-1].kernel == begins_with).numpy().all()
    assert [(array == 2).all() for array in list(state.best.values())[-2:]] == [True, True]


def test_a_stage_begins_only_above_the_weights_that_the_stage_before_had() -> None:
    """A user's function that loads another file now would be fine-tuned below a head that was solved on the first."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    session = session_of(model)
    session.built.below_head = keras.Sequential(model.layers[:1])
    head = {"0": np.zeros((3, 2), np.float32), "1": np.zeros(2, np.float32)}
    checkpoint: Any = SimpleNamespace(groups={"model": head, "best": head})
    before = frozen_hash(session.built.below_head.variables)
    TrainState(session).begin_stage(checkpoint, "fine-tune", [HEAD], before)
    model.layers[0].bias.assign(np.ones(3))
    with pytest.raises(TrainingFailedError, match="the model's weights below the head are not those"):
        TrainState(session).begin_stage(checkpoint, "fine-tune", [HEAD], before)


def wired(*, subtracts: bool) -> keras.Model:
    """A network of the user's, and one with the same layers that are connected otherwise."""
    inputs = keras.Input((4,))
    first = keras.layers.Dense(4)(inputs)
    second = keras.layers.Dense(4)(first)
    return keras.Model(inputs, first - second if subtracts else first + second)


def state_of(model: keras.Model) -> TrainState:
    """The state of a session with a network, and with nothing else."""
    built = SimpleNamespace(model=model, frozen=False, features=None, head_layers=(), below_head=None)
    objective = SimpleNamespace(
        optimizer=SimpleNamespace(variables=[]), loss=SimpleNamespace(variables=[]), metric_variables=[]
    )
    step = SimpleNamespace(restore_loss_scale=lambda _: None)
    session: Any = SimpleNamespace(built=built, objective=objective, train_step=step)
    return TrainState(session)


def test_a_checkpoint_is_not_restored_into_a_network_that_is_connected_otherwise() -> None:
    """A module of the user's that is edited between two attempts would go on with weights of the network before."""
    before, again, edited = (state_of(wired(subtracts=subtracts)) for subtracts in (False, False, True))
    checkpoint: Any = SimpleNamespace(groups=before.groups())
    again.restore(checkpoint, TrainingProgress(**before.hashes()))
    kept = zip(again.weights().values(), before.weights().values(), strict=True)
    assert all(np.array_equal(one, other) for one, other in kept)
    with pytest.raises(TrainingFailedError, match="or their connections differ; give the same model again"):
        edited.restore(checkpoint, TrainingProgress(**before.hashes()))


def test_a_checkpoint_of_an_earlier_version_is_known_by_its_layers() -> None:
    """A run that was begun before could not be resumed."""
    model = wired(subtracts=False)
    state = state_of(model)
    checkpoint: Any = SimpleNamespace(groups=state.groups())
    state.restore(checkpoint, TrainingProgress(network_sha256=network_sha256(model)))
    state.restore(checkpoint, TrainingProgress())
    assert state.network_sha256 != network_sha256(model)
    session = session_of(model)
    session.built.head_layers = (model.layers[-1],)
    assert TrainState(session).network_sha256 == network_sha256(model)
    session.built.below_head = model  # of a user, whose network may be edited
    assert TrainState(session).network_sha256 == state.network_sha256
