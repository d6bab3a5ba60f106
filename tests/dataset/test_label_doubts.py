"""The order in which labels are to be doubted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from autofit.dataset.label_doubts import doubts, read_doubts, write_doubts

SURE, UNSURE, NOT = [0.9, 0.05, 0.05], [0.4, 0.35, 0.25], [0.02, 0.08, 0.9]


def test_an_image_of_another_class_is_the_first_with_the_class_that_suits_it() -> None:
    """A person would read through good labels first."""
    rows = np.array([SURE, UNSURE, NOT, [0.1, 0.1, 0.8], SURE], np.float32)
    found = doubts(rows, np.array([0, 0, 0, 2, 0]))
    assert found.images.tolist()[0] == 2
    assert found.suggested.tolist()[0] == 2
    assert found.count == 1
    assert (found.own[0], found.of_suggested[0]) == (np.float32(0.02), np.float32(0.9))


def test_what_the_head_cannot_tell_apart_is_not_told_as_wrong() -> None:
    """Where two classes are hard to tell apart, half of their images would be called wrong."""
    rows = np.array([[0.3, 0.7], [0.45, 0.55], [0.1, 0.9], [0.9, 0.1]], np.float32)
    found = doubts(rows, np.array([0, 0, 1, 0]))
    assert found.count == 0
    assert found.images.tolist() == [0, 1, 2, 3]


def test_a_class_that_is_hard_to_tell_does_not_fill_the_first_places() -> None:
    """A person would look through good labels of one class before the wrong ones of the others."""
    hard = [[0.28, 0.37, 0.35]] * 20
    easy = [[0.05, 0.9, 0.05]] * 20
    wrong = [[0.6, 0.3, 0.1]]  # told as the easy class
    found = doubts(np.array([*hard, *easy, *wrong], np.float32), np.array([0] * 20 + [1] * 21))
    assert found.images[0] == 40
    assert found.own[0] == np.float32(0.3)


def test_a_class_of_one_image_is_doubted_by_its_probability() -> None:
    """The confidence of its class would be its own, and excuse the only image of a class."""
    rows = np.array([[0.9, 0.05, 0.05]] * 20 + [[0.6, 0.3, 0.1]], np.float32)
    assert doubts(rows, np.array([0] * 20 + [2])).images[0] == 20


def test_an_image_without_probabilities_is_left_out() -> None:
    """An unreadable image would be told as labelled wrong."""
    rows = np.array([[np.nan, np.nan], SURE[:2]], np.float32)
    assert doubts(rows, np.array([1, 0])).images.tolist() == [1]


def test_doubts_come_back_from_their_file(tmp_path: Path) -> None:
    """What the worker has found would not arrive, or none be an error."""
    found = replace(doubts(np.array([SURE, NOT], np.float32), np.array([0, 0])), alike=np.array([[0, 1]]))
    write_doubts(tmp_path / "doubts.npz", found)
    again = read_doubts(tmp_path / "doubts.npz")
    assert again is not None
    assert (again.images.tolist(), again.suggested.tolist(), again.count) == ([1, 0], [2, 1], found.count)
    assert again.alike.tolist() == [[0, 1]]
    assert read_doubts(tmp_path / "none.npz") is None
