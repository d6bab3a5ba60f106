"""Images with the classes of a run are found as for a training, or refused in one line."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autofit.dataset.asked import Asked
from autofit.dataset.labelled import LabelledImages, labelled_images
from autofit.dataset.labelled_sets import with_known_labels
from autofit.errors import UserError
from tests.support.datasets import DatasetV2, csv_file, touch

NAMES = ("cat", "dog", "owl")
PLAIN = Asked()
GROUPED = Asked(group_column="patient", is_held_out=True)


def labelled(
    data: Any, labels: Any, names: Sequence[str], asked: Asked = PLAIN, folder: Path = Path("/none")
) -> LabelledImages:
    """Find the images; of those in memory nothing is said."""
    return labelled_images(data, labels, names, asked, (folder, lambda _: None, lambda _: None))


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
    found = labelled(tmp_path, None, NAMES)
    assert found.paths == [str(tmp_path / name) for name in ("dog/1.jpg", "dog/2.jpg", "owl/1.jpg", "owl/2.jpg")]
    assert found.numbers == [1, 1, 2, 2]


def test_a_folder_with_another_class_is_refused(tmp_path: Path) -> None:
    """Images that the model cannot tell right would lower its accuracy, or be left out without a word."""
    touch(tmp_path / "fox", "1.jpg")
    with pytest.raises(UserError, match=r"has the class 'fox' that this model does not know: .* cat, dog, owl$"):
        labelled(str(tmp_path), None, NAMES)


@pytest.mark.parametrize(
    ("folders", "names", "numbers"),
    [
        ("images/cat images/owl annotations", NAMES, [0, 2]),
        ("set/dog", NAMES, [1]),
        ("dog/indoor dog/outdoor", NAMES, [1, 1]),
        (unicodedata.normalize("NFD", "äpfel/2019 äpfel/2020"), ("äpfel", "梨"), [0, 0]),
        ("00007 00012", ("7", "12"), [0, 1]),
        (unicodedata.normalize("NFD", "äpfel 梨"), ("äpfel", "梨"), [0, 1]),
    ],
)
def test_a_folder_is_read_as_one_for_the_test_is(
    tmp_path: Path, folders: str, names: Sequence[str], numbers: list[int]
) -> None:
    """A folder that `test=` takes would be said to have a class `images`, or another `äpfel` than the model has."""
    touch(tmp_path, *(f"{folder}/1.{'xml' if folder == 'annotations' else 'jpg'}" for folder in folders.split()))
    assert labelled(tmp_path, None, names).numbers == numbers


def test_a_folder_of_splits_is_told_so(tmp_path: Path) -> None:
    """A user would be told to remove the class `test` from the data that the model was trained on."""
    touch(tmp_path, *(f"{split}/{name}/1.jpg" for split in ("train", "test") for name in NAMES))
    with pytest.raises(UserError, match=r"holds test and train, which look like splits: give one of them$"):
        labelled(tmp_path, None, NAMES)


def test_tables_are_read_as_for_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same table would mean other files, or other classes, than in `run`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    table = csv_file(tmp_path / "set", "path,label\na.jpg,dog\n/b.jpg,cat\n")
    assert labelled(table, None, NAMES)[:2] == ([str(tmp_path / "set" / "a.jpg"), "/b.jpg"], [1, 0])
    in_json = tmp_path / "set" / "list.json"
    in_json.write_text('{"a.jpg": "dog", "/b.jpg": "cat"}')
    assert labelled(in_json, None, NAMES) == labelled(table, None, NAMES)
    assert labelled(Frame(), None, NAMES)[:2] == ([str(tmp_path / "a.jpg"), "/b.jpg"], [2, 0])
    assert labelled("a.jpg", ["owl"], NAMES)[:2] == (["a.jpg"], [2])
    assert labelled([Path("a.jpg"), "b.jpg"], [2, "cat"], NAMES)[:2] == (["a.jpg", "b.jpg"], [2, 0])


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([" owl", "cat "], NAMES),
        (["1.0", "0"], ("0", "1", "2")),
        ([1.0, 0.0], ("0", "1", "2")),
        (np.array([1.0, 0.0]), ("0", "1", "2")),
        ([2.0, 0.0], NAMES),
        ([True, False], ("0", "1")),
    ],
)
def test_labels_of_a_list_mean_what_a_training_makes_of_them(labels: Any, names: tuple[str, ...]) -> None:
    """The list that a run was trained with could not be given to judge it: `1.0 is not one of its classes: 0, 1`."""
    found = labelled(["a.jpg", "b.jpg"], labels, names)
    assert found.numbers == [2 if names == NAMES else 1, 0]


@pytest.mark.parametrize("names", [("0", "1"), ("False", "True"), ("FALSE", "TRUE")])
@pytest.mark.parametrize(
    "labels",
    [["True", "False"], ["true", "FALSE"], [True, False], np.array([True, False]), [1, 0], ["1", "0"], [1.0, 0.0]],
    ids=["text", "of another case", "truths", "an array", "numbers", "digits", "decimals"],
)
def test_truths_are_known_in_each_notation(labels: Any, names: tuple[str, ...]) -> None:
    """A DataFrame's True is the class 1; the CSV file that pandas writes of it could not judge the model."""
    assert labelled(["a.jpg", "b.jpg"], labels, names).numbers == [1, 0]


@pytest.mark.parametrize("names", [("00000", "00001", "00010"), ("0", "1", "10"), ("0", "01", "010")])
@pytest.mark.parametrize("labels", [[0, 10, 1, 10], ["0", "10", "1", "10"], ["00", "0010", "001", "10"]])
def test_a_number_is_known_with_zeros_and_without(labels: list[Any], names: tuple[str, ...]) -> None:
    """The test of GTSRB, whose table has numbers, would be refused by a run on its folders, 00000 to 00042."""
    assert labelled(list("abcd"), labels, names).numbers == [0, 2, 1, 2]


@pytest.mark.parametrize("names", [("1", "01", "2"), ("00001", "dog")], ids=["both", "names"])
def test_a_number_is_not_guessed(names: tuple[str, ...]) -> None:
    """One of two classes would be taken at random."""
    with pytest.raises(UserError, match="is not one of this model's classes"):
        labelled(["a"], ["001"], names)


def test_a_truth_is_none_of_classes_that_are_no_truths() -> None:
    """An image would be counted for a class that nobody has named."""
    for names in (("0", "1", "2"), ("1", "True"), ("no", "yes")):
        with pytest.raises(UserError, match="'false' is not one of this model's classes"):
            labelled(["a.jpg"], ["false"], names)


def test_an_image_of_several_rows_counts_once(tmp_path: Path) -> None:
    """`run(test=table)` and `evaluate(table)` would give two accuracies, and one of an image that is cat and dog."""
    said: list[str] = []
    in_memory = (tmp_path, said.append, lambda _: None)
    table = csv_file(tmp_path, "path,label,patient\nb.jpg,dog,7\na.jpg,cat,8\n./b.jpg,dog,9\n")
    found = labelled_images(table, None, NAMES, GROUPED, in_memory)
    assert ([Path(path).name for path in found.paths], found.numbers) == (["b.jpg", "a.jpg"], [1, 0])
    assert list(found.groups) == [0, 1]
    assert said == ["images that are listed in several rows: 1; each counts once"]
    assert labelled(["a.jpg", "b.jpg", "a.jpg"], [2, 0, 2], NAMES)[:2] == (["a.jpg", "b.jpg"], [2, 0])
    with pytest.raises(UserError, match=r"^a\.jpg has the labels 'owl' and 'cat': keep one of them"):
        labelled(["a.jpg", "a.jpg"], [2, 0], NAMES)


def test_a_path_in_bytes_is_refused_as_such(tmp_path: Path) -> None:
    """A user would be asked for the labels of a list that is none."""
    for asked in (PLAIN, Asked(multi_label=True)):
        with pytest.raises(UserError, match=r"^the data is bytes "):
            with_known_labels(bytes(tmp_path), ["cat"], NAMES, asked, (tmp_path, print, print))


@pytest.mark.parametrize("asked", [PLAIN, Asked(multi_label=True)], ids=["one label", "several"])
def test_each_path_is_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Asked) -> None:
    """Of a table of a million rows seconds would go into the same question twice."""
    table = csv_file(tmp_path, "path,label\n" + "".join(f"{number}.jpg,cat\n" for number in range(50)))
    calls: list[str] = []

    def resolved(path: str) -> str:
        calls.append(path)
        return str(tmp_path / path)

    monkeypatch.setattr(os.path, "abspath", resolved)
    with_known_labels(table, None, NAMES, asked, (tmp_path, print, lambda _: None))
    assert len([path for path in calls if path.endswith(".jpg")]) == 50


@pytest.mark.parametrize(
    ("data", "labels", "message"),
    [
        ("nowhere", None, "nowhere does not exist: give a folder, a CSV or JSON file, or paths with labels"),
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
        labelled(data, labels, NAMES)
    assert "\n" not in str(refused.value)


def test_the_columns_of_a_table_can_be_named(tmp_path: Path) -> None:
    """A table on which a model was trained could not be given to judge it by."""
    table = csv_file(tmp_path, "photo,kind\na.jpg,dog\n")
    (tmp_path / "elsewhere").mkdir()
    asked = Asked("photo", "kind", str(tmp_path / "elsewhere"))
    assert labelled(table, None, NAMES, asked)[:2] == ([str(tmp_path / "elsewhere" / "a.jpg")], [1])


def test_images_in_memory_have_the_labels_that_are_given(tmp_path: Path) -> None:
    """The arrays that `run(x, y)` takes could not be given to `evaluate(x, y)`."""
    found = labelled(np.zeros((2, 4, 4, 3), np.uint8), ["owl", "cat"], NAMES, folder=tmp_path)
    assert found.numbers == [2, 0]
    assert [Path(path).parent for path in found.paths] == [tmp_path, tmp_path]
    assert all(Path(path).stat().st_size for path in found.paths)


class PyDataset:
    """A dataset as Keras makes it of a folder, where `10` comes before `2`."""

    class_names = ("1", "10", "2")

    def __len__(self) -> int:
        return 1

    def __getitem__(self, batch: int) -> tuple[Any, Any]:
        """The images of the classes 10 and 2."""
        return np.full((2, 4, 4, 3), batch, np.uint8), np.array([1, 2])


PyDataset.__module__ = "keras.utils"


class NamedDataset(PyDataset):
    """The same with other classes."""

    class_names = ("cat", "dog", "owl")


def test_the_classes_of_a_dataset_are_known_by_name(tmp_path: Path) -> None:
    """Keras sorts class names as text and autofit as numbers: the same number would be another class."""
    assert labelled(PyDataset(), None, ("1", "2", "10"), folder=tmp_path).numbers == [2, 1]


def test_the_names_of_a_dataset_do_not_count_for_a_run_that_has_numbers(tmp_path: Path) -> None:
    """A run on `dataset.prefetch(2)`, which has no names any more, could not be judged by the dataset itself."""
    assert labelled(NamedDataset(), None, ("0", "1", "2"), folder=tmp_path).numbers == [1, 2]
    assert labelled(NamedDataset(), None, ("1", "2"), folder=tmp_path).numbers == [0, 1]


@pytest.mark.parametrize(("names", "is_said"), [(("cat", "dog", "owl"), True), (("0", "1", "2"), False)])
def test_the_numbers_of_a_dataset_without_names_are_said_to_be_places(
    tmp_path: Path, names: tuple[str, ...], *, is_said: bool
) -> None:
    """A dataset of a folder that lacks a class would be judged by the next class without a word."""
    said: list[str] = []
    data = DatasetV2([(np.zeros((2, 4, 4, 3), np.uint8), np.array([1, 2]))])
    assert labelled_images(data, None, names, PLAIN, (tmp_path, said.append, print)).numbers == [1, 2]
    line = "the labels of the dataset are numbers: they are taken in the order of the model's, cat, dog, owl"
    assert said == [line] * is_said


PIXELS = np.zeros((3, 4, 4, 3), np.uint8)


def test_one_hot_columns_of_images_in_memory_go_by_name(tmp_path: Path) -> None:
    """The columns of pandas' get_dummies would count by their order, whatever the model's classes are called."""
    dummies = pd.get_dummies(pd.Series(["owl", "dog", "owl"]))
    assert labelled(PIXELS, dummies, ("cat", "dog", "owl"), folder=tmp_path).numbers == [2, 1, 2]
    assert labelled(PIXELS, dummies, ("0", "1"), folder=tmp_path).numbers == [1, 0, 1]
    with pytest.raises(UserError, match="label 'owl' is not one of this model's classes: cat, dog"):
        labelled(PIXELS, dummies, ("cat", "dog"), folder=tmp_path)


@pytest.mark.parametrize("data", [PIXELS, ["a.jpg", "b.jpg", "c.jpg"]], ids=["images", "paths"])
def test_one_hot_rows_have_a_column_for_each_class(tmp_path: Path, data: Any) -> None:
    """The third of four columns would count as the third of three classes; test images without a zebu be refused."""
    rows = np.eye(4, dtype=int)[[0, 2, 1]]
    with pytest.raises(UserError, match="labels have 4 columns, and the model 3 classes: give one each"):
        labelled(data, rows, ("cat", "dog", "owl"), folder=tmp_path)
    said = list[str]()
    in_memory = (tmp_path, said.append, lambda _: None)
    found = labelled_images(data, rows[:, :3], ("cat", "dog", "owl"), PLAIN, in_memory)
    assert (found.numbers, said) == ([0, 2, 1], [])
    names = ("cat", "dog", "owl", "yak", "zebu")  # the last ones have no image
    assert labelled_images(data, rows[:, :3], names, PLAIN, in_memory).numbers == [0, 2, 1]
    assert said == ["the 3 columns of labels are taken as the model's first classes, cat, dog, owl"]
    assert labelled(data, rows, ("0", "1", "2"), folder=tmp_path).numbers == [0, 2, 1]


@pytest.mark.parametrize("names", [("ok", "scratch", "stain"), ("1", "2", "10"), ("0", "1", "owls")])
def test_a_dataset_of_other_classes_is_refused_as_a_folder_of_them_is(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Its second class would count as the run's second one, whatever both are called, and the accuracy mean nothing."""
    with pytest.raises(UserError, match="label 'dog' is not one of this model's classes"):
        labelled(NamedDataset(), None, names, folder=tmp_path)


def test_one_path_has_one_label_and_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """`evaluate(run, "~/a.jpg", "owl")` was refused for the label 'o', and a list did not find what is at home."""
    monkeypatch.setenv("HOME", "/home/someone")
    assert labelled("~/a.jpg", "owl", NAMES) == LabelledImages(["/home/someone/a.jpg"], [2])
    assert labelled(Path("a.jpg"), 1, NAMES) == LabelledImages(["a.jpg"], [1])
    assert labelled(["~/a.jpg", "b.jpg"], ["owl", "cat"], NAMES).paths == ["/home/someone/a.jpg", "b.jpg"]


@pytest.mark.parametrize("multi_label", [False, True])
def test_splits_that_are_judged_together_are_named(tmp_path: Path, *, multi_label: bool) -> None:
    """The figures would be those of the training images, too, where a table says which are for the test."""
    said: list[str] = []
    asked, in_memory = Asked(multi_label=multi_label), (tmp_path, said.append, print)
    table = csv_file(tmp_path, "path,label,split\na.jpg,cat,train\nb.jpg,dog,train\nc.jpg,dog,test\n")
    assert len(with_known_labels(table, None, NAMES, asked, in_memory).paths) == 3
    assert said == [
        "the images of the splits test and train are judged together: leave out the rows that are not meant"
    ]
    table = csv_file(tmp_path, "path,label,split\nb.jpg,dog,test\nc.jpg,cat,test\n")
    assert len(with_known_labels(table, None, NAMES, asked, in_memory).paths) == 2
    assert len(said) == 1


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("path,label,patient\na.jpg,dog,7\nb.jpg,cat,\nc.jpg,cat,7.0\nd.jpg,cat,\n", [0, 1, 0, 3]),
        ("path,label,Patient ID\na.jpg,dog,7\nb.jpg,cat,7\n", [0, 0]),
        ("path,label,scene\na.jpg,dog,7\nb.jpg,cat,7\n", []),
        ("path,label\na.jpg,dog\nb.jpg,cat\n", []),
        ("patient,label\na.jpg,dog\nb.jpg,cat\n", []),
    ],
    ids=["the same column", "the same in other words", "another column", "none", "its column of paths"],
)
def test_a_table_may_have_the_groups_of_the_run(tmp_path: Path, text: str, groups: list[int]) -> None:
    """The images of one patient would be judged as independent; or a table without patients be refused."""
    table = csv_file(tmp_path, text)
    path = "patient" if text.startswith("patient") else None
    found = labelled(table, None, NAMES, Asked(path, group_column="patient", is_held_out=True))
    assert list(found.groups) == groups
    assert len(found.paths) == text.count("jpg")
    assert list(labelled(table, None, NAMES, Asked(path)).groups) == []


def test_what_holds_the_paths_of_another_table_may_hold_groups_of_the_training(tmp_path: Path) -> None:
    """A table would be refused whose paths are in a column that has the name of the run's groups."""
    table = csv_file(tmp_path, "id,label\na.jpg,dog\n")
    found = labelled(table, None, NAMES, Asked(group_column="id", is_held_out=True))
    assert (found.paths, found.numbers, list(found.groups)) == ([str(tmp_path / "a.jpg")], [1], [])


OWN_LISTS = {
    "its groups": ("samples.csv", "label", "group", GROUPED, [0, 0]),
    "several labels an image": ("samples.csv", "labels", "group", replace(GROUPED, multi_label=True), [0, 0]),
    "a run without groups": ("samples.csv", "label", "group", Asked(is_held_out=True), []),
    "no groups in the list": ("samples.csv", "label", None, GROUPED, []),
    "another table": ("mine.csv", "label", "group", GROUPED, []),
}


@pytest.mark.parametrize(("name", "column", "group", "asked", "groups"), OWN_LISTS.values(), ids=OWN_LISTS)
def test_the_list_that_a_run_has_written_has_its_groups(
    tmp_path: Path, name: str, column: str, group: str | None, asked: Asked, groups: list[int]
) -> None:
    """The images of one patient would be judged as independent, by the run's own list of its images."""
    cell = '"[""dog""]"' if column == "labels" else "dog"
    rows = [["index", "path", column, "split"], ["0", "a.jpg", cell, "train"], ["1", "b.jpg", cell, "test"]]
    rows = [[*row, cell] for row, cell in zip(rows, (group, "4", "4"), strict=True)] if group else rows
    table = csv_file(tmp_path, "".join(f"{','.join(row)}\n" for row in rows)).rename(tmp_path / name)
    for data in (table, str(table)):
        found = with_known_labels(data, None, NAMES, asked, (tmp_path, lambda _: None, lambda _: None))
        assert (found.numbers, list(found.groups)) == ([[1], [1]], groups)


def test_a_part_of_that_list_has_them_too() -> None:
    """The test images alone, as pandas takes them out of it, would be judged as independent."""
    columns = {
        "index": [7, 9],
        "path": ["a.jpg", "b.jpg"],
        "label": ["dog", "cat"],
        "split": ["test"] * 2,
        "group": [3, 3],
    }
    found = with_known_labels(
        pd.DataFrame(columns), None, NAMES, GROUPED, (Path("/none"), lambda _: None, lambda _: None)
    )
    assert list(found.groups) == [0, 0]
