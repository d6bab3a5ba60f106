"""The answers of a prediction are in memory once."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autofit.api import prediction
from autofit.dataset.asked import Asked
from autofit.errors import UserError
from autofit.runs.run_record import DataCall

CLASSES, IMAGES = 20_000, 200


def test_the_answers_of_many_images_are_in_memory_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prediction that fits the memory by its own size would be killed at its end, when its parts were joined."""

    def predict(paths: list[str], *_: Any, **__: Any) -> tuple[np.ndarray, list[Any]]:
        return np.full((len(paths), CLASSES), 0.5, np.float32), []

    @contextmanager
    def predicting(*_: Any) -> Iterator[Callable[..., Any]]:
        yield predict

    monkeypatch.setattr(prediction, "PART_IMAGES", 10)
    monkeypatch.setattr(prediction, "predicting", predicting)
    monkeypatch.setattr(prediction, "_saved_model", lambda *_: None)
    (tmp_path / "a.jpg").touch()
    options = SimpleNamespace(isolation="process", multi_label=False)
    run: Any = SimpleNamespace(options=options, data=SimpleNamespace(class_names=["one"] * CLASSES))
    tracemalloc.start()
    try:
        found = prediction.predicted(tmp_path / "model.keras", run, [os.fspath(tmp_path / "a.jpg")] * IMAGES, 1)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.shape == (IMAGES, CLASSES)
    assert most < 1.5 * found.nbytes


def test_the_columns_of_the_run_are_known_where_its_model_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column of weights of 0 and 1 would be taken for a label that the model lacks."""
    known: list[Asked] = []

    def find(*told: Any) -> None:
        known.append(told[3])
        raise UserError("enough")

    monkeypatch.setattr(prediction, "with_known_labels", find)
    data = SimpleNamespace(class_names=["a", "b"], label_separator="")
    call = DataCall(data="/photos.csv", group_column="who", weight_column="trust")
    run: Any = SimpleNamespace(options=SimpleNamespace(multi_label=True), data=data, call=call)
    columns: dict[str, Any] = {"path_column": None, "label_column": None, "images_in": None}
    with pytest.raises(UserError, match="enough"):
        prediction.evaluated(tmp_path / "model.keras", run, tmp_path / "photos.csv", None, views=1, **columns)
    (asked,) = known
    assert (asked.group_column, asked.weight_column) == ("who", "trust")
    assert asked.is_held_out
    assert not asked.reads_weights
