"""A fine-tuned model's probabilities are as reliable as the validation shows; what it predicts stays the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import keras
import numpy as np
import pytest
from scipy.special import softmax

from autofit.protocol.messages import Calibration, StageName, StageRecord
from autofit.worker.training.calibration import LEAST_IMAGES, Calibrator, calibrated, calibration, divide_logits
from autofit.worker.training.training_progress import TrainingProgress
from tests.support.records import make_plan

pytestmark = pytest.mark.slow  # imports TensorFlow

CLASSES = 5
HEAD = StageRecord(name="head", method="solved", epochs=1)
VIEWS = StageRecord(name="views", method="solved", epochs=1)
TUNED = StageRecord(name="fine-tune", method="epochs", epochs=3)


def judged(count: int, confidence: float, seed: int = 0) -> tuple[Any, Any]:
    """Logits, and labels that are drawn by their probabilities; the model is more confident by a factor."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (count, CLASSES))
    labels = np.array([random.choice(CLASSES, p=row) for row in softmax(logits, axis=1)])
    return confidence * logits, labels


def probabilities(logits: Any) -> Any:
    return softmax(logits, axis=1).astype(np.float32)


def loss(given: Any, labels: Any) -> float:
    return float(-np.log(given[np.arange(len(labels)), labels]).mean())


def test_a_model_that_is_twice_too_confident_gets_the_temperature_that_it_needs() -> None:
    """A photo that is right in six of ten cases would be said to be of a class by 98 per cent."""
    logits, labels = judged(3000, confidence=2.0)
    found = calibration(probabilities(logits), labels)
    assert found is not None
    assert found.temperature == pytest.approx(2.0, rel=0.1)
    after = calibrated(probabilities(logits), found.temperature)
    assert found.loss == pytest.approx(loss(after, labels), rel=1e-5)
    assert found.loss < 0.9 * loss(probabilities(logits), labels)
    np.testing.assert_allclose(after, probabilities(logits / found.temperature), rtol=1e-4, atol=1e-7)
    assert (after.argmax(axis=1) == logits.argmax(axis=1)).all()


@pytest.mark.parametrize(("count", "confidence"), [(3000, 0.5), (LEAST_IMAGES - 1, 3.0)])
def test_nothing_is_changed_without_need_or_grounds(count: int, confidence: float) -> None:
    """A model that knows its few validation images would become certain of everything."""
    logits, labels = judged(count, confidence)
    found = calibration(probabilities(logits), labels)
    assert found is None if count < LEAST_IMAGES else found is not None and found.temperature == 1


def test_images_that_could_not_be_read_do_not_count() -> None:
    """One damaged photo would make each probability of the model NaN."""
    logits, labels = judged(500, confidence=2.0)
    given = probabilities(logits)
    expected = calibration(given[:400], labels[:400])
    given[400:] = np.nan
    assert calibration(given, labels) == expected is not None
    given[LEAST_IMAGES - 1 :] = np.nan
    assert calibration(given, labels) is None


def test_probabilities_too_small_for_float32_stay_finite() -> None:
    """The temperature would be NaN where a model gives a class a probability of 0."""
    logits, labels = judged(500, confidence=80.0)
    given = probabilities(logits)
    assert (given == 0).any()
    found = calibration(given, labels)
    assert found is not None
    assert np.isfinite(found.loss)
    assert np.isfinite(calibrated(given, found.temperature)).all()


def test_the_layer_gives_what_was_promised_of_it() -> None:
    """The saved model would have another confidence than the one that was measured."""
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(CLASSES, activation="softmax", bias_initializer="normal")
    rows = np.random.default_rng(0).normal(0, 3, (20, 7)).astype(np.float32)
    before = np.asarray(layer(rows))
    divide_logits(layer, 1.7)
    np.testing.assert_allclose(np.asarray(layer(rows)), calibrated(before, 1.7), rtol=1e-4, atol=1e-7)


def noted(
    *finished: StageRecord, stage: StageName, best: int | None, calibrates: bool = True, layers: tuple[Any, ...] = ("",)
) -> TrainingProgress:
    logits, labels = judged(200, confidence=2.0)
    built: Any = SimpleNamespace(head_layers=layers)
    progress = TrainingProgress(stage=stage, stages=list(finished), best_epoch=best)
    return Calibrator(make_plan(calibrates=calibrates), built, labels).noted(progress, probabilities(logits))


def test_the_best_epoch_of_fine_tuning_is_calibrated() -> None:
    """The saved model would be as overconfident as its training has left it."""
    assert noted(HEAD, stage="fine-tune", best=1).calibration is not None
    assert noted(HEAD, VIEWS, TUNED, stage="fine-tune", best=4).calibration is not None


def test_a_refit_keeps_the_calibration_of_the_fine_tuning_that_it_repeats() -> None:
    """It has no validation images of its own, and is as overconfident."""
    found = Calibration(temperature=2.0, loss=0.5)
    progress = TrainingProgress(stage="refit", stages=[HEAD, TUNED], best_epoch=2, calibration=found)
    built: Any = SimpleNamespace(head_layers=("",))
    calibrator = Calibrator(make_plan(calibrates=True), built, np.zeros(0, np.int64))
    assert calibrator.noted(progress, np.zeros((3, CLASSES), np.float32)).calibration == found
    assert calibrator.noted(progress, None).calibration is None


def best_after(
    accuracy: float, worse: float, monitor: str = "auto", compares: str = "accuracy", *, calibrates: bool = True
) -> int | None:
    """The best epoch after a head, and one of fine-tuning that is twice too confident.

    Args:
        accuracy: the head's; that of fine-tuning is 42 of 62 images, as Keras computes it.
        worse: how much higher the head's loss is than the calibrated loss of fine-tuning.
        monitor: what is compared.
        compares: how the run is planned.
        calibrates: likewise.
    """
    logits, labels = judged(200, confidence=2.0)
    given, built = probabilities(logits), SimpleNamespace(head_layers=("",))
    found = calibration(given, labels)
    assert found is not None
    head = {"loss": 0.1, "val_loss": found.loss + worse, "val_accuracy": accuracy}
    progress = TrainingProgress(stage="head").after_epoch(0, head, monitor).after_stage(HEAD).in_stage("fine-tune")
    tuned = {"loss": 0.01, "val_loss": loss(given, labels), "val_accuracy": float(np.float32(42 / 62))}
    plan = make_plan(calibrates=calibrates, monitor=monitor, compares=compares)
    calibrator = Calibrator(plan, cast("Any", built), labels)
    ended = calibrator.after_epoch(calibrator.begun(progress, None), 1, tuned, given)
    assert ended.calibration == (found if ended.best_epoch == 1 and calibrates else None)
    return ended.best_epoch


def test_of_two_that_are_as_accurate_the_lower_calibrated_loss_counts() -> None:
    """A model would be better by the eighth digit of its accuracy, or worse since it is more confident."""
    assert [best_after(42 / 62, worse) for worse in (-0.01, 0.01)] == [0, 1]
    assert [best_after(43 / 62, worse) for worse in (-0.01, 0.01)] == [0, 0]
    assert [best_after(41 / 62, worse) for worse in (-0.01, 0.01)] == [1, 1]


def test_a_more_accurate_epoch_counts_only_if_its_calibrated_loss_is_not_higher() -> None:
    """One image more of 62, in the luckiest of eight epochs, would replace the head by a worse model."""
    by_both = "quality and loss"
    assert [best_after(41 / 62, worse, compares=by_both) for worse in (-0.01, 0.01)] == [0, 1]
    assert [best_after(43 / 62, worse, compares=by_both) for worse in (-0.01, 0.01)] == [0, 0]
    assert [best_after(41 / 62, worse, compares="quality") for worse in (-0.01, 0.01)] == [1, 1]
    assert [best_after(41 / 62, worse, "val_accuracy", by_both) for worse in (-0.01, 0.01)] == [1, 1]
    assert best_after(41 / 62, -0.01, compares=by_both, calibrates=False) == 1  # its loss rises with its confidence


def test_what_the_user_names_or_the_run_was_planned_with_counts() -> None:
    """A run would end with another model than it was started for."""
    assert best_after(42 / 62, 0.01, calibrates=False) == 0
    assert best_after(42 / 62, 0.01, monitor="val_loss") == 0


def rare(right: int, of_rare: int) -> tuple[Any, Any]:
    """Probabilities and labels of 90 images of class 0 and ten of class 1, and how many of each are right."""
    labels = np.array([0] * 90 + [1] * 10)
    told = np.array([0] * right + [1] * (90 - right) + [1] * of_rare + [0] * (10 - of_rare))
    return (0.8 * np.eye(2)[told] + 0.1).astype(np.float32), labels


def best_of_rare(
    monitor: str = "auto", compares: str = "quality", class_weight: str = "balanced", *, weighted: bool = True
) -> TrainingProgress:
    """The progress after a head that ignores the rare class, an epoch that finds it, and one as the head."""
    (head, labels), (tuned, _) = rare(90, 1), rare(84, 6)
    weights = np.where(labels == 1, 5.0, 0.5556).astype(np.float32) if weighted else None
    logs = {"loss": 0.5, "val_loss": loss(head, labels), "val_accuracy": 0.91}
    built: Any = SimpleNamespace(head_layers=("",))
    progress = TrainingProgress(stage="head").after_epoch(0, logs, monitor).after_stage(HEAD).in_stage("fine-tune")
    plan = make_plan(calibrates=True, monitor=monitor, compares=compares, class_weight=class_weight)
    calibrator = Calibrator(plan, built, labels, weights)
    progress = calibrator.begun(progress, head)
    assert calibrator.begun(progress, head) == progress  # after a restart
    found = {"loss": 0.4, "val_loss": loss(tuned, labels), "val_accuracy": 0.90}
    progress = calibrator.after_epoch(progress, 1, found, tuned)
    return calibrator.after_epoch(progress, 2, logs, head)


def test_with_class_weights_the_rare_class_counts_as_in_the_loss() -> None:
    """A fine-tuning that finds six of ten rare images would be dropped for a head that finds one."""
    chosen = best_of_rare()
    assert chosen.best_epoch == 1
    assert chosen.best_accuracy == pytest.approx((84 * 0.5556 + 6 * 5) / 100, abs=1e-4)
    assert chosen.accuracy_before == pytest.approx((90 * 0.5556 + 1 * 5) / 100, abs=1e-4)
    assert chosen.after_stage().stages[-1].chosen_by == "accuracy with class weights"
    own = best_of_rare(class_weight="none").after_stage().stages[-1]  # the weights are those of the images alone
    assert own.chosen_by == "accuracy with the weights of images"
    assert chosen.history["val_accuracy"] == [0.91, 0.90, 0.91]
    for other in (best_of_rare(weighted=False), best_of_rare(compares="accuracy"), best_of_rare("val_accuracy")):
        assert other.best_epoch != 1
        assert other.after_stage().stages[-1].chosen_by == ""


def test_with_class_weights_the_temperature_is_that_of_the_weighted_loss() -> None:
    """The rare class, of which the model is wrongly sure, would have next to no say."""
    given, labels = rare(90, 3)
    weights = np.where(labels == 1, 9.0, 1.0).astype(np.float32)
    alone, weighted = calibration(given, labels), calibration(given, labels, weights)
    assert alone is not None
    assert weighted is not None
    assert weighted.temperature > alone.temperature == 1
    again = calibration(np.repeat(given, weights.astype(int), axis=0), np.repeat(labels, weights.astype(int)))
    assert again is not None
    assert weighted.temperature == pytest.approx(again.temperature, rel=1e-3)
    assert calibration(given, labels, np.zeros(100, np.float32)) == alone


@pytest.mark.parametrize(("compares", "best"), [("quality", 1), ("accuracy", 0)])
def test_several_labels_are_compared_by_their_mean_average_precision(compares: str, best: int) -> None:
    """The loss rises while the order of the images improves: a good fine-tuning would be dropped."""
    head = {"loss": 0.3, "val_loss": 0.30, "mean_average_precision": 0.9, "val_mean_average_precision": 0.70}
    tuned = {"loss": 0.1, "val_loss": 0.40, "mean_average_precision": 1.0, "val_mean_average_precision": 0.75}
    worse = tuned | {"val_mean_average_precision": 0.69}
    progress = TrainingProgress(stage="head").after_epoch(0, head).after_stage(HEAD).in_stage("fine-tune")
    built: Any = SimpleNamespace(head_layers=("",))
    calibrator = Calibrator(make_plan(compares=compares), built, np.zeros(0, np.int64))
    progress = calibrator.begun(progress, None)
    progress = calibrator.after_epoch(calibrator.after_epoch(progress, 1, tuned, None), 2, worse, None)
    assert progress.best_epoch == best
    ended = progress.after_stage().stages[-1]
    new = compares == "quality"
    assert (ended.chosen_by, ended.ends_worse) == ("mean average precision" if new else "", new)


@pytest.mark.parametrize(
    ("last", "monitor", "expected"),
    [
        (0.54, "auto", True),
        (0.58, "auto", False),  # within the standard error of a hundred images
        (0.54, "val_loss", False),
        (0.58, "val_accuracy", True),
        (0.62, "val_accuracy", False),
    ],
    ids=str,
)
def test_a_fine_tuning_whose_last_epoch_is_worse_than_the_head_says_so(
    last: float, monitor: str, *, expected: bool
) -> None:
    """A refit, which ends with the last epoch, would hand over a model that is worse than the head."""
    head = {"loss": 0.1, "val_loss": 0.9, "val_accuracy": 0.60}
    progress = TrainingProgress(stage="head").after_epoch(0, head, monitor).after_stage(HEAD).in_stage("fine-tune")
    built: Any = SimpleNamespace(head_layers=("",))
    calibrator = Calibrator(make_plan(compares="quality", monitor=monitor), built, np.zeros(100, np.int64))
    progress = calibrator.begun(progress, None)
    for epoch, accuracy in enumerate((0.7, last), 1):
        progress = calibrator.after_epoch(progress, epoch, head | {"val_loss": 0.8, "val_accuracy": accuracy}, None)
    again = TrainingProgress.model_validate_json(progress.model_dump_json())
    assert (again.best_epoch, again.after_stage().stages[-1].ends_worse) == (1, expected)
    fresh = TrainingProgress(stage="head").after_epoch(0, head, monitor).after_stage(HEAD).in_stage("fine-tune")
    assert Calibrator(make_plan(monitor=monitor), built, np.zeros(0, np.int64)).begun(fresh, None) == fresh  # as it was


def test_a_fine_tuning_as_accurate_as_the_head_is_done_again_though_its_loss_has_risen() -> None:
    """Of few validation images it is calibrated on none: its loss rises with its confidence, and ties are usual."""
    head = {"loss": 0.1, "val_loss": 0.9, "val_accuracy": 0.6}
    progress = TrainingProgress(stage="head").after_epoch(0, head, "auto").after_stage(HEAD).in_stage("fine-tune")
    built: Any = SimpleNamespace(head_layers=("",))
    calibrator = Calibrator(make_plan(compares="quality"), built, np.zeros(0, np.int64))
    progress = calibrator.begun(progress, None)
    for epoch, accuracy in enumerate((0.7, 0.6), 1):
        progress = calibrator.after_epoch(progress, epoch, head | {"val_loss": 1.5, "val_accuracy": accuracy}, None)
    assert not progress.after_stage().stages[-1].ends_worse


def test_the_head_is_not() -> None:
    """The solved head, whose penalty was chosen by its loss, would become too cautious by the noise of few images."""
    assert noted(HEAD, stage="fine-tune", best=0).calibration is None
    assert noted(HEAD, VIEWS, TUNED, stage="fine-tune", best=1).calibration is None


def test_a_run_that_was_not_planned_so_and_a_network_of_the_users_own_are_left_alone() -> None:
    """A run of an earlier version would be resumed to another model, or a layer changed that is no softmax."""
    assert noted(HEAD, stage="fine-tune", best=1, calibrates=False).calibration is None
    assert noted(HEAD, stage="fine-tune", best=1, layers=()).calibration is None


def test_a_model_of_which_nothing_is_known_loses_its_calibration() -> None:
    """Weights that a callback has set would get the temperature of others."""
    progress = noted(HEAD, stage="fine-tune", best=1)
    built: Any = SimpleNamespace(head_layers=("",))
    assert (
        Calibrator(make_plan(calibrates=True), built, np.zeros(0, np.int64)).noted(progress, None).calibration is None
    )
