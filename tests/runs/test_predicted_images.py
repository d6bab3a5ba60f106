"""From probabilities to counts by class, figures by class and the worst images."""

from __future__ import annotations

import numpy as np
import pytest

from autofit.runs.predicted_images import ClassFigures, Confusion, PredictedImages, readable
from tests.support.datasets import traced

NAMES = ("cat", "dog", "owl")
ROWS = np.array(
    [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [np.nan] * 3, [0.3, 0.6, 0.1], [0.0, 1.0, 0.0]],
    np.float32,
)
LABELS = [0, 1, 2, 0, 0]
PATHS = ["a", "b", "c", "d", "e"]


@pytest.fixture
def images() -> PredictedImages:
    return readable(PATHS, LABELS, ROWS, NAMES)


def test_an_image_that_cannot_be_read_counts_nowhere(images: PredictedImages) -> None:
    """NaN has a largest value too, for NumPy: the image would be taken for the first class."""
    assert list(images.paths) == ["a", "b", "d", "e"]
    assert images.confusion_counts().tolist() == [[1, 2, 0], [0, 1, 0], [0, 0, 0]]
    assert images.accuracy == 0.5


def test_the_loss_is_keras_s(images: PredictedImages) -> None:
    """A probability of 0 would make it infinite."""
    keras_epsilon = 1e-7
    assert images.loss == pytest.approx(-np.log([0.7, 0.8, 0.3, keras_epsilon]).mean(), rel=1e-5)


def test_the_figures_of_each_class(images: PredictedImages) -> None:
    """Precision and recall would be exchanged, or a class without images be a division by zero."""
    assert images.class_figures() == [
        ClassFigures(name="cat", images=3, predicted=1, precision=1.0, recall=1 / 3, f1=0.5),
        ClassFigures(name="dog", images=1, predicted=3, precision=1 / 3, recall=1.0, f1=0.5),
        ClassFigures(name="owl", images=0, predicted=0, precision=None, recall=None, f1=None),
    ]


def test_the_pairs_of_classes_that_are_confused(images: PredictedImages) -> None:
    """A user would be told that dogs are taken for cats."""
    assert images.confusions() == [Confusion(images=2, true=0, told=1)]


def test_figures_of_thousands_of_classes_take_no_room_for_each_pair_of_them() -> None:
    """5,000 classes would take 200 MB, and 20,000 of them 3 GB at the end of a run."""
    names = [f"{number}" for number in range(5_000)]
    told = readable(["a", "b"], [4_999, 7], np.eye(5_000, dtype=np.float32)[[4_998, 7]], names)
    (figures, confusions), _, peak_bytes = traced(lambda: (told.class_figures(), told.confusions()))
    assert (figures[7].recall, figures[4_998].precision, figures[4_999].recall) == (1.0, 0.0, 0.0)
    assert confusions == [Confusion(1, 4_999, 4_998)]
    assert peak_bytes < 20_000_000


def test_a_class_that_is_never_predicted_rightly_has_an_f1_of_zero() -> None:
    """It would be missing in the mean over the classes, which would be the higher, the more classes failed."""
    always_dog = readable(["a", "b"], [0, 1], np.array([[0, 1, 0], [0, 1, 0]], np.float32), NAMES).class_figures()
    assert [one.f1 for one in always_dog] == [0.0, pytest.approx(2 / 3), None]
    (cat, dog) = readable(["a", "b"], [0, 1], np.array([[0, 1], [1, 0]], np.float32), NAMES[:2]).class_figures()
    assert (cat.precision, cat.recall, cat.f1) == (dog.precision, dog.recall, dog.f1) == (0.0, 0.0, 0.0)


def test_the_worst_come_first(images: PredictedImages) -> None:
    """A user would look at good images."""
    worst = images.worst(3)
    assert [(one.path, one.label, one.predicted, one.is_right) for one in worst] == [
        ("e", "cat", "dog", False),
        ("d", "cat", "dog", False),
        ("a", "cat", "cat", True),
    ]
    assert worst[1].probability == pytest.approx(0.6)
    assert worst[1].label_probability == pytest.approx(0.3)
    assert images.worst(99)[-1].path == "b"
