"""What a result shows of its model without TensorFlow."""

from __future__ import annotations

import errno
import os
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autofit.api.display import ConfusionMatrix, Plot
from autofit.api.result import Result
from autofit.dataset import ImageIndex
from autofit.errors import StorageError, UserError
from autofit.storage.probabilities import write_probabilities
from tests.api.test_result import finished

VALIDATION = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [np.nan] * 3, [0.3, 0.6, 0.1]], np.float32)


@pytest.fixture
def result(tmp_path: Path) -> Result:
    """A run with four validation images, one of them unreadable, and one test image without a prediction."""
    index = ImageIndex(
        root="/photos",
        paths=[f"{number}.jpg" for number in range(6)],
        labels=array("i", [0, 1, 0, 1, 2, 2]),
        class_names=("cat", "dog", "owl"),
        validation_from=2,
        test_paths=["test.jpg"],
        test_labels=array("i", [1]),
    )
    index.write_csv(tmp_path / "samples.csv")
    write_probabilities(tmp_path / "validation.npy", VALIDATION)
    return finished(tmp_path)


def test_counts_figures_and_worst_are_those_of_the_validation(result: Result) -> None:
    """An unreadable image would shift all labels after it."""
    matrix = result.confusion_matrix()
    assert np.asarray(matrix).tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert matrix.plot().png.startswith(b"\x89PNG")
    assert [(one.name, one.recall) for one in result.per_class()] == [("cat", 1.0), ("dog", 1.0), ("owl", 0.0)]
    worst = result.worst(1)
    assert [(one.path, one.label, one.predicted) for one in worst] == [("/photos/5.jpg", "owl", "dog")]
    for shown in (matrix, result.per_class(), result.worst()):
        assert "owl" in str(shown)
        assert shown._repr_html_().startswith('<div class="autofit">')


def test_the_matrix_of_many_classes_is_a_list_in_a_notebook() -> None:
    """That of 1,000 classes would be 25 MB in the cell, and in the notebook's file."""
    counts = np.diag(np.full(300, 5)).astype(np.int64)
    counts[7, 200] = 3
    shown = ConfusionMatrix(counts, [f"class {number}" for number in range(300)], "x")._repr_html_()
    assert "3 images of class 7 taken for class 200" in shown
    assert len(shown) < 10_000


def test_a_notebook_names_the_worst_images_where_there_are_any(result: Result, tmp_path: Path) -> None:
    """The line that is shown under a run without validation images would end in an error."""
    assert "result.worst()" in result._repr_html_()
    (tmp_path / "validation.npy").unlink()
    assert "result.worst()" not in result._repr_html_()
    assert "result.predict(" in result._repr_html_()


def test_what_was_not_kept_is_said(result: Result) -> None:
    """The figures of nothing would be shown, or a traceback."""
    with pytest.raises(UserError, match="no predictions of the test images: evaluate"):
        result.worst(split="test")
    with pytest.raises(UserError, match="did you mean test"):
        result.per_class("tests")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="n must be from 1"):
        result.worst(0)


def test_the_model_is_copied_where_it_is_wanted(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another ending would be written, which Keras does not open, or a full drive leave half of an older copy."""
    with pytest.raises(UserError, match="no model yet"):
        result.save(tmp_path / "copy.keras")
    result.model_path.write_bytes(b"model")
    with pytest.raises(UserError, match=r"does not end in \.keras"):
        result.save(tmp_path / "copy.h5")
    target = result.save(tmp_path / "models" / "copy.keras")
    assert target.read_bytes() == b"model"
    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(StorageError, match="cannot be written"):
        result.save(target)
    assert target.read_bytes() == b"model"
    assert [path.name for path in target.parent.iterdir()] == ["copy.keras"]


def full(source: Any, target: Any) -> None:
    """A drive that becomes full while a file is written."""
    del source
    target.write(b"mo")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_picture_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """A file in place of a folder would be a traceback about a temporary file."""
    plot = Plot(b"a picture")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/a\.png cannot be written"):
        plot.save(tmp_path / "file" / "a.png")
    plot.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"a picture"


def test_a_notebook_shows_the_figures_and_how_to_use_them(result: Result) -> None:
    """A cell that ends with the result would show nothing but its name."""
    card = result._repr_html_()
    assert "result.predict(" in card
    assert "Best epoch" in card
    assert "<script" not in card
    assert result.best_epoch == 1
    assert result.class_names == ["cat", "dog", "owl"]
    assert result.plot().png.startswith(b"\x89PNG")
