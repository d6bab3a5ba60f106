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
    others = {"group_column": "g", "weight_column": "w"}
    call = data_call("t.csv", None, Path("x"), path_column="p", label_column=("a", "b"), images_in="y", **others)
    at = str(tmp_path)
    assert call == DataCall(
        data=f"{at}/t.csv",
        test=f"{at}/x",
        path_column="p",
        label_column=["a", "b"],
        images_in=f"{at}/y",
        group_column="g",
        weight_column="w",
    )
    held = data_call([[0]], [1], {"path": []}, path_column=None, label_column=None, images_in=None)
    assert held == DataCall(objects=["data", "labels", "test"])


def test_another_column_of_groups_is_another_run(stages: Stages, photos: Path, train: Train) -> None:
    """A call that asks for a split by patients would be answered with the run of a split that divides them."""
    paths = sorted(path.relative_to(photos) for path in photos.rglob("*.jpg"))
    rows = [f"{path},{path.parent},{number % 5},{number % 3}" for number, path in enumerate(paths)]
    (photos / "list.csv").write_text("\n".join(["path,label,who,where", *rows]))

    def of(**given: str) -> Path:
        return Path(train(photos / "list.csv", run_dir=None, validation=0, **given).run_dir)

    plain, by_who, by_where = of(), of(group_column="who"), of(group_column="where")
    assert len({plain, by_who, by_where}) == len(stages.runs) == 3
    assert of(group_column="who") == by_who
