"""Images that are listed one by one become classes, or are refused in one line."""

from __future__ import annotations

import io
import os
import time
import unicodedata
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autofit.dataset import scan
from autofit.dataset.asked import Asked
from autofit.dataset.labelled import labelled_images
from autofit.dataset.labels import other_notations
from autofit.errors import UserError
from tests.support.datasets import csv_file, images, labelled, photos, touch


def test_a_csv_counts_paths_from_its_own_folder(pets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A data set with its list beside it could not be moved or used from elsewhere."""
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "outside", "x.jpg")
    rows = "".join(f"dog/../{name}/./{file},{name}\n" for name in ("cat", "dog") for file in images(2))
    rows += f"../outside/x.jpg,cat\n{tmp_path}/pets/dog/0002.jpg,dog\n"
    index = scan(csv_file(pets, f"path,label\n{rows}"), validation=0)
    assert index.root == str(pets)
    assert index.paths == [
        f"{tmp_path}/outside/x.jpg",
        "cat/0000.jpg",
        "cat/0001.jpg",
        "dog/0000.jpg",
        "dog/0001.jpg",
        "dog/0002.jpg",
    ]


def test_an_empty_listing_is_refused(tmp_path: Path) -> None:
    """The run would fail far from its cause."""
    with pytest.raises(UserError, match=r"list\.csv holds no images"):
        scan(csv_file(tmp_path, "path,label\n"))
    with pytest.raises(UserError, match="the list holds no images"):
        scan([], [])


def test_missing_files_of_a_csv_are_counted_and_the_first_is_named(pets: Path) -> None:
    """Each would become an unreadable image, hours later."""
    text = "path,label\ncat/0000.jpg,cat\ndog/gone.jpg,dog\ncat,cat\ncat/0001.jpg,dog\n"
    with pytest.raises(
        UserError, match=r"2 of 4 listed files cannot be used \(1 .*\), the first is .*/dog/gone\.jpg \(line 3\)"
    ):
        scan(csv_file(pets, text))


def test_one_file_with_two_labels_is_refused(pets: Path) -> None:
    """The network would be taught both."""
    text = "path,label\ncat/0000.jpg,cat\n./dog/../cat/0000.jpg,dog\n"
    with pytest.raises(UserError, match=r"cat/0000\.jpg has the labels 'cat' and, line 3, 'dog'"):
        scan(csv_file(pets, text))


def test_one_file_twice_with_one_label_is_kept_once(pets: Path) -> None:
    """An epoch would not be a permutation of the images, and one could be on both sides of the split."""
    rows = "".join(f"{prefix}{n}/{f},{n}\n" for prefix in ("", "./") for n in ("cat", "dog") for f in images(2))
    assert len(scan(csv_file(pets, "path,label\n" + rows)).paths) == 4


def test_lists_give_text_labels_sorted_as_text(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Class numbers would depend on the order of the list."""
    monkeypatch.chdir(pets)
    paths = [Path("dog/0001.jpg"), "dog/0000.jpg", pets / "cat" / "0000.jpg", b"cat/0001.jpg"]
    index = scan(paths, ("woof", "woof", "meow", "meow"), validation=0)
    assert index.root == str(pets)
    assert labelled(index) == {
        "cat/0000.jpg": "meow",
        "cat/0001.jpg": "meow",
        "dog/0000.jpg": "woof",
        "dog/0001.jpg": "woof",
    }


def test_whole_number_labels_sort_as_numbers(pets: Path) -> None:
    """Class 10 would come before class 2, and all numbers would be shifted against the user's own."""
    paths = [str(pets / "cat" / file) for file in images(6)]
    assert scan(paths, [10, 10, 2, 2, -1, -1]).class_names == ("-1", "2", "10")


def test_arrays_are_lists(pets: Path) -> None:
    """What comes from NumPy or the array module would be refused, or class names would read `np.int64(2)`."""
    numpy = pytest.importorskip("numpy")
    paths = [str(pets / "cat" / file) for file in images(6)]
    expected = scan(paths, [10, 10, 2, 2, -1, -1])
    for labels in (numpy.array([10, 10, 2, 2, -1, -1]), array("i", [10, 10, 2, 2, -1, -1])):
        assert scan(numpy.array(paths), labels) == expected
        assert scan(iter(paths), list(labels)) == expected
    assert scan(numpy.array(paths), numpy.array([True, False] * 3)).class_names == ("0", "1")
    assert {type(name) for name in expected.class_names + tuple(expected.paths)} == {str}


def test_held_out_numbers_are_the_classes_of_the_training(tmp_path: Path) -> None:
    """The table of GTSRB's test would be refused, whose classes are 0 to 42 where the training's are 00000 to 00042."""
    for name in ("00000", "00001"):
        touch(tmp_path / "train" / name, *images(3))
    held = ["0,0", "1,1", "2,0", "3,00000"]
    touch(tmp_path / "test", *(f"{line.split(',')[0]}.jpg" for line in held))
    table = csv_file(tmp_path / "test", "path,label\n" + "".join(f"{line}\n" for line in held))
    index = scan(tmp_path / "train", test=table)
    assert index.class_names == ("00000", "00001")
    names = [Path(path).stem for path in index.test_paths]
    assert dict(zip(names, index.test_labels, strict=True)) == {"0": 0, "1": 1, "2": 0, "3": 0}


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.eye(2)[[0, 1, 0, 1]], ("0", "1")),
        (np.array([[3], [4], [3], [4]]), ("3", "4")),
        (pd.get_dummies(pd.Series(["cat", "dog"] * 2)), ("cat", "dog")),
    ],
    ids=["one-hot", "column", "columns by name"],
)
def test_rows_of_labels_beside_paths_are_classes(tmp_path: Path, labels: Any, names: tuple[str, ...]) -> None:
    """What is taken beside images in memory would be refused beside their paths, as several."""
    paths = images(4)
    touch(tmp_path, *paths)
    index = scan([str(tmp_path / path) for path in paths], labels, validation=0)
    assert (index.class_names, list(index.labels)) == (names, [0, 1, 0, 1])
    judged = labelled_images(paths, labels, names, Asked(), (tmp_path, print, print))
    assert judged.numbers == [0, 1, 0, 1]


def test_held_out_names_may_be_composed_in_another_way(tmp_path: Path) -> None:
    """Folders that a Mac has packed would have a class that training has no images of, and is called like one."""
    names = ("고양이", "äpfel")
    photos(tmp_path / "train", **dict.fromkeys(names, 4))
    photos(tmp_path / "val", **{unicodedata.normalize("NFD", name): 4 for name in names})
    table = csv_file(tmp_path, "path,label\nmore/1.jpg,äpfel\n")
    touch(tmp_path, "more/1.jpg")
    index = scan(tmp_path, test=table)
    assert index.class_names == ("äpfel", "고양이")
    assert (index.train_count, index.validation_count, index.test_count) == (8, 8, 1)
    assert scan(tmp_path / "val", test=table).test_count == 1


def test_very_many_names_in_another_notation_cost_no_time() -> None:
    """Ten thousand folders with zeros before their numbers would take a minute to be known again."""
    begin = time.process_time()
    known = other_notations(map(str, range(10_000)), [f"{number:06}" for number in range(10_000)])
    assert len(known) == 10_000
    assert time.process_time() - begin < 2


def test_held_out_truths_are_the_classes_of_the_training(pets: Path) -> None:
    """A table of True and False beside a DataFrame of them would be refused: the classes of one are 0 and 1."""
    pandas = pytest.importorskip("pandas")
    paths = [str(pets / "cat" / file) for file in images(6)]
    labels = [True, False] * 3
    pandas.DataFrame({"path": paths[4:], "label": labels[4:]}).to_csv(pets / "held.csv", index=False)
    index = scan(pandas.DataFrame({"path": paths[:4], "label": labels[:4]}), validation=pets / "held.csv")
    assert index.class_names == ("0", "1")
    assert {index.path(number): index.labels[number] for number in (4, 5)} == {paths[4]: 1, paths[5]: 0}


def test_a_dataframe_is_known_by_its_columns(pets: Path) -> None:
    """A DataFrame would be taken for a list of its column names."""
    pandas = pytest.importorskip("pandas")
    paths = [str(pets / "cat" / file) for file in images(6)]
    labels = [10, 10, 2, 2, -1, -1]
    frame = pandas.DataFrame({"label": labels, "size": 0, "path": paths}).sample(frac=1, random_state=1)
    assert scan(frame) == scan(paths, labels) == scan(frame["path"], frame["label"])
    with pytest.raises(UserError, match=r"no column 'path' but \['label', 'where'\]"):
        scan(frame[["label", "path"]].rename(columns={"path": "where"}))
    with pytest.raises(UserError, match="a DataFrame has its own"):
        scan(frame, labels)


def test_labels_of_another_length_are_refused_with_both_lengths(pets: Path) -> None:
    """Labels would be shifted against their images."""
    with pytest.raises(UserError, match="2 paths and 3 labels"):
        scan([str(pets / "cat" / file) for file in images(2)], [0, 1, 1])


def test_missing_labels_are_refused(pets: Path) -> None:
    """A list of paths alone would be a run without classes."""
    with pytest.raises(UserError, match="labels of the listed paths are missing: give labels="):
        scan([str(pets / "cat" / file) for file in images(2)])


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_path_in_bytes_is_refused_as_such(pets: Path, kind: Any) -> None:
    """A user would be asked for the labels of a list that is none."""
    with pytest.raises(UserError, match=r"^the data is bytes .*: give a path as text, which os\.fsdecode makes"):
        scan(kind(os.fsencode(pets)))


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        (None, "is missing"),
        ("", "is empty"),
        (" ", "is empty"),
        (float("nan"), "is missing"),
        (1.5, "give text or a whole number"),
        ("1.5", "give text or a whole number"),
        ([0, 1], "is a list: give multi_label=True"),
        ("['a', 'b']", "is a list: give multi_label=True"),
        (["tag"] * 10_000, "is a list: give multi_label=True"),
        ('{"choices": ["a", "b"]}', "is a list: give multi_label=True"),
        ('{"class": "a"}', "is an object: give its name alone"),
        ({"class": "a"}, "is an object: give its name alone"),
    ],
)
def test_a_label_that_is_none_is_refused_by_its_place(pets: Path, label: object, problem: str) -> None:
    """A gap in a table would become a class of its own, or the line be as long as a list of labels is."""
    with pytest.raises(UserError, match=rf"item 1 of the labels: the label .*{problem}") as refusal:
        scan([str(pets / "cat" / file) for file in images(3)], [0, label, 1])
    assert len(str(refusal.value)) < 200


def test_mixed_labels_are_refused(pets: Path) -> None:
    """1 and "1" would be two classes of one name."""
    with pytest.raises(UserError, match="mix text and whole numbers"):
        scan([str(pets / "cat" / file) for file in images(2)], [1, "1"])


@pytest.mark.parametrize("path", [None, "", 3.5])
def test_a_path_that_is_none_is_refused_by_its_place(pets: Path, path: object) -> None:
    """A gap in a table would end in a traceback."""
    with pytest.raises(UserError, match=r"item 1 of the paths is .*: give a file's path"):
        scan([str(pets / "cat" / "0000.jpg"), path], [0, 1])


def test_missing_files_of_a_list_are_counted_and_the_first_is_named(pets: Path) -> None:
    """Each would become an unreadable image, hours later."""
    with pytest.raises(UserError, match=r"2 of 3 listed files do not exist, the first is .*/b\.jpg \(item 1\)"):
        scan([pets / "cat" / "0000.jpg", pets / "b.jpg", pets / "a.jpg"], [0, 1, 1])


def test_the_text_of_listed_paths_is_shared_with_the_caller(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook that holds a million paths would hold them twice."""
    monkeypatch.chdir(pets)
    paths = [f"{name}/{file}" for name in ("cat", "dog") for file in images(5)]
    held = {id(path) for path in paths}
    assert all(id(path) in held for path in scan(paths, [0, 1] * 5).paths)

    class Name(str):
        __slots__ = ()

    assert {type(path) for path in scan(map(Name, paths), [0, 1] * 5).paths} == {str}


def test_a_table_that_excel_saved_in_windows_1252_has_its_labels_and_files(tmp_path: Path) -> None:
    """Classes had escapes for letters, in the model's list of labels too, and files with such names were missing."""
    touch(tmp_path, "ä.jpg", "b.jpg", "c.jpg", "d.jpg")
    (tmp_path / os.fsdecode(b"\xf6.jpg")).write_bytes(b"x")  # as some programs unpack archives of Windows
    rows = "ä.jpg;Käse\r\nb.jpg;Käse\r\nc.jpg;Öl €\r\nd.jpg;Öl €\r\n"
    all_rows = f"{rows}ö.jpg;Öl €\r\n".replace(";", ";1;")
    index = scan(csv_file(tmp_path, f"path;Größe;label\r\n{all_rows}".encode("cp1252")), validation=0)
    assert index.class_names == ("Käse", "Öl €")
    assert sorted(index.paths) == sorted(["ä.jpg", "b.jpg", "c.jpg", "d.jpg", os.fsdecode(b"\xf6.jpg")])
    assert [note for note in index.notes if "read as Windows-1252" in note]
    utf8 = scan(csv_file(tmp_path, f"path;label\r\n{rows}".encode()), validation=0)
    assert labelled(utf8)["ä.jpg"] == "Käse"
    assert not utf8.notes


def test_a_column_of_labels_in_windows_1252_is_found_by_its_name(tmp_path: Path) -> None:
    """The name that Excel shows would not be one of the table's."""
    touch(tmp_path, "a.jpg", "b.jpg")
    table = csv_file(tmp_path, "path,Käse,Öl\na.jpg,1,0\nb.jpg,0,1\n".encode("cp1252"))
    assert scan(table, validation=0, asked=Asked(multi_label=True)).class_names == ("Käse", "Öl")
    table = csv_file(tmp_path, "path,Käse\na.jpg,x\nb.jpg,y\na.jpg,x\n".encode("cp1252"))
    with pytest.raises(UserError, match="more than one image"):
        scan(table, validation=0, asked=Asked(label_column="Käse"))


def test_the_list_of_a_run_keeps_a_class_whose_folder_is_no_utf_8(tmp_path: Path) -> None:
    """The model of a run would not know its own class."""
    name = os.fsdecode(b"K\xe4se")
    touch(tmp_path, *(f"photos/{label}/{file}" for label in (name, "dog") for file in images(3)))
    index = scan(tmp_path / "photos")
    index.write_csv(tmp_path / "photos" / "samples.csv")
    again = scan(tmp_path / "photos" / "samples.csv")
    assert set(again.class_names) == set(index.class_names) == {name, "dog"}
    assert not [note for note in again.notes if "1252" in note]


def test_blanks_before_a_path_are_no_part_of_it(tmp_path: Path) -> None:
    """`label, path` is read as `path, label` is; a file whose name begins with a blank is still found by it."""
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg", " c.jpg", "d.jpg")
    index = scan(csv_file(tmp_path, "label, path\nx, a.jpg\nx, b.jpg\ny, c.jpg\ny,d.jpg \n"), validation=0)
    assert index.paths == [" c.jpg", "a.jpg", "b.jpg", "d.jpg"]


@pytest.mark.parametrize("first", ["", "NaN"])
def test_a_column_of_splits_whose_first_row_is_empty_is_one(tmp_path: Path, first: str) -> None:
    """The column was left out without a word, and the images for the test were trained on."""
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    rows = f"a.jpg,x,{first}\nb.jpg,x,train\nc.jpg,y,train\nd.jpg,y,test\n"
    with pytest.raises(UserError, match=r"line 2: the (subset is empty|split 'NaN' is none of)"):
        scan(csv_file(tmp_path, f"path,label,subset\n{rows}"))
    other = "a.jpg,x,A\nb.jpg,x,B\nc.jpg,y,A\nd.jpg,y,test\n"
    assert scan(csv_file(tmp_path, f"path,label,subset\n{other}")).test_count == 0


@pytest.mark.parametrize("as_frame", [False, True])
@pytest.mark.parametrize("marks", [("False", "True"), ("0", "1"), ("0.0", "1.0")])
def test_fastai_s_column_of_validation_images_is_followed(
    tmp_path: Path, marks: tuple[str, str], monkeypatch: pytest.MonkeyPatch, *, as_frame: bool
) -> None:
    """The column was left out without a word, and other images were taken for the validation."""
    pandas = pytest.importorskip("pandas")
    touch(tmp_path, *(f"{label}/{file}" for label in ("cat", "dog") for file in images(4)))
    rows = [[f"{label}/{file}", label, marks[file > "0001.jpg"]] for label in ("cat", "dog") for file in images(4)]
    if as_frame:
        monkeypatch.chdir(tmp_path)
        index = scan(pandas.DataFrame(rows, columns=["fname", "label", "is_valid"]))
    else:
        lines = "\n".join(",".join(row) for row in rows)
        index = scan(csv_file(tmp_path, f"fname,label,is_valid\n{lines}\n"))
    held_out = {path for path, _, mark in rows if mark == marks[1]}
    validation = range(index.validation_from, len(index.paths))
    assert {os.path.relpath(index.path(number), tmp_path) for number in validation} == held_out
    assert len(held_out) == 4


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("path,label,is_valid\na.jpg,x,1\nb.jpg,x,0\nc.jpg,y,maybe\nd.jpg,y,0", "line 4: is_valid is 'maybe'"),
        ("path,label,is_valid,is_test\na.jpg,x,1,0\nb.jpg,x,0,1", "give one column split"),
    ],
)
def test_a_flag_that_says_nothing_or_two_flags_are_refused(tmp_path: Path, table: str, words: str) -> None:
    """Images for the test would be trained on."""
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    with pytest.raises(UserError, match=words):
        scan(csv_file(tmp_path, f"{table}\n"))


def test_a_set_of_paths_has_no_order_to_label_it_by(pets: Path) -> None:
    """Each photo would get the label of any other, another one in each process."""
    paths = [str(pets / name / file) for name in ("cat", "dog") for file in images(3)]
    with pytest.raises(UserError, match="a set, which has no order: give lists"):
        scan(set(paths), ["cat"] * 3 + ["dog"] * 3)
    assert scan(dict.fromkeys(paths).keys(), ["cat"] * 3 + ["dog"] * 3, validation=0).train_count == 6


ANOTHER_ORDER = "the same index in another order: give labels.to_numpy.* in order by position, labels.loc.* only if"


@pytest.mark.parametrize("form", ["column", "one-hot", "several labels"])
def test_columns_of_pandas_whose_rows_are_in_another_order_are_refused(pets: Path, form: str) -> None:
    """Each photo would get the label of another row, though pandas knows which is its own."""
    paths = pd.Series([str(pets / name / file) for name in ("cat", "dog") for file in images(3)])
    labels: Any = pd.Series([path.split("/")[-2] for path in paths])
    labels = labels if form == "column" else pd.get_dummies(labels).astype(int)
    asked = Asked(multi_label=form == "several labels")
    shuffled = paths.sample(frac=1, random_state=1)
    with pytest.raises(UserError, match=ANOTHER_ORDER):
        scan(shuffled, labels, asked=asked)
    index = scan(shuffled, labels.loc[shuffled.index], validation=0, asked=asked)
    assert all(index.class_names[label] in path for path, label in zip(index.paths, index.labels, strict=True))
    for given in (labels.to_numpy(), labels.set_axis(range(7, 13)), labels.set_axis([0, 0, 1, 1, 2, 2])):
        assert scan(paths, given, validation=0, asked=asked).train_count == 6
    repeated = paths.set_axis([2, 1, 0, 0, 1, 2])
    assert scan(repeated, labels.set_axis([0, 0, 1, 1, 2, 2]), validation=0, asked=asked).train_count == 6


def test_what_is_said_of_a_table_is_said_of_one_for_validation_with_splits_too(tmp_path: Path) -> None:
    """Of missing files nothing was said where the table had a column of splits."""
    held = [f"{name}/{file}" for name in ("cat", "dog") for file in images(10)]
    touch(tmp_path, *held, *(f"train/{path}" for path in held))
    rows = "".join(f"{path},{path[:3]},val\n" for path in held)
    table = csv_file(tmp_path, f"path,label,split\n{rows}cat/gone.jpg,cat,val\n")
    index = scan(tmp_path / "train", validation=str(table))
    assert [note for note in index.notes if note.startswith("1 of 21 listed files do not exist")]


def test_a_file_of_a_macs_archive_is_found_by_the_name_in_the_table(tmp_path: Path) -> None:
    """Both names look the same; the file was said not to exist."""
    apart, together = (unicodedata.normalize(form, "ä.jpg") for form in ("NFD", "NFC"))
    touch(tmp_path, apart, "b.jpg", "c.jpg", "d.jpg")
    assert apart in scan(csv_file(tmp_path, f"path,label\n{together},x\nb.jpg,x\nc.jpg,y\nd.jpg,y\n")).paths


def test_classes_whose_letters_are_composed_in_two_ways_are_named(tmp_path: Path) -> None:
    """One class would be two that look the same in each table, each with a part of its images."""
    apart, together = (unicodedata.normalize(form, "Käse") for form in ("NFD", "NFC"))
    touch(tmp_path, *(f"{label}/{file}" for label in (apart, together, "dog") for file in images(3)))
    assert [note for note in scan(tmp_path).notes if "differ only in case, blanks or how letters are composed" in note]


def test_labels_that_are_one_text_are_refused(pets: Path) -> None:
    """Each of its letters would be the label of a photo."""
    with pytest.raises(UserError, match="the labels are the text 'ab': give a list"):
        scan([str(pets / "cat" / file) for file in images(2)], "ab")


CONTENT = b"\x89PNG\r\n\0\0"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ({"bytes": b"x" * 9999, "path": None}, "holds an image: give files' paths, or the images"),
        (CONTENT, "is the content of a file: give a path, or an opened image"),
        (bytearray(CONTENT), "is the content of a file: give a path, or an opened image"),
        (memoryview(CONTENT), "is the content of a file: give a path, or an opened image"),
        (io.BytesIO(CONTENT), "is an open file: give a path, or an opened image"),
    ],
    ids=["a row of a table", "bytes", "bytearray", "memoryview", "open"],
)
def test_images_in_place_of_paths_are_refused_shortly(image: object, words: str) -> None:
    """A column of a Hugging Face table would be printed, and what to do be cut off behind its bytes."""
    with pytest.raises(UserError, match=f"^item 0 of the paths {words}"):
        scan([image, image], [0, 1])


@pytest.mark.parametrize(
    ("table", "held"),
    [
        ("path,label,split\ncat/0000.jpg,cat,LONG\n", None),
        ("path,label\ncat/0000.jpg,LONG\ncat/0000.jpg,LONG-other\n", None),
        ("path,label\ncat/0000.jpg,LONG\ncat/0001.jpg,tag\ncat/0002.jpg,tag|LONG\n", None),
        ("path,label\ncat/0000.jpg,cat\ncat/0001.jpg,cat\ndog/0000.jpg,dog\n", "path,label\ndog/0001.jpg,LONG\n"),
    ],
    ids=["split", "two labels", "several labels", "held out"],
)
def test_a_long_cell_is_shown_by_its_beginning(pets: Path, table: str, held: str | None) -> None:
    """A caption in place of a label would fill the terminal, and what to do be above its beginning."""
    long = "a caption " * 1000
    if held:
        (pets / "held.csv").write_text(held.replace("LONG", long))
    with pytest.raises(UserError) as refusal:
        scan(csv_file(pets, table.replace("LONG", long)), validation=pets / "held.csv" if held else 0.2)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("other", ["cat\u200b", "ca\u00adt", "\uff43\uff41\uff54", "\u200ecat"])
def test_classes_that_look_the_same_are_named(tmp_path: Path, other: str) -> None:
    """A sign that nobody sees, as of a table from the web, would make two classes of one, without a word."""
    touch(tmp_path, *images(4))
    names = ("cat", other) * 2
    table = csv_file(tmp_path, "path,label\n" + "".join(map("{},{}\n".format, images(4), names)))
    (note,) = scan(table).notes
    assert note.startswith("warning: these classes differ only in case")


def test_addresses_of_this_machine_are_paths(tmp_path: Path) -> None:
    """A user would be told to copy to this machine what lies there."""
    touch(tmp_path, "a 1.jpg", *images(3))
    names = ("a%201.jpg", *images(3))
    rows = "".join(f"file://{tmp_path}/{name},{'xy'[number % 2]}\n" for number, name in enumerate(names))
    assert "a 1.jpg" in scan(csv_file(tmp_path, f"path,label\n{rows}")).paths
