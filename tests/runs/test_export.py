"""An exported model beside the saved one: what is compared, and with which images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autofit.errors import UserError
from autofit.runs.export import Parity, parity, require_suffix

BEFORE = np.array([[0.9, 0.1], [0.4, 0.6], [np.nan, np.nan], [0.2, 0.8]], np.float32)
AFTER = np.array([[0.8, 0.2], [0.6, 0.4], [np.nan, np.nan], [0.2, 0.8]], np.float32)


def test_the_comparison_counts_what_both_could_read() -> None:
    """A broken file would be a difference of the models, or count as told right."""
    assert parity(BEFORE, AFTER, [[0], [1], [0], [0]]) == Parity(
        images=3,
        same=2,
        largest_difference=float(np.float32(0.6) - np.float32(0.4)),
        accuracy_before=2 / 3,
        accuracy_after=1 / 3,
    )
    assert parity(BEFORE[2:3], AFTER[2:3], [[0]]) is None


def test_an_exported_model_without_an_answer_is_as_far_off_as_can_be() -> None:
    """A difference of `nan` would be shown, and a NaN count as the first class."""
    fails = np.array([[np.nan, np.nan], [0.4, 0.6]], np.float32)
    compared = parity(BEFORE[:2], fails, [[0], [1]])
    assert compared == Parity(images=2, same=1, largest_difference=1.0, accuracy_before=1.0, accuracy_after=0.5)


def test_labels_that_are_independent_are_compared_one_by_one() -> None:
    """The most probable label would stand for all, and the number of a set be taken for a class."""
    compared = parity(BEFORE, AFTER, [[0], [0, 1], [], [1]], multi_label=True)
    assert compared is not None
    assert (compared.images, compared.same) == (3, 2)
    assert compared.accuracy_before == pytest.approx(2 / 3)
    both = parity(np.array([[0.9, 0.8]], np.float32), np.array([[0.9, 0.4]], np.float32), [[0, 1]], multi_label=True)
    assert both is not None
    assert (both.same, both.accuracy_before, both.accuracy_after) == (0, 1.0, 0.0)


def test_a_path_ends_as_its_format_does_and_replaces_only_its_kind(tmp_path: Path) -> None:
    """A runtime would refuse the file later, or a folder of photos be replaced."""
    require_suffix(tmp_path / "a.tflite", "litert")
    require_suffix(tmp_path / "new", "savedmodel")
    with pytest.raises(UserError, match=r"does not end in \.onnx"):
        require_suffix(tmp_path / "a.tflite", "onnx")
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match="is no SavedModel"):
        require_suffix(tmp_path / "photos", "savedmodel")
    (tmp_path / "b.tflite").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        require_suffix(tmp_path / "b.tflite", "litert")
    (tmp_path / "photos" / "saved_model.pb").touch()
    require_suffix(tmp_path / "photos", "savedmodel")
