"""The labels of samples as the steps take them."""

from __future__ import annotations

from array import array

import numpy as np

from autofit.dataset import ImageIndex
from autofit.worker.training.targets import Targets

SETS = ((), (0,), (0, 1))
INDEX = ImageIndex("/", list("abcdef"), array("i", [0, 1, 2, 1, 1, 0]), ("x", "y", "z"), 5, label_sets=SETS)


def test_each_sample_has_the_row_of_its_set() -> None:
    """A network would learn the labels of another image."""
    targets = Targets(INDEX, "none")
    assert targets.labels(np.array([2, 0, 1])).tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0]]
    assert targets.weights(np.array([2, 0])).tolist() == [[1, 1, 1]] * 2
    assert targets.labels(np.array([0])).dtype == np.float32


def test_balanced_weights_make_both_sides_of_a_label_count_alike() -> None:
    """A rare label would be told of no image; the validation images must not count for the weights."""
    targets = Targets(INDEX, "balanced")
    trained = np.arange(5)
    labels, weights = targets.labels(trained), targets.weights(trained)
    for number in (0, 1):
        assert weights[labels[:, number] == 1, number].sum() == weights[labels[:, number] == 0, number].sum() == 2.5
    assert (weights[:, 2] == 1).all()  # no image has it


def test_one_label_is_a_number() -> None:
    """The steps of a usual training would see rows."""
    index = ImageIndex("/", list("abc"), array("i", [0, 1, 1]), ("x", "y"), 3)
    targets = Targets(index, "balanced")
    assert targets.labels(np.array([1, 0])).tolist() == [1, 0]
    assert targets.weights(np.array([1, 0])).tolist() == [0.75, 1.5]
    assert targets.mean_weight == Targets(INDEX, "balanced").mean_weight == Targets(index).mean_weight == 1.0
    assert Targets(index, {"x": 10.0}).mean_weight == 4.0
