"""What `benchmarks/head.py` divides, measures and prints. No TensorFlow, no scikit-learn."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

head: Any = import_module("head")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two well separated classes of 40 images, each with its mirror image."""
    labels = np.repeat([0, 1], 40)
    features = np.random.default_rng(0).normal(size=(80, 2, 6)) + 4 * labels[:, None, None]
    path = tmp_path / "drawn.npz"
    np.savez(path, features=features.astype(np.float32), labels=labels)
    return path


def test_no_image_is_on_two_sides(file: Path) -> None:
    """A contender would be tested by images that it was trained on."""
    data = head.load(file, 40, split=1)
    sides = [data.training, data.validation, data.test]
    assert [len(side) for side in sides] == [32, 8, 40]
    assert len(np.unique(np.concatenate(sides))) == 80
    assert all((np.bincount(data.labels[side]) == len(side) // 2).all() for side in sides)
    assert head.load(file, 40, split=2).test.tolist() != data.test.tolist()


@pytest.mark.parametrize("views", [1, 2])
def test_autofit_s_head_is_tested_as_it_is_handed_over(file: Path, views: int) -> None:
    """The features would not meet their labels, and the table show chance."""
    data = head.load(file, 40, split=0)
    score = head.measured("drawn", 0, "autofit", lambda data: head.solved(data, views=views), data)
    assert score.accuracy == 1.0
    assert 0 <= score.loss < 0.1
    assert score.seconds > 0


def test_differences_are_paired_by_split() -> None:
    """The spread of the splits, which is the same for all, would hide that one is always better."""
    scores = [
        head.Score("set", split, name, accuracy + gain, 0.5, 1.0, 1.0)
        for split, accuracy in enumerate([0.6, 0.7, 0.8])
        for name, gain in [("autofit", 0.02), (head.REFERENCE, 0.0)]
    ]
    lines = head.table(scores).splitlines()
    assert lines[2] == "| set | autofit | 72.0 ± 5.8 | +2.0 ± 0.0 | 0.500 | 1.00 | 1.00 |"
    assert lines[3].startswith(f"| set | {head.REFERENCE} | 70.0 ± 5.8 |  |")
