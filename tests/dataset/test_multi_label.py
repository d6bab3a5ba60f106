"""Data with any number of labels an image: all forms that a user may have, the file of the run, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autofit.dataset import ImageIndex, asked_of, images_in_files, scan
from autofit.dataset.asked import Asked
from autofit.dataset.contents import require_images
from autofit.dataset.labelled_sets import labelled_sets
from autofit.dataset.spread import evenly_spread
from autofit.errors import UserError
from tests.support.datasets import DatasetV2, csv_file, photos

ASKED = asked_of(None, None, None, multi_label=True)
LABELS = [["cat", "dog"], ["cat"], [], ["dog"], ["bird", "cat"], ["dog"], ["cat"], [], ["bird"], ["bird", "cat"]]
NAMES = ("bird", "cat", "dog")


class Table:
    """A DataFrame's part that is used."""

    def __init__(self, **columns: list[Any]) -> None:
        self.columns: Iterable[object] = list(columns)
        self._values = columns

    def __iter__(self) -> Iterator[object]:
        return iter(self.columns)

    def __getitem__(self, column: str, /) -> Iterable[object]:
        return self._values[column]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    photos(tmp_path / "data", all=10)
    return tmp_path / "data"


def paths(root: Path) -> list[str]:
    return [str(root / "all" / f"{number:04}.jpg") for number in range(10)]


def told(index: ImageIndex) -> list[list[str]]:
    """The labels of each image by name, in the order of the paths."""
    of_path = {index.path(place): index.labels[place] for place in range(len(index.paths))}
    return [[index.class_names[number] for number in index.classes_of(of_path[path])] for path in sorted(of_path)]


def marks() -> dict[str, list[int]]:
    return {name: [int(name in each) for each in LABELS] for name in NAMES}


@pytest.mark.parametrize(
    "labels",
    [np.array([b"cat;dog", b"cat", b""], object), [np.array([b"cat", b"dog"], object), np.array([b"cat"], object), []]],
    ids=["texts", "lists"],
)
def test_text_in_tensors_is_bytes(tmp_path: Path, labels: Any) -> None:
    """A dataset whose labels are text would be refused with several labels, and be taken with one."""
    pictures = np.arange(3 * 27, dtype=np.uint8).reshape(3, 3, 3, 3)
    table = images_in_files("train", (pictures, labels), tmp_path, print, lambda _: None, multi_label=True)
    index = scan(table, asked=ASKED, validation=0)
    assert index.class_names == ("cat", "dog")
    assert index.class_counts() == (2, 1)


@pytest.mark.parametrize("separator", [";", "|", ",", " ", " ; "])
def test_a_column_of_several_labels_is_understood(root: Path, separator: str) -> None:
    """Each set of labels would be a class of its own."""
    rows = "".join(f'{path},"{separator.join(each)}"\n' for path, each in zip(paths(root), LABELS, strict=True))
    index = scan(csv_file(root, f"path,tags\n{rows}".replace("tags", "labels")), asked=ASKED)
    assert told(index) == LABELS
    assert index.class_names == NAMES
    assert any(note.startswith("labels are separated by") for note in index.notes)
    assert any("have several labels" in note and "have none" in note for note in index.notes)


def test_all_forms_are_the_same_data(root: Path) -> None:
    """Lists, columns of 0 and 1, rows per label and an array would give other runs, or be refused."""
    columns = marks()
    header = ",".join(["path", *columns])
    rows = [",".join(map(str, row)) for row in zip(paths(root), *columns.values(), strict=True)]
    long = [(path, name) for path, each in zip(paths(root), LABELS, strict=True) for name in each or [""]]
    expected = scan(paths(root), LABELS, asked=ASKED)
    assert told(expected) == LABELS
    forms: list[tuple[Any, Any, Asked]] = [
        (Table(path=paths(root), label=LABELS), None, ASKED),
        (Table(path=paths(root), label=[";".join(each) or None for each in LABELS]), None, ASKED),
        (Table(path=paths(root), age=[37] * 10, **columns), None, ASKED),
        (csv_file(root, "\n".join([header, *rows, ""])), None, ASKED),
        (Table(path=[path for path, _ in long], label=[name for _, name in long]), None, ASKED),
    ]
    for data, labels, asked in forms:
        index = scan(data, labels, asked=asked)
        assert (told(index), index.class_names) == (LABELS, NAMES), data
        # images are dealt in the order of a hash of their paths, which are absolute in one form and relative in others
        assert abs(index.validation_count - expected.validation_count) <= 1
    named = [Asked(None, given, None, multi_label=True) for given in ("bird,cat,dog", ["bird", "cat", "dog"])]
    for asked in named:
        frame = Table(path=paths(root), label=["no"] * 10, **columns)
        assert told(scan(frame, asked=asked)) == LABELS
    single = scan(Table(path=paths(root), cat=columns["cat"]), asked=ASKED)
    assert told(single) == [["cat"] if "cat" in each else [] for each in LABELS]
    array = np.array(list(columns.values())).T
    index = scan(paths(root), array, asked=ASKED)
    assert index.class_names == ("0", "1", "2")
    assert [[NAMES[int(name)] for name in each] for each in told(index)] == LABELS


@pytest.mark.parametrize(
    "labels", [np.array(list(marks().values())).T, np.array(list(marks().values())).T.astype(float), LABELS]
)
def test_images_in_memory_take_rows_of_0_and_1_or_names(tmp_path: Path, labels: Any) -> None:
    """The labels of a Keras tutorial would be refused, or a class without an image have no output."""
    pixels = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3)).astype(np.uint8)
    if isinstance(labels, np.ndarray):
        labels = np.concatenate([labels, np.zeros((10, 1), labels.dtype)], axis=1)
    write: dict[str, Any] = {"folder": tmp_path, "say": print, "on_progress": lambda _: None, "multi_label": True}
    index = scan(images_in_files("train", (pixels, labels), **write), asked=ASKED)
    assert index.class_names == (("0", "1", "2", "3") if isinstance(labels, np.ndarray) else NAMES)
    assert sum(index.class_counts()) + sum(index.validation_counts()) == sum(map(len, LABELS))
    with pytest.raises(UserError, match="numbers other than 0 and 1"):
        images_in_files("train", (pixels, np.full((10, 3), 2)), **write)


def test_the_file_of_a_run_holds_the_labels(root: Path, tmp_path: Path) -> None:
    """A worker would train on other labels, a rerun start anew, or the file not be data again."""
    index = evenly_spread(scan(paths(root), LABELS, asked=ASKED), 0)
    index.write_csv(tmp_path / "samples.csv")
    again = ImageIndex.read_csv(tmp_path / "samples.csv", index.root, index.class_names)
    assert again == index
    assert again.fingerprint() == index.fingerprint()
    assert told(scan(tmp_path / "samples.csv", asked=Asked(None, None, index.root, multi_label=True))) == LABELS
    other = [*LABELS[:-1], ["bird"]]
    assert scan(paths(root), other, asked=ASKED).fingerprint() != scan(paths(root), LABELS, asked=ASKED).fingerprint()
    text = (tmp_path / "samples.csv").read_text()
    for there, here, problem in (
        ('[""dog""]', '[""cow""]', "no list of the 3 labels"),
        ('[""dog""]', "dog", "no list"),
    ):
        (tmp_path / "samples.csv").write_text(text.replace(there, here))
        with pytest.raises(UserError, match=problem):
            ImageIndex.read_csv(tmp_path / "samples.csv", index.root, index.class_names)


def test_validation_and_test_may_have_other_sets_of_the_same_labels(root: Path) -> None:
    """A pair that training does not have would be refused, or be numbered as another one."""
    held = Table(path=paths(root)[8:], label=[["bird", "cat", "dog"], []])
    index = scan(paths(root)[:6], LABELS[:6], validation=held, test=held_test(root), asked=ASKED)
    assert told(index) == [*LABELS[:6], ["bird", "cat", "dog"], []]
    assert [index.classes_of(label) for label in index.test_labels] == [(1,), (0, 2)]
    assert index.validation_counts() == (1, 1, 1)
    with pytest.raises(UserError, match="has the label 'cow' that training does not know"):
        scan(paths(root)[:6], LABELS[:6], validation=Table(path=paths(root)[8:], label=["cow", "cat"]), asked=ASKED)


def held_test(root: Path) -> Table:
    return Table(path=paths(root)[6:8], label=["cat", "bird;dog"])


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ([[]] * 10, "no label tells images apart"),
        (["cat"] * 10, "no label tells images apart"),
        ([1.5, *["cat"] * 9], "item 0 of the labels: the label is 1.5"),
    ],
)
def test_what_cannot_be_learnt_is_refused(root: Path, labels: list[Any], problem: str) -> None:
    """A training would end with a model that says the same of each image."""
    with pytest.raises(UserError, match=problem):
        scan(paths(root), labels, asked=ASKED)


def test_folders_of_classes_and_other_marks_are_refused(root: Path) -> None:
    """Each photo of a folder has one label: a run would look as if it had been asked for; an age is no label."""
    with pytest.raises(UserError, match=r"is a folder, .* with multi_label=True give a table"):
        scan(root, asked=ASKED)
    with pytest.raises(UserError, match="validation images are a folder"):
        scan(paths(root), LABELS, validation=root, asked=ASKED)
    with pytest.raises(UserError, match="item 1 of the labels: column 'b': '7' is neither 0 nor 1"):
        scan(Table(path=paths(root)[:3], a=[0, 1, 1], b=[1, 7, 0]), asked=ASKED)
    with pytest.raises(UserError, match="has not one column 'cow'"):
        scan(Table(path=paths(root), **marks()), asked=Asked(None, "cow,cat", None, multi_label=True))
    with pytest.raises(UserError, match="label_column names 2 columns: name one, or give multi_label=True"):
        asked_of(None, ["cat", "dog"], None)


def test_a_label_whose_files_are_no_images_is_refused(root: Path) -> None:
    """The number of a set would be taken for that of a class, and another one be named."""
    index = scan(paths(root), LABELS, asked=ASKED)
    Path(paths(root)[0]).write_bytes(b"")
    for path, each in zip(paths(root), LABELS, strict=True):
        Path(path).write_bytes(b"" if "bird" in each else b"image")
    with pytest.raises(UserError, match=r"no file of these classes is an image: 'bird' \("):
        require_images(index)


def test_images_to_judge_a_model_by_are_found(root: Path) -> None:
    """The labels would be numbered by the order in the table, or an unknown one be left out without a word."""
    expected = [[NAMES.index(name) for name in each] for each in LABELS]
    in_memory = (root / "written", lambda _: None, lambda _: None)
    asked = Asked(multi_label=True)
    in_json = root / "judged.jsonl"
    rows_of_json = zip(paths(root), map(list, LABELS), strict=True)
    in_json.write_text("".join(json.dumps({"path": path, "label": each}) + "\n" for path, each in rows_of_json))
    for data, labels in (
        (in_json, None),
        (paths(root), LABELS),
        (paths(root), np.array(list(marks().values())).T),
        (Table(path=paths(root), label=LABELS), None),
        (Table(path=paths(root), **marks()), None),
    ):
        found = labelled_sets(data, labels, NAMES, asked, in_memory)
        assert (found.paths, [sorted(each) for each in found.numbers]) == (paths(root), expected)
    rows = np.array(list(marks().values())).T
    found = labelled_sets(np.zeros((len(rows), 4, 4, 3), np.uint8), rows, NAMES, asked, in_memory)
    assert [sorted(each) for each in found.numbers] == expected
    for given, labels, problem in (
        (paths(root), [["cow"]] * 10, "label 'cow' is not one of this model's"),
        (paths(root), np.zeros((10, 2)), "2 columns, and the model 3 classes"),
        (root, None, "is a folder"),
        (paths(root), None, "labels of the listed paths are missing"),
        ([], [], "no images to judge"),
        (root / "none.csv", None, "does not exist"),
    ):
        with pytest.raises(UserError, match=problem):
            labelled_sets(given, labels, NAMES, asked, in_memory)


def test_an_image_to_judge_by_may_have_a_row_for_each_label(root: Path) -> None:
    """The training joins the rows of an image: each would count as an image that lacks the labels of the others."""
    said: list[str] = []
    listed = [paths(root)[0], paths(root)[1], paths(root)[0], paths(root)[0]]
    for labels in (["dog", "cat", "cat", "bird"], [["dog"], ["cat"], ["cat", "bird"], []]):
        table = Table(path=listed, label=labels)
        found = labelled_sets(table, None, NAMES, ASKED, (root, said.append, print))
        assert found.paths == paths(root)[:2]
        assert [sorted(each) for each in found.numbers] == [sorted(map(NAMES.index, NAMES)), [NAMES.index("cat")]]
    assert set(said) == {"images that are listed in several rows: 1; each has the labels of all of them"}


def test_labels_are_separated_as_in_the_training(root: Path) -> None:
    """A comma in a name of a held-out table would cut it, since no semicolon stands in that one."""
    names = ("cat, tabby", "dog")
    texts = ["cat, tabby;dog", "cat, tabby", "dog", "dog;cat, tabby", "dog", "cat, tabby"]
    table = Table(path=paths(root)[:6], label=texts)
    held = Table(path=paths(root)[6:], label=["cat, tabby", "dog", "", "cat, tabby"])
    index = scan(table, validation=held, asked=ASKED)
    assert (index.class_names, index.separator, index.validation_count) == (names, ";", 4)
    in_memory = (root / "written", lambda _: None, lambda _: None)
    for separator in (";", ""):  # of a run whose record has none, the names are known
        asked = Asked(multi_label=True, separator=separator)
        assert labelled_sets(held, None, names, asked, in_memory).numbers == [[0], [1], [], [0]]
    with pytest.raises(UserError, match="label 'dog, cat, tabby' is not one of this model's"):
        labelled_sets(["a.jpg"], ["dog, cat, tabby"], names, Asked(multi_label=True, separator=";"), in_memory)


def test_labels_of_images_in_memory_may_be_an_array_of_names(tmp_path: Path) -> None:
    """The letters of a name would be taken for marks: each image would have every label."""
    images = [np.full((8, 8, 3), 9 * number, np.uint8) for number in range(3)]
    names = ("cat", "cow", "dog")
    for labels in (np.array(["cat", "dog", "cow"]), ["cat", "dog", "cow"]):
        found = labelled_sets(images, labels, names, ASKED, (tmp_path / str(len(labels)), print, print))
        assert found.numbers == [[0], [2], [1]]


def test_a_frame_of_marks_beside_paths_goes_by_its_names(root: Path) -> None:
    """Columns in another order would be other labels."""
    listed = paths(root)[:3]
    frame = pd.DataFrame({"dog": [1, 0, 0], "cat": [0, 1, 1], "cow": [0, 0, 1]})
    assert labelled_sets(listed, frame, ("cat", "cow", "dog"), ASKED, (root, print, print)).numbers == [
        [2],
        [0],
        [0, 1],
    ]
    with pytest.raises(UserError, match="no column 'owl'"):
        labelled_sets(listed, frame, ("cat", "owl"), ASKED, (root, print, print))
    index = scan(listed, frame, asked=ASKED, validation=0)
    assert set(index.class_names) == {"cat", "cow", "dog"}


class Dataset(DatasetV2):
    """A dataset that names its classes, as Keras numbers them."""

    class_names = ("dog", "bird", "cat")


class Iterated(DatasetV2):
    """A dataset that names them as `flow_from_directory` does."""

    class_indices = {"dog": 0, "cat": 2, "bird": 1}  # noqa: RUF012 - as Keras has it


DBC = Dataset.class_names
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3)).astype(np.uint8)
BY_DATASET = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0]])  # dog; bird and cat; none


@pytest.mark.parametrize("kind", [Dataset, Iterated, "frame"])
def test_columns_that_have_names_are_known_by_them(tmp_path: Path, kind: Any) -> None:
    """The first column of a dataset would count as the model's first label, whatever both are called."""
    said: list[str] = []
    in_memory = (tmp_path, said.append, print)
    frame = pd.DataFrame(BY_DATASET, columns=Dataset.class_names)
    data, labels = (PIXELS, frame) if kind == "frame" else (kind([(PIXELS, BY_DATASET)]), None)
    assert labelled_sets(data, labels, NAMES, ASKED, in_memory).numbers == [[2], [0, 1], []]
    assert not said
    with pytest.raises(UserError, match="the labels have no column 'owl': give a column of 0 and 1 for each class"):
        labelled_sets(data, labels, ("bird", "dog", "owl"), ASKED, in_memory)
    more = ("bird", "cat", "dog", "owl")
    with pytest.raises(UserError, match="no column 'owl'"):
        labelled_sets(data, labels, more, ASKED, in_memory)
    assert labelled_sets(data, labels, ("0", "1", "2"), ASKED, in_memory).numbers == [[0], [1, 2], []]
    if kind == "frame":
        assert labelled_sets(data, labels, ("bird", "dog"), ASKED, in_memory).numbers == [[1], [0], []]
        assert said == ["the model has no label 'cat': the columns are left out"]
    else:
        with pytest.raises(UserError, match="label 'cat' is not one of this model's"):
            labelled_sets(data, labels, ("bird", "dog"), ASKED, in_memory)
        with pytest.raises(UserError, match="labels have 2 columns, and the dataset 3 classes"):
            labelled_sets(kind([(PIXELS, BY_DATASET[:, :2])]), None, NAMES, ASKED, in_memory)


@pytest.mark.parametrize("kind", [DatasetV2, "array", "paths", "unnamed frame"])
def test_columns_without_names_are_said_to_go_by_their_order(root: Path, kind: Any) -> None:
    """Columns in another order would be judged as other labels without a word."""
    said: list[str] = []
    data, labels = {
        "array": (PIXELS, BY_DATASET),
        "unnamed frame": (PIXELS, pd.DataFrame(BY_DATASET)),
        "paths": (paths(root)[:3], BY_DATASET),
    }.get(kind, (DatasetV2([(PIXELS, BY_DATASET)]), None))
    in_memory = (root, said.append, print)
    assert labelled_sets(data, labels, NAMES, ASKED, in_memory).numbers == [[0], [1, 2], []]
    assert said == [
        "the labels are columns of 0 and 1 without names: they are taken in the order of the model's, bird, cat, dog"
    ]
    said.clear()
    assert labelled_sets(data, labels, ("0", "1", "2"), ASKED, in_memory).numbers == [[0], [1, 2], []]
    assert not said


def test_labels_that_have_no_column_are_named(root: Path) -> None:
    """A table that says nothing of a label would count as one in which no image has it."""
    said: list[str] = []
    table = Table(path=paths(root), **{name: marks()[name] for name in ("cat", "dog")})
    found = labelled_sets(table, None, NAMES, ASKED, (root, said.append, print))
    assert found.numbers == [[NAMES.index(name) for name in each if name != "bird"] for each in LABELS]
    line = "warning: there is no column of the labels 'bird': the images count as ones without these"
    assert said == [line]
    photos(root.parent / "others", all=10)
    held = Table(path=paths(root.parent / "others"), cat=marks()["cat"])
    index = scan(Table(path=paths(root), **marks()), validation=held, asked=ASKED)
    assert line.replace("'bird'", "'bird', 'dog'") in index.notes


@pytest.mark.parametrize("labels", [BY_DATASET, pd.DataFrame(BY_DATASET, columns=("dog", "bird", "cat"))])
def test_labels_of_images_in_memory_keep_the_names_of_their_columns(tmp_path: Path, labels: Any) -> None:
    """Validation images with the same labels in another order would be judged by other ones."""
    said: list[str] = []
    write = partial(
        images_in_files, folder=tmp_path, say=said.append, on_progress=lambda _: None, multi_label=True, class_names=DBC
    )
    is_frame = isinstance(labels, pd.DataFrame)
    train = write("train", (PIXELS, labels) if is_frame else Dataset([(PIXELS, labels)]))
    order = ["cat", "dog", "bird"]
    columns = pd.DataFrame(BY_DATASET, columns=list(DBC))[order]
    validation = write("validation", (255 - PIXELS, columns))
    index = scan(train, validation=validation, asked=ASKED)
    assert index.class_names == DBC
    of_image = [[DBC[number] for number in index.classes_of(label)] for label in index.labels]
    assert sorted(of_image[:3]) == sorted(of_image[3:]) == [[], ["bird", "cat"], ["dog"]]
    assert not said
    by_order = write("test", (PIXELS, BY_DATASET))
    assert by_order.names == DBC
    assert said == ["the labels for test are columns without names: they are taken in the order of the training's"]
    with pytest.raises(UserError, match="labels for test have 2 columns, and there are 3 classes: give one each"):
        write("test", (PIXELS, BY_DATASET[:, :2]))


def test_one_path_has_one_text_of_labels(root: Path) -> None:
    """`evaluate(run, "a.jpg", "cat;dog")` was refused for its seven labels, one a letter."""
    assert labelled_sets("a.jpg", "cat;dog", NAMES, ASKED, (root, print, print)).numbers == [[1, 2]]


def signed() -> dict[str, list[int]]:
    return {name: [1 if mark else -1 for mark in column] for name, column in marks().items()}


@pytest.mark.parametrize("kind", ["table", "frame", "floats"])
def test_columns_of_minus_one_and_one_are_labels(root: Path, kind: str) -> None:
    """A list of attributes would be refused, or each label that most images have be the only ones that are found."""
    frame = pd.DataFrame({"image_id": paths(root), **signed()})
    if kind == "floats":
        frame = frame.astype(dict.fromkeys(NAMES, float))
    data: Any = frame
    if kind == "table":
        data = csv_file(root, frame.to_csv(index=False))
    index = scan(data, asked=ASKED)
    assert told(index) == [sorted(each) for each in LABELS]
    assert index.notes[0] == (
        "paths are those of the column 'image_id', labels the 1s of 3 columns, 'bird', 'cat', 'dog', in which -1 is no"
    )
    with pytest.raises(UserError, match=r"one column a class .'bird', 'cat', 'dog'.: give multi_label=True"):
        scan(data)


def test_minus_one_beside_a_gap_or_a_zero_is_not_taken_for_no(root: Path) -> None:
    """Labels of which a doctor was in doubt would be taught as absent."""
    for other in (0, None):
        columns: dict[str, list[Any]] = dict(signed())
        for name in NAMES:
            columns[name][5] = other
        with pytest.raises(UserError):
            scan(pd.DataFrame({"image_id": paths(root), **columns}), asked=ASKED)
    late = {name: column * 101 for name, column in signed().items()}
    late["dog"][-1] = 0
    frame = pd.DataFrame({"image_id": paths(root) * 101, **late})
    with pytest.raises(UserError, match="item 1009 of the labels: column 'dog': '0' is neither -1 nor 1"):
        scan(frame, asked=ASKED)
