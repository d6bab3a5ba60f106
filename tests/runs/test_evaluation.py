"""The figures of a model on images with known classes."""

from __future__ import annotations

import numpy as np
import pytest

from autofit.config.standard_error import standard_error
from autofit.protocol.messages import BadImage
from autofit.runs.evaluation import ClassCounts, evaluation
from tests.support.datasets import traced

NAMES = ("cat", "dog", "owl")


def test_each_class_has_its_counts_and_unreadable_images_do_not_count() -> None:
    """A class that is never told right would hide behind the accuracy of all, or a broken file count as wrong."""
    rows = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [np.nan] * 3, [0.3, 0.6, 0.1]], np.float32)
    bad = [BadImage(path="c", reason="cut short")]
    figures = evaluation(rows, [0, 1, 2, 0], NAMES, bad, 5)
    assert figures is not None
    assert (figures.images, figures.views) == (3, 5)
    assert figures.accuracy == pytest.approx(2 / 3)
    assert figures.loss == pytest.approx(-(np.log(0.7) + np.log(0.8) + np.log(0.3)) / 3, rel=1e-5)
    assert figures.standard_error == standard_error(2 / 3, 3)
    assert figures.classes == [
        ClassCounts(name="cat", images=2, right=1, predicted=1),
        ClassCounts(name="dog", images=1, right=1, predicted=2),
        ClassCounts(name="owl", images=0, right=0, predicted=0),
    ]
    assert figures.unreadable == bad


def test_the_probabilities_are_not_copied() -> None:
    """Ten thousand classes of a hundred thousand images would take twelve gigabytes instead of four."""
    rows = np.full((2_000, 1_000), 0.001, np.float32)
    names = [str(number) for number in range(1_000)]
    figures, _, peak_bytes = traced(lambda: evaluation(rows, [0] * len(rows), names, [], 1))
    assert figures is not None
    assert figures.images == len(rows)
    assert peak_bytes < 0.5 * rows.nbytes  # which of them are NaN takes a quarter


def test_nothing_readable_has_no_figures() -> None:
    """The mean of nothing would be NaN."""
    assert evaluation(np.full((2, 3), np.nan, np.float32), [0, 1], NAMES, [], 1) is None


def test_images_of_one_group_are_not_independent() -> None:
    """The error of forty images would be told where there are four patients."""
    rows = np.array([[0.9, 0.1, 0.0]] * 30 + [[0.1, 0.9, 0.0]] * 10 + [[np.nan] * 3], np.float32)
    patients = [*np.repeat(range(4), 10), 4]
    alone, grouped = (evaluation(rows, [0] * 41, NAMES, [], 1, groups) for groups in ((), patients))
    assert alone is not None
    assert grouped is not None
    assert (alone.groups, grouped.groups) == (0, 4)
    assert alone.standard_error == standard_error(0.75, 40) < 0.07
    assert grouped.standard_error == standard_error(0.75, 3) > 0.18
