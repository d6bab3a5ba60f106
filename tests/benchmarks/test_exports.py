"""How `benchmarks/exports.py` compares an export with the model that it was made of."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.support.records import make_export


@pytest.fixture
def benchmark() -> ModuleType:
    """The benchmark as a module."""
    return import_module("exports")


def test_classes_and_differences_are_those_of_the_photos(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export that tells other classes would be called the same."""
    told = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], np.float32)
    answers = iter([told[:1], *(told[place : place + 1] for place in range(3))])  # the first is not timed
    monkeypatch.setitem(benchmark.OPENERS, "onnx", ("a runtime", lambda _: lambda _: next(answers)))
    export = make_export("model.onnx", format="onnx", size_bytes=3_000_000)
    expected = np.array([[0.8, 0.2], [0.6, 0.4], [0.2, 0.8]], np.float32)
    row = benchmark.compared(export, np.zeros((3, 4, 4, 3), np.float32), expected)
    assert (row.photos, row.same, row.megabytes) == (3, 2, 3.0)
    assert row.largest_difference == pytest.approx(0.2)
    assert row.cells[:4] == ["onnx", "a runtime", "3.00", "2 of 3"]


def test_photos_are_spread_over_the_folder(benchmark: ModuleType, tmp_path: Path) -> None:
    """The classes at the end of the alphabet would not be asked for."""
    for number in range(10):
        (tmp_path / f"{number}.jpg").touch()
    (tmp_path / "notes.txt").touch()
    assert [Path(path).stem for path in benchmark.photos_of(tmp_path, 5)] == ["0", "2", "4", "6", "8"]
    with pytest.raises(SystemExit, match="has 10 photos"):
        benchmark.photos_of(tmp_path, 11)
