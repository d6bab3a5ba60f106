"""An exported model takes the place of the one before it, also after a kill in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from autofit.worker.model.exported import replaced

pytestmark = pytest.mark.slow  # loads Keras


def made(folder: Path, content: str) -> Path:
    folder.mkdir()
    (folder / "saved_model.pb").write_text(content)
    return folder


def test_a_folder_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """A model of both would be opened, or the one before stay beside it in a hidden folder."""
    target = made(tmp_path / "model", "before")
    with replaced(target) as written:
        made(written, "after")
        assert (target / "saved_model.pb").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (target / "saved_model.pb").read_text() == "after"


def test_a_kill_between_both_leaves_nothing_behind(tmp_path: Path) -> None:
    """The model before would be in a hidden folder for good, and lost where the next export fails."""
    target = tmp_path / "model"
    made(tmp_path / ".old-model", "before")
    made(tmp_path / ".part-model", "after")
    with pytest.raises(ValueError, match="fails"), replaced(target):
        raise ValueError("the next export fails")
    assert (target / "saved_model.pb").read_text() == "before"
    made(tmp_path / ".old-model", "long before")
    with replaced(target) as written:
        made(written, "after")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
