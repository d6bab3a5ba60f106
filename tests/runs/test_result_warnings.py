"""Words of warning: raised beyond what chance explains, and only there."""

from __future__ import annotations

import math
from typing import Any

import pytest

from autofit.config.standard_error import standard_error
from autofit.runs.result_warnings import ValidatedRun, result_warnings

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
        (0.84, [1000, 100, 100], True),  # always "cats" is right in 0.83
        (0.87, [1000, 100, 100], False),
        (0.5, [4, 4, 4], True),  # six of twelve
        (1.0, [12], False),  # a single class
    ],
)
def test_a_validation_at_chance_is_called_so(accuracy: float, counts: list[int], expected: bool) -> None:  # noqa: FBT001
    """A model that has learned nothing would look like one that has, or the other way round."""
    found = result_warnings(run(accuracy, accuracy, validation_counts=counts, predicted_counts=counts))
    assert any("is at chance" in line and "'cats'" in line for line in found) is expected


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
