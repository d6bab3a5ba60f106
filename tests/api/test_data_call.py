"""What a call of `run` said of its data is kept with the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autofit.api.data_call import data_call
from autofit.runs.run_record import DataCall

if TYPE_CHECKING:
    import pytest

    from tests.api.conftest import Stages, Train


def test_a_run_keeps_what_was_said_of_its_data(stages: Stages, photos: Path, train: Train) -> None:
    """Its page could not show how to repeat it."""
    assert train(photos).run_record.call == DataCall(data=str(photos.absolute()))
    assert len(stages.runs) == 1


def test_paths_are_absolute_and_objects_only_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call would be another in another folder, or hold the images themselves."""
    monkeypatch.chdir(tmp_path)
    call = data_call("t.csv", None, Path("x"), path_column="p", label_column=("a", "b"), images_in="y")
    at = str(tmp_path)
    assert call == DataCall(
        data=f"{at}/t.csv", test=f"{at}/x", path_column="p", label_column=["a", "b"], images_in=f"{at}/y"
    )
    held = data_call([[0]], [1], {"path": []}, path_column=None, label_column=None, images_in=None)
    assert held == DataCall(objects=["data", "labels", "test"])
