"""The figures of a model on images with any number of labels."""

from __future__ import annotations

import numpy as np
import pytest

from autofit.runs import multi_label_evaluation as multi_label_evaluation_module
from autofit.runs.multi_label_evaluation import label_figures, multi_label_evaluation
from tests.support.datasets import traced


def test_figures_are_of_the_images_that_could_be_read() -> None:
    """An image that cannot be read would count as wrong, or a label of another column be counted."""
    rows = np.array([[0.9, 0.2], [0.6, 0.7], [np.nan, np.nan], [0.1, 0.1]], np.float32)
    found = multi_label_evaluation(rows, [[0], [1], [0, 1], []], ["cat", "dog"], [], 1)
    assert found is not None
    assert found.images == 3
    assert found.accuracy == pytest.approx(2 / 3)
    assert [(each.name, each.images, each.right, each.predicted) for each in found.classes] == [
        ("cat", 1, 1, 2),
        ("dog", 1, 1, 1),
    ]
    likelihood = np.array([[0.9, 0.8], [0.4, 0.7], [0.9, 0.9]])
    assert found.loss == pytest.approx(-np.log(likelihood).mean(), rel=1e-5)
    assert found.mean_average_precision == 1.0
    assert found.f1 == pytest.approx(4 / 5)
    assert multi_label_evaluation(rows[2:3], [[0]], ["cat", "dog"], [], 1) is None


def test_the_probabilities_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand labels of a hundred thousand images would take four times their four gigabytes."""
    rows = np.random.default_rng(0).random((1_000, 1_000), np.float32)
    numbers, names = [[place] for place in range(1_000)], [str(place) for place in range(1_000)]
    whole = multi_label_evaluation(rows, numbers, names, [], 1)
    monkeypatch.setattr(multi_label_evaluation_module, "COUNTED_AT_ONCE", 10_000)
    found, _, peak_bytes = traced(lambda: multi_label_evaluation(rows, numbers, names, [], 1))
    assert peak_bytes < 1.6 * rows.nbytes
    assert found is not None
    assert whole is not None
    assert found.loss == pytest.approx(whole.loss, rel=1e-6)


def test_images_of_one_group_are_not_independent() -> None:
    """The error of forty images would be told where there are four patients."""
    rows = np.array([[0.9, 0.1]] * 30 + [[0.1, 0.9]] * 10, np.float32)
    patients = [number // 10 for number in range(40)]
    alone, grouped = (
        multi_label_evaluation(rows, [[0]] * 40, ["cat", "dog"], [], 1, groups) for groups in ((), patients)
    )
    assert alone is not None
    assert grouped is not None
    assert (grouped.groups, alone.groups) == (4, 0)
    assert grouped.standard_error > 2 * alone.standard_error


def test_each_label_has_its_own_precision_and_recall() -> None:
    """The label that is told too often would look as good as the one that is told right."""
    rows = np.array([[0.9, 0.2], [0.6, 0.7], [np.nan, np.nan], [0.1, 0.1]], np.float32)
    cat, dog = label_figures(rows, [[0], [1], [0, 1], []], ["cat", "dog"])
    assert (cat.name, cat.images, cat.predicted, cat.precision, cat.recall) == ("cat", 1, 2, 0.5, 1.0)
    assert (dog.name, dog.images, dog.predicted, dog.precision, dog.recall) == ("dog", 1, 1, 1.0, 1.0)
