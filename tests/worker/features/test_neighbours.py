"""The votes of the nearest neighbours of a row."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from autofit.worker.features import neighbours
from autofit.worker.features.head_rows import LabelTable, labelled_rows
from autofit.worker.features.neighbours import neighbour_votes

EACH, WIDTH = 40, 8


def two_kinds() -> tuple[np.ndarray, np.ndarray]:
    """Features of two classes far apart, and their labels."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], EACH)
    centres = np.array([[3.0] * WIDTH, [-3.0] * WIDTH])
    return (centres[labels] + random.normal(size=(2 * EACH, WIDTH))).astype(np.float32), labels


def test_a_row_has_no_vote_of_its_own_nor_of_its_other_views() -> None:
    """A wrong label would be confirmed by itself."""
    features, labels = two_kinds()
    labels[:2] = 1
    features[1] = features[0]
    groups = np.arange(2 * EACH)
    groups[1] = 0
    found = neighbour_votes(labelled_rows(features, labels, groups=groups), 2)
    none_of_5_10_20 = np.mean([0.5 / 6, 0.5 / 11, 0.5 / 21])
    assert found[:2, 1] == pytest.approx(none_of_5_10_20)
    assert (found.argmax(axis=1) == np.repeat([0, 1], EACH)).all()
    assert found.sum(axis=1) == pytest.approx(1)


def test_the_answer_depends_neither_on_threads_nor_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same call would give another list on another machine."""
    features, labels = two_kinds()
    rows = labelled_rows(features, labels)
    whole = neighbour_votes(rows, 2)
    monkeypatch.setattr(neighbours, "BLOCK_ROWS", 16)
    told = itertools.count()
    assert np.array_equal(neighbour_votes(rows, 2, threads=3, goes_on=lambda: next(told) >= 0), whole)
    assert next(told) == 2 * EACH / 16


def test_of_very_many_rows_some_are_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million images would take days, and the memory of their square."""
    features, labels = two_kinds()
    monkeypatch.setattr(neighbours, "REFERENCE_BYTES", 30 * 4 * WIDTH)
    found = neighbour_votes(labelled_rows(features, labels), 2)
    assert (found.argmax(axis=1) == labels).all()


def test_of_several_labels_each_has_its_share() -> None:
    """Images with several labels would get no votes, or those of the numbers of their sets."""
    features, kinds = two_kinds()
    table = LabelTable(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]), np.ones((2, 3)))
    found = neighbour_votes(replace(labelled_rows(features, kinds), table=table), 3)
    assert (found[:EACH, 0] > 0.9).all()
    assert (found[EACH:, 0] < 0.1).all()
    assert (found[:, 1] > 0.9).all()
    assert (found[:, 2] < 0.1).all()


def test_two_images_are_enough() -> None:
    """A tiny data set would be an error."""
    found = neighbour_votes(labelled_rows(np.eye(2, 4, dtype=np.float32), [0, 1]), 2)
    assert found[0, 1] == found[1, 0] == 0.75
