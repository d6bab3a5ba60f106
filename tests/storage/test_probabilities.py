"""The probabilities that a run keeps: whole, or none."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest

from autofit.storage import probabilities
from autofit.storage.probabilities import read_probabilities, write_probabilities

ROWS = np.array([[0.25, 0.75], [np.nan, np.nan], [1.0, 0.0]], np.float32)


def saved(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """A figure would be another than the run's; plain NumPy opens the file too."""
    write_probabilities(tmp_path / "validation.npy", ROWS)
    np.testing.assert_array_equal(read_probabilities(tmp_path / "validation.npy", 3, 2), ROWS)
    np.testing.assert_array_equal(np.load(tmp_path / "validation.npy"), ROWS)


def test_nothing_or_too_much_leaves_no_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of another model would stay, or each checkpoint hold 200 MB."""
    path = tmp_path / "validation.npy"
    write_probabilities(path, ROWS)
    write_probabilities(path, None)
    assert not path.exists()
    monkeypatch.setattr(probabilities, "MOST_VALUES", 5)
    write_probabilities(path, ROWS)
    assert not path.exists()


@pytest.mark.parametrize(
    "content",
    [
        saved(ROWS.astype(np.float64)),
        saved(ROWS[:2]),
        saved(np.asfortranarray(ROWS)),
        saved(np.array([[{}, 1]] * 3, object), allow_pickle=True),
        saved(ROWS)[:-1],
        saved(ROWS)[:20],
        b"no array",
        b"",
    ],
    ids=["float64", "fewer", "fortran", "objects", "cut", "cut in its header", "text", "empty"],
)
def test_another_file_is_none(tmp_path: Path, content: bytes) -> None:
    """A changed run directory would run code, or show figures of something else."""
    path = tmp_path / "validation.npy"
    path.write_bytes(content)
    assert read_probabilities(path, 3, 2) is None


def test_a_pipe_or_no_file_is_none(tmp_path: Path) -> None:
    """A report would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    assert read_probabilities(tmp_path / "pipe", 3, 2) is None
    assert read_probabilities(tmp_path / "missing", 3, 2) is None


def test_no_more_is_read_than_asked_for(tmp_path: Path) -> None:
    """A sparse file of terabytes would take all memory."""
    path = tmp_path / "validation.npy"
    path.write_bytes(saved(ROWS))
    with path.open("r+b") as file:
        file.truncate(2**40)
    np.testing.assert_array_equal(read_probabilities(path, 3, 2), ROWS)
