"""The labels of samples as the steps take them."""

from __future__ import annotations

from array import array
from dataclasses import replace

import numpy as np
import pytest

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


def test_weights_of_images_and_of_their_classes_are_multiplied() -> None:
    """One of the two would be lost; and a column of large numbers would make each step longer than the rate says."""
    index = ImageIndex("/", list("abcd"), array("i", [0, 1, 1, 0]), ("x", "y"), 3, weights=array("d", [20, 40, 0, 60]))
    targets = Targets(index)
    assert targets.weights(np.arange(4)).tolist() == [1, 2, 0, 3]
    assert targets.weights(np.array([3, 0])).dtype == np.float32
    assert targets.mean_weight == 1.0
    numbers, weights = targets.judged_from(3)
    assert (numbers.tolist(), weights is not None and weights.tolist()) == ([0], [3])
    assert Targets(index, {"y": 3.0}).weights(np.arange(4)).tolist() == [1, 6, 0, 3]
    assert Targets(index, {"y": 3.0}).mean_weight == pytest.approx(7 / 3)
    without = ImageIndex("/", list("abcd"), array("i", [0, 1, 1, 0]), ("x", "y"), 3)
    assert Targets(without).judged_from(3)[1] is None


def test_weights_of_any_size_have_ratios() -> None:
    """The sum of weights near the largest number would be infinite, and no image be learnt from."""
    for size in (1.7e308, 1e-308):
        index = ImageIndex(
            "/", list("abc"), array("i", [0, 1, 1]), ("x", "y"), 3, weights=array("d", [size, size / 2, 0])
        )
        np.testing.assert_allclose(Targets(index).weights(np.arange(3)), [2, 1, 0])


def test_balanced_classes_have_the_same_total_weight_with_weights_of_images() -> None:
    """A class of heavy images would still count more; one whose images all weigh nothing would make a loss of NaN."""
    labels, weights = array("i", [0, 0, 1, 2, 0]), array("d", [1, 2, 9, 0, 5])
    index = ImageIndex("/", list("abcde"), labels, ("x", "y", "z"), 4, weights=weights)
    found = Targets(index, "balanced").weights(np.arange(4))
    assert found[:2].sum() == pytest.approx(found[2])
    assert found[3] == 0


def test_with_several_labels_all_labels_of_an_image_have_its_weight() -> None:
    """The weights would be taken for those of labels, or not be used."""
    index = replace(INDEX, weights=array("d", [1, 3, 0, 1, 5, 9]))
    samples = np.array([1, 2])
    assert Targets(index).weights(samples).tolist() == [[1.5] * 3, [0] * 3]
    targets, trained = Targets(index, "balanced"), np.arange(5)
    labels, weights = targets.labels(trained), targets.weights(trained)
    for number in (0, 1):
        sides = [weights[labels[:, number] == side, number].sum() for side in (0, 1)]
        assert sides == pytest.approx([2.5, 2.5]) if min(sides) else True
    assert targets.mean_weight == 1.0
