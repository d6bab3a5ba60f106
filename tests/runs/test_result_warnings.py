"""Words of warning: raised beyond what chance explains, and only there."""

from __future__ import annotations

import math
from typing import Any

import pytest

from autofit.config.options import make_options
from autofit.config.standard_error import standard_error
from autofit.protocol.messages import StageRecord
from autofit.runs.result_warnings import ValidatedRun, result_warnings

HEAD = StageRecord(name="head", method="solved", epochs=1, l2=1.0)
FINE_TUNE = StageRecord(name="fine-tune", method="epochs", epochs=2)
NAMES = ("cats", "dogs", "owls")


def run(validation: float, training: float = 0.8, **changes: Any) -> ValidatedRun:
    history = {"loss": [0.5], "accuracy": [training], "val_loss": [0.6], "val_accuracy": [validation]}
    fields: dict[str, Any] = {
        "history": history,
        "class_names": NAMES,
        "validation_counts": [400, 400, 400],
        "predicted_counts": [390, 405, 405],
    }
    return ValidatedRun(**(fields | changes))


def test_a_good_run_has_no_warning() -> None:
    """People would learn to skip the warnings."""
    assert result_warnings(run(0.8)) == []


@pytest.mark.parametrize(
    ("accuracy", "counts", "expected"),
    [
        (0.34, [400, 400, 400], True),
        (0.35, [400, 400, 400], True),  # a standard error is 0.014
        (0.37, [400, 400, 400], False),
        (0.87, [1000, 100, 100], False),
        (0.5, [4, 4, 4], True),  # six of twelve
        (1.0, [12], False),  # a single class
        (1.0, [8, 2, 0], False),
        (1.0, [2, 1, 0], False),  # of so few nothing is certain, but nothing is wrong either
    ],
)
def test_a_validation_at_chance_is_called_so(accuracy: float, counts: list[int], expected: bool) -> None:  # noqa: FBT001
    """A model that has learned nothing would look like one that has, or the other way round."""
    found = result_warnings(run(accuracy, accuracy, validation_counts=counts, predicted_counts=counts))
    assert any("is at chance" in line and "'cats'" in line for line in found) is expected


@pytest.mark.parametrize(
    ("accuracy", "counts", "predicted", "expected"),
    [
        (0.945, [950, 50], [900, 100], False),  # the mean recall is 0.945 too
        (0.95, [950, 50], [1000, 0], True),  # always "cats"
        (0.951, [950, 50], [999, 1], False),  # one answer of fifty, and it is right
        (0.905, [950, 50], [950, 50], True),  # the answers might as well be dealt out
        (0.995, [198, 2], [199, 1], False),
        (0.9, [8, 2], [9, 1], True),  # one of five such guesses is right
        (0.84, [1000, 100, 100], [1200, 0, 0], True),  # an image could not be read
        (0.84, [1000, 100, 100], [1000, 100, 100], False),
        (0.84, [1000, 100, 100], [], True),  # it is not known what was predicted
        (0.90, [1000, 100, 100], [], False),
        (0.995, [198, 2], [], True),
    ],
)
def test_chance_is_what_answers_without_knowledge_would_give(
    accuracy: float,
    counts: list[int],
    predicted: list[int],
    expected: bool,  # noqa: FBT001
) -> None:
    """On skewed data a model that balances its classes would be called useless, and one that knows none would not."""
    found = result_warnings(run(accuracy, accuracy, validation_counts=counts, predicted_counts=predicted))
    assert any("is at chance" in line for line in found) is expected


@pytest.mark.parametrize(
    ("training", "validation", "counts", "expected"),
    [
        (0.98, 0.62, 400, True),
        (0.80, 0.66, 400, False),
        (0.60, 0.90, 400, False),  # dropout and the mean over an epoch: usual at the start
        (0.95, 0.75, 4, False),  # twelve images: a standard error of 0.12
    ],
)
def test_a_training_far_ahead_of_validation_is_noted(
    training: float,
    validation: float,
    counts: int,
    expected: bool,  # noqa: FBT001
) -> None:
    """Memorised training images would pass for learning, or a handful of images for a verdict."""
    given = run(validation, training, validation_counts=[counts] * 3, predicted_counts=[counts] * 3)
    assert any("far ahead" in line for line in result_warnings(given)) is expected


@pytest.mark.parametrize(
    ("given", "helps"),
    [
        ({"epochs": 9}, "more images or augment='light'"),
        ({"epochs": 9, "augment": "strong"}, "more images"),
        ({"epochs": 9, "fine_tune_epochs": 4}, "more images or fewer layers that train"),  # its views are augmented
        ({"weights": "none"}, "more images or augment='light'"),
        ({"model": "json:loads", "augment": "light"}, "more images"),
        ({"trainable": "all", "recipe": "classic"}, "more images, augment='light' or fewer layers that train"),
    ],
    ids=str,
)
def test_what_would_help_is_not_there_already_and_could_be(given: dict[str, Any], helps: str) -> None:
    """A user would be sent to an option that is given, or that is refused with this network."""
    found = result_warnings(run(0.62, 0.98, options=make_options(**given)))
    assert found == [f"Training is far ahead of validation: accuracy 0.980 against 0.620; {helps} would help."]


@pytest.mark.parametrize(
    ("cross_validated", "validation", "counts", "expected"),
    [
        (0.70, 0.68, 400, False),
        (0.90, 0.62, 400, True),  # validation images of another kind
        (0.90, 0.72, 4, False),  # twelve images: a standard error of 0.12
        (None, 0.62, 400, False),  # nothing is known of other images
    ],
)
def test_a_solved_head_that_knows_its_training_images_is_no_warning(
    cross_validated: float | None,
    validation: float,
    counts: int,
    expected: bool,  # noqa: FBT001
) -> None:
    """Every head on a few hundred photos would be called overfitted; or none, where validation is far worse."""
    head = HEAD.model_copy(update={"cross_validated_accuracy": cross_validated})
    for stages in ([head], [head, FINE_TUNE]):
        given = run(
            validation, 1.0, stages=stages, validation_counts=[counts] * 3, predicted_counts=[counts] * 3, best_epoch=0
        )
        found = result_warnings(given)
        assert not any("Training is far ahead" in line for line in found)
        assert any("far behind training images that were left out" in line for line in found) is expected


def test_it_is_said_on_which_training_images_a_solved_head_was_better() -> None:
    """A reader would look for a cross-validation that there was not, where a validation set chose the strength."""
    for chosen_by, what in (
        ("cross-validation", "cross-validation"),
        ("validation", "training images that were left out"),
    ):
        head = HEAD.model_copy(update={"cross_validated_accuracy": 0.9, "chosen_by": chosen_by})
        found = result_warnings(run(0.62, 1.0, stages=[head]))
        assert [line.partition(":")[0] for line in found] == [f"Validation is far behind {what}"]


def test_a_fine_tuned_model_that_is_kept_is_judged_by_its_training_accuracy() -> None:
    """A network that knows its images by heart would be handed over without a word, as its stages begin with a head."""
    head = HEAD.model_copy(update={"cross_validated_accuracy": 0.6})
    history = {"accuracy": [1.0, 0.99], "loss": [0.1, 0.1], "val_accuracy": [0.54, 0.55], "val_loss": [1.5, 1.4]}
    finished = [head, FINE_TUNE.model_copy(update={"epochs": 1})]
    options = make_options(time_budget="5m")
    for stages in (finished, [head]):  # the second has ended within its fine-tuning
        (found,) = result_warnings(run(0.55, history=history, best_epoch=1, stages=stages, options=options))
        figures = "accuracy 0.990 against 0.550"
        helps = "more images or fewer layers that train"
        assert found == f"Training is far ahead of validation: {figures}; {helps} would help."
    assert result_warnings(run(0.55, history=history, best_epoch=0, stages=[head])) == []


def test_what_decided_that_a_stage_did_not_help_is_named() -> None:
    """Who sees a higher accuracy in the history would think that the wrong model was kept."""
    history = {name: values * 3 for name, values in run(0.9, 0.95).history.items()}
    tuned = FINE_TUNE.model_copy(update={"chosen_by": "accuracy with class weights"})
    found = result_warnings(run(0.9, history=history, stages=[HEAD, tuned], best_epoch=0))
    assert "Fine-tuning gave no better model by validation accuracy with class weights: the one" in " ".join(found)


def test_a_stage_that_did_not_help_is_named() -> None:
    """Minutes of fine-tuning would look as if they had made the model."""
    history = {name: values * 3 for name, values in run(0.9, 0.95).history.items()}
    told = "Fine-tuning gave no better model by validation: the one with the head alone was kept."
    for best, stages, expected in (
        (0, [HEAD, FINE_TUNE], [told]),
        (1, [HEAD, FINE_TUNE], []),
        (0, [HEAD], []),
        (0, [HEAD, FINE_TUNE.model_copy(update={"epochs": 0})], []),
    ):
        assert result_warnings(run(0.9, history=history, best_epoch=best, stages=stages)) == expected


@pytest.mark.parametrize(("monitor", "by"), [("val_loss", "by validation"), ("accuracy", "by training accuracy")])
def test_stages_that_are_compared_by_another_figure_are_told_so(monitor: str, by: str) -> None:
    """By training accuracy a solved head is hardly ever beaten: its user would think that validation has decided."""
    history = {name: values * 3 for name, values in run(0.9, 0.95).history.items()}
    given = run(0.9, history=history, best_epoch=0, stages=[HEAD, FINE_TUNE], options=make_options(monitor=monitor))
    assert result_warnings(given) == [f"Fine-tuning gave no better model {by}: the one with the head alone was kept."]


def test_a_solved_head_at_chance_is_not_blamed_on_a_learning_rate() -> None:
    """There is none: the reader would look for it in vain."""
    (by_epochs,) = result_warnings(run(0.34, 0.34))
    (solved,) = result_warnings(run(0.34, 0.34, stages=[HEAD]))
    assert by_epochs.endswith("their classes, then at the learning rate.")
    assert solved.endswith("their classes.")


def test_classes_that_were_never_predicted_are_named() -> None:
    """A class that the model does not know at all hides behind a good accuracy."""
    found = result_warnings(run(0.9, predicted_counts=[700, 500, 0]))
    assert found == ["Never predicted in validation: owls."]
    no_image = run(0.9, validation_counts=[600, 600, 0], predicted_counts=[700, 500, 0])
    assert not any("Never" in line for line in result_warnings(no_image))
    assert not any("Never" in line for line in result_warnings(run(0.9, predicted_counts=[])))


def test_long_lists_of_classes_are_cut() -> None:
    """A thousand classes would fill the screen."""
    names = [f"c{number}\n" for number in range(30)]
    given = run(0.9, class_names=names, validation_counts=[90] * 30, predicted_counts=[2700] + [0] * 29)
    (line,) = (line for line in result_warnings(given) if "Never" in line)
    assert line.endswith(" and 24 more.")
    assert "\n" not in line


def test_a_class_too_small_to_judge_is_named_with_its_size() -> None:
    """Two of two right would be read as 100 %."""
    found = result_warnings(run(0.9, validation_counts=[700, 496, 4], predicted_counts=[700, 490, 10]))
    assert found == ["Too few validation images to judge a class by, under 5: owls (4)."]


def test_a_small_validation_says_which_differences_mean_nothing() -> None:
    """Two runs would be compared by a difference of three points on forty images."""
    (line,) = result_warnings(run(0.8, validation_counts=[14, 13, 13], predicted_counts=[14, 13, 13]))
    assert line == "Validation has 40 images: a difference in accuracy of less than 13 points means nothing."
    assert 2 * standard_error(0.8, 40) <= 0.13


@pytest.mark.parametrize(
    ("copies", "begins"),
    [(0, None), (1, None), (2, "At least 2 of 1,200 validation images are among the training images too")],
)
def test_images_that_were_trained_on_are_named_if_they_show(copies: int, begins: str | None) -> None:
    """A copied photo is right whatever was learnt: the accuracy would be too high, and only the page's end say why."""
    found = [line.partition(",")[0] + line.partition(",")[1] for line in result_warnings(run(0.8, copies=copies))]
    assert len(found) == (begins is not None)
    for line in result_warnings(run(0.8, copies=copies)):
        assert line.startswith(begins or "?")
        assert "`autofit check`" in line
        assert "group_column" in line


def test_images_that_could_not_be_read_do_not_count() -> None:
    """The error would be that of more images than were seen."""
    assert run(0.8, predicted_counts=[10, 10, 10]).images == 30
    assert run(0.8, predicted_counts=[]).images == 1200


def test_without_a_validation_or_an_accuracy_nothing_is_made_up() -> None:
    """A run without validation, or with other metrics, would fail at its end."""
    trained = {"loss": [0.5], "accuracy": [0.9]}
    assert result_warnings(run(0.8, history=trained)) == []
    assert result_warnings(run(0.8, history={})) == []
    assert result_warnings(run(0.8, validation_counts=[], predicted_counts=[])) == []
    losses = {"loss": [0.5], "val_loss": [0.5]}
    assert result_warnings(run(0.8, history=losses)) == []
    assert result_warnings(run(0.8, history={"loss": [math.nan], "val_loss": [math.nan]})) == []


@pytest.mark.parametrize(
    ("training", "validation", "words"),
    [(0.4, 0.38, "is at chance"), (0.74, 0.58, "far ahead of validation")],
    ids=["at chance", "far ahead"],
)
def test_what_few_groups_may_be_by_chance_is_judged_so(training: float, validation: float, words: str) -> None:
    """A model that has learnt nothing would look like one that has, as each patient has many images."""
    grouped: dict[str, Any] = {"groups": 30, "effective_images": 30.0}
    found = [words in " ".join(result_warnings(run(validation, training, **more))) for more in ({}, grouped)]
    assert found == [words == "far ahead of validation", words == "is at chance"]
