"""Images with the classes of a run are found as for a training, or refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autofit.dataset.labelled import labelled_images
from autofit.errors import UserError
from tests.support.datasets import csv_file, touch

NAMES = ("cat", "dog", "owl")


class Frame:
    """As much of a DataFrame as is used."""

    columns = ("path", "label")

    def __getitem__(self, column: str) -> list[str]:
        """The values of a column."""
        return {"path": ["a.jpg", "/b.jpg"], "label": ["owl", "cat"]}[column]


def test_a_folder_has_the_classes_of_the_run_by_name(tmp_path: Path) -> None:
    """A folder without one of the classes would number the others anew, and every answer be called wrong."""
    for name in ("owl", "dog"):
        touch(tmp_path / name, "1.jpg", "2.jpg", "notes.txt")
    (tmp_path / "fox").mkdir()  # without images
    found = labelled_images(tmp_path, None, NAMES)
    assert found.paths == [str(tmp_path / name) for name in ("dog/1.jpg", "dog/2.jpg", "owl/1.jpg", "owl/2.jpg")]
    assert found.numbers == [1, 1, 2, 2]


def test_a_folder_with_another_class_is_refused(tmp_path: Path) -> None:
    """Images that the model cannot tell right would lower its accuracy, or be left out without a word."""
    touch(tmp_path / "fox", "1.jpg")
    with pytest.raises(UserError, match=r"has the class 'fox' that this model does not know: .* cat, dog, owl$"):
        labelled_images(str(tmp_path), None, NAMES)


def test_tables_are_read_as_for_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same table would mean other files, or other classes, than in `run`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    table = csv_file(tmp_path / "set", "path,label\na.jpg,dog\n/b.jpg,cat\n")
    assert labelled_images(table, None, NAMES) == ([str(tmp_path / "set" / "a.jpg"), "/b.jpg"], [1, 0])
    assert labelled_images(Frame(), None, NAMES) == ([str(tmp_path / "a.jpg"), "/b.jpg"], [2, 0])  # type: ignore[arg-type]
    assert labelled_images("a.jpg", ["owl"], NAMES) == (["a.jpg"], [2])
    assert labelled_images([Path("a.jpg"), "b.jpg"], [2, "cat"], NAMES) == (["a.jpg", "b.jpg"], [2, 0])


@pytest.mark.parametrize(
    ("data", "labels", "message"),
    [
        ("nowhere", None, "nowhere does not exist: give a folder, a CSV file, or paths with labels"),
        (["a.jpg"], None, "the labels of the listed paths are missing"),
        (["a.jpg"], ["fox"], "label 'fox' is not one of this model's classes: cat, dog, owl"),
        (["a.jpg", "b.jpg"], ["cat"], "there are 2 paths and 1 labels: give one label for each path"),
        ([7], ["cat"], "item 0 of the paths is 7: give a file's path"),
        ([], [], "there are no images to judge the model by"),
        (Frame(), ["cat"], "a DataFrame has its own"),
    ],
    ids=["nowhere", "unlabelled", "unknown", "lengths", "number", "nothing", "frame"],
)
def test_what_cannot_be_used_is_refused_in_one_line(data: Any, labels: Any, message: str) -> None:
    """A mistake in the data would look like a bad model."""
    with pytest.raises(UserError, match=message) as refused:
        labelled_images(data, labels, NAMES)
    assert "\n" not in str(refused.value)
