"""Tables as people write them: separators, encodings, splits and paths are understood, or refused."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autofit.dataset import ImageIndex, asked_of, scan
from autofit.dataset.columns import choose_columns
from autofit.dataset.split_columns import LOOKED_AT_ROWS, says_split
from autofit.errors import UserError
from tests.support.datasets import csv_file, images, labelled, photos, touch

MULTI_LABEL = asked_of(None, None, None, multi_label=True)
ROWS = [(f"{name}/{file}", name) for name in ("cat", "dog") for file in images(4)]
SPLITS = ["Training", "train", "val", "TEST"] * 2


def written(header: str, separator: str = ",", rows: Sequence[tuple[str, ...]] | None = None) -> str:
    lines = [separator.join(row) for row in rows or ROWS]
    return "\n".join([header, *lines, ""])


def expected() -> dict[str, str]:
    return dict(ROWS)


@pytest.mark.parametrize(
    "text",
    [
        written("path,label"),
        written("filename,class"),
        written("File Name;Category", ";"),
        written("image_path\ttarget", "\t"),
        written("img|species", "|"),
        written("id,breed", rows=[(path.removesuffix(".jpg"), label) for path, label in ROWS]),
        written("path,label", rows=[(path.replace("/", "\\"), label) for path, label in ROWS]),
        written("path,label", rows=[(f"/{path}", label) for path, label in ROWS]),
        written("path,label", rows=[(path.replace("jpg", "JPG"), label) for path, label in ROWS]),
        written("path,label", rows=[(path, f"  {label} ") for path, label in ROWS]),
        written("path,label").encode("utf-16"),
        written("path,label").encode("utf-16-le"),
        written("class id,filepaths,labels", rows=[("7", *row) for row in ROWS]),
        written("id,image,label", rows=[("7", *row) for row in ROWS]),
        written("path,label,usage", rows=[(*row, "private") for row in ROWS]),
    ],
)
def test_a_table_is_understood(pets: Path, text: str | bytes) -> None:
    """A table from a competition or a spreadsheet would be refused, or its numbers be taken for paths."""
    assert labelled(scan(csv_file(pets, text))) == expected()


@pytest.mark.parametrize("name", ["split", "Subset", "partition", "set", "data set", "type"])
def test_a_column_of_splits_is_followed(pets: Path, name: str) -> None:
    """Images for the test would be trained on."""
    rows = [(*row, split) for row, split in zip(ROWS, SPLITS, strict=True)]
    index = scan(csv_file(pets, written(f"path,label,{name}", rows=rows)))
    assert (index.train_count, index.validation_count) == (4, 2)
    assert index.test_paths == ["cat/0003.jpg", "dog/0003.jpg"]
    assert list(index.test_labels) == [0, 1]
    assert scan(csv_file(pets, written(f"path,label,{name}", rows=rows)), validation=0).validation_count == 0


def test_a_long_table_may_be_sorted_by_split(pets: Path) -> None:
    """Only the first rows are looked at, and the images for the test, which are last, would be trained on."""
    rows = [(*ROWS[number % 6], "train") for number in range(LOOKED_AT_ROWS)] + [(*row, "test") for row in ROWS[6:]]
    assert scan(csv_file(pets, written("path,label,data set", rows=rows))).test_count == 2


def test_two_columns_of_splits_are_refused(pets: Path) -> None:
    """One of two divisions would be followed, and nobody know which."""
    rows = [(*row, split, split) for row, split in zip(ROWS, SPLITS, strict=True)]
    with pytest.raises(UserError, match="has the columns 'first', 'second': give one column split instead"):
        scan(csv_file(pets, written("path,label,first,second", rows=rows)))


def test_a_column_of_splits_with_other_values_or_gaps_is_not_lost(pets: Path) -> None:
    """The images for the validation would be trained on, since a few rows say nothing of a split."""
    said = ["train", "val"] * 3
    other, gap = (
        written("path,label,part", rows=[(*row, split) for row, split in zip(ROWS, [*said, odd, "train"], strict=True)])
        for odd in ("unlabelled", "")
    )
    (note,) = scan(csv_file(pets, other)).notes
    assert note == "'part' is not followed: 'unlabelled' is no name of a split (train, validation, test)"
    with pytest.raises(UserError, match="line 8: the part is empty"):
        scan(csv_file(pets, gap))
    rare = [(*row, split) for row, split in zip(ROWS, ["train", "test", *"      "], strict=True)]
    assert scan(csv_file(pets, written("path,label,part", rows=rare))).notes == ()


@pytest.mark.parametrize("options", [None, MULTI_LABEL])
def test_columns_of_0_and_1_for_each_split_are_refused(pets: Path, options: Any) -> None:
    """The images for the test would be trained on, and with several labels each split be one of them."""
    rows = [(*row, *("1" if number % 3 == place else "0" for place in range(3))) for number, row in enumerate(ROWS)]
    table = csv_file(pets, written("path,label,train,val,Test", rows=rows))
    with pytest.raises(UserError, match="has the columns 'train', 'val', 'Test': give one column split instead, of"):
        scan(table) if options is None else scan(table, asked=options)


def test_a_column_of_0_and_1_for_one_split_is_named(pets: Path) -> None:
    """Which images are held out would be lost without a word; a train may be a label."""
    rows = [(*row, "01"[number % 2]) for number, row in enumerate(ROWS)]
    (note,) = scan(csv_file(pets, written("path,label,test", rows=rows))).notes
    assert note == "'test' is not followed: '0' is no name of a split (train, validation, test)"
    marks = [(path, *("01"[number >> bit & 1] for bit in range(3))) for number, (path, _) in enumerate(ROWS)]
    index = scan(csv_file(pets, written("path,train,cat,valid", rows=marks)), asked=MULTI_LABEL)
    assert index.class_names == ("train", "cat")


@pytest.mark.parametrize(
    ("column", "cells", "said"),
    [
        ("mode", "train holdout", "holdout"),
        ("cohort", "Train Hold-out", "Hold-out"),
        ("mode", "dev eval", "eval"),
        ("in_test_set", "no yes", "yes"),
        ("is_test_image", "0 1", "1"),
        ("ForTraining", "False True", "True"),
        ("testset", "0 1", "1"),
        ("Dev", "0 1", ""),
        ("Test 1", "0 1", ""),
        ("in_test_2", "no yes", ""),
        ("vehicle", "train car", ""),
        ("blood_test", "no yes", ""),
        ("test", "a b", ""),
        ("exam", "eval oral", ""),
    ],
)
def test_a_column_that_tells_images_held_out_in_other_words_is_named(
    pets: Path, column: str, cells: str, said: str
) -> None:
    """Images that another laboratory holds out would be trained on without a word; or any column be named."""
    rows = [(*row, cells.split()[number % 3 == 0]) for number, row in enumerate(ROWS)]
    notes = scan(csv_file(pets, written(f"path,label,{column}", rows=rows))).notes
    line = f"{column!r} is not followed: {said!r} is no name of a split (train, validation, test)"
    assert notes == (line,) * bool(said)


@pytest.mark.parametrize("names", ["Test 1,Test 2,Test 3", "Dev,Cat,Dog"])
def test_labels_that_have_the_word_of_a_split_are_labels(pets: Path, names: str) -> None:
    """The first label of a table would be lost, and the network never learn it."""
    marks = [(path, *("01"[number >> bit & 1] for bit in range(3))) for number, (path, _) in enumerate(ROWS)]
    index = scan(csv_file(pets, written(f"path,{names}", rows=marks)), asked=MULTI_LABEL)
    assert index.class_names == tuple(names.split(","))


def test_a_column_without_values_says_nothing_of_splits() -> None:
    """A column that nobody filled in would be said not to be followed, or its name not be free for labels."""
    assert not says_split("in_test_set", ["", " ", "nan"])
    assert says_split("in_test_set", ["", "yes"])


@pytest.mark.parametrize("options", [None, MULTI_LABEL])
def test_rows_that_deny_a_label_are_refused(pets: Path, options: Any) -> None:
    """What an image of Open Images does not show would be learnt as what it shows."""
    header = "ImageID,LabelName,Confidence"
    rows = [(*row, "10"[number % 2]) for number, row in enumerate(ROWS)]
    asked: Any = {} if options is None else {"asked": options}
    with pytest.raises(UserError, match=r"has 0 in its column 'Confidence', .*query\('Confidence == 1'\)"):
        scan(csv_file(pets, written(header, rows=rows)), **asked)
    sure = [(*row, "1") for row in ROWS]
    assert scan(csv_file(pets, written(header, rows=sure)), **asked).class_names == ("cat", "dog")


@pytest.mark.parametrize("name", ["partition", "Usage", "is_train"])
def test_a_column_of_other_splits_is_named(pets: Path, name: str) -> None:
    """Images that a data set holds out by the number of their part would be trained on without a word."""
    rows = [(*row, str(number % 3)) for number, row in enumerate(ROWS)]
    index = scan(csv_file(pets, written(f"path,label,{name}", rows=rows)))
    assert index.test_count == 0
    assert index.notes == (f"{name!r} is not followed: '0' is no name of a split (train, validation, test)",)
    marked = [(path, str(int(label == "cat")), str(int(label == "dog")), part) for path, label, part in rows]
    index = scan(csv_file(pets, written(f"path,cat,dog,{name}", rows=marked)), asked=MULTI_LABEL)
    assert index.class_names == ("cat", "dog")
    assert f"; {name!r} is not followed" in index.notes[0]


def test_the_list_of_a_run_is_read_like_any_other(pets: Path, tmp_path: Path) -> None:
    """The same images could not be trained on again in the same split."""
    index = scan(csv_file(pets, written("path,label,split", rows=[(*r, s) for r, s in zip(ROWS, SPLITS, strict=True)])))
    run = tmp_path / "run"
    run.mkdir()
    index.write_csv(run / "samples.csv")
    (run / "run.json").write_text(json.dumps({"data": {"root": index.root}}))
    assert scan(run / "samples.csv") == index
    assert ImageIndex.read_csv(run / "samples.csv", index.root, index.class_names) == index


def test_numbers_are_numbers_in_folders_tables_and_frames(pets: Path, tmp_path: Path) -> None:
    """Class 10 would come before class 2 in one of them, and one model's outputs be another's."""
    pandas = pytest.importorskip("pandas")
    names = ["0", "1", "2", "10"]
    photos(tmp_path / "numbers", **dict.fromkeys(names, 2))
    paths = [str(pets / "cat" / file) for file in images(8)]
    rows = list(zip(paths, [name for name in names for _ in "ab"], strict=True))
    of_frame = scan(pandas.DataFrame({"path": paths, "label": [float(name) for _, name in rows]}))
    of_text = scan(csv_file(pets, written("path,label", rows=[(path, f"{name}.0") for path, name in rows])))
    assert scan(tmp_path / "numbers").class_names == tuple(names)
    assert scan(csv_file(pets, written("path,label", rows=list(rows)))).class_names == tuple(names)
    assert of_frame.class_names == of_text.class_names == tuple(names)


def test_columns_may_be_named(pets: Path) -> None:
    """A table with two columns of labels could not be used."""
    text = written("where,what,label", rows=[(path, label, "x") for path, label in ROWS])
    assert labelled(scan(csv_file(pets, text), asked=asked_of("where", "what", None))) == expected()
    with pytest.raises(
        UserError, match=r"list\.csv has not one column 'kind': its columns are 'where', 'what', 'label'"
    ):
        scan(csv_file(pets, text), asked=asked_of("where", "kind", None))


def test_the_images_may_be_elsewhere(pets: Path, tmp_path: Path) -> None:
    """A table that is not beside its images could not be used."""
    table = csv_file(tmp_path, written("path,label"))
    index = scan(table, asked=asked_of(None, None, str(pets)))
    assert index.paths[0].startswith("pets/")
    rows = [(f"cat/{file}", "cat") for file in images(10)] + [(f"dog/{file}", "dog") for file in images(6)]
    lacking = scan(csv_file(tmp_path, written("path,label", rows=rows)), asked=asked_of(None, None, str(pets)))
    assert "pets/dog/0005.jpg" in lacking.paths
    with pytest.raises(UserError, match=r"images_in .*nowhere is no folder"):
        asked_of(None, None, str(tmp_path / "nowhere"))


def test_the_folder_of_the_images_is_found_beside_the_table(tmp_path: Path) -> None:
    """Names in a table mostly lack the folder, and a user would have to write them again."""
    touch(tmp_path / "img", *images(4))
    rows = [(file, "cat" if file < "0002" else "dog") for file in images(4)]
    index = scan(csv_file(tmp_path, written("path,label", rows=list(rows))), validation=0)
    assert index.paths == [f"img/{file}" for file in images(4)]
    assert index.notes == ("listed images are in img/",)
    touch(tmp_path / "other", *images(4))
    with pytest.raises(UserError, match=r"0000\.jpg is in img/ and in other/: name the folder"):
        scan(tmp_path / "list.csv")


def test_the_images_of_a_table_may_be_in_several_folders(tmp_path: Path) -> None:
    """A set in parts, or one in a wrapper, could be used only by who moves its files or writes its table again."""
    touch(tmp_path, *(f"part_{n // 2}/images/{file}" for n, file in enumerate(images(4))), "other/readme.txt")
    rows = [(file.removesuffix(".jpg"), "cat" if file < "0002" else "dog") for file in images(4)]
    table = csv_file(tmp_path, written("id,label", rows=rows))
    index = scan(table, validation=0)
    assert index.paths == [f"part_{n // 2}/images/{file}" for n, file in enumerate(images(4))]
    assert "listed images are in part_0/images/ and part_1/images/" in index.notes
    touch(tmp_path, "part_1/images/0000.jpg")
    with pytest.raises(UserError, match=r"^0000 is in part_0/images/ and in part_1/images/: name the folder"):
        scan(table)
    (tmp_path / "part_1/images/0000.jpg").rename(tmp_path / "part_0/images/0003.jpg")
    with pytest.raises(UserError, match=r"^0003\.jpg is in part_0/images/ and in part_1/images/: name the folder"):
        scan(table)


@pytest.mark.parametrize(
    ("folder", "images_in"),
    [
        ("", None),
        ("imgs/", None),
        ("imgs/train/", None),
        ("wrap/wrap/train/", None),
        ("imgs/train/", "imgs/train"),
        ("imgs/train/", "imgs"),
        ("imgs/train/", "."),
    ],
)
def test_the_images_of_a_table_may_be_in_the_folders_of_their_labels(
    tmp_path: Path, folder: str, images_in: str | None
) -> None:
    """A table of names whose images were sorted into class folders could not be used, whatever was given."""
    touch(tmp_path, "imgs/test/9.jpg", *(f"{folder}{name}/{file}" for name in ("cat", "dog") for file in images(4)))
    rows = [(file.removesuffix(".jpg"), name) for name in ("cat", "dog") for file in images(4)[name == "dog" :: 2]]
    asked = asked_of(None, None, images_in and str(tmp_path / images_in))
    index = scan(csv_file(tmp_path, written("id,label", rows=rows)), validation=0, asked=asked)
    assert index.paths == [f"{folder}{name}/{file}.jpg" for file, name in rows]
    assert index.notes[1:] == (f"listed images are in {folder}<label>/",)


def test_a_file_of_a_label_in_two_folders_is_refused(tmp_path: Path) -> None:
    """The image to test on would be trained on in place of the one that the table names."""
    touch(tmp_path / "imgs", "train/cat/1.jpg", "test/cat/1.jpg", "train/cat/2.jpg", "train/dog/3.jpg")
    table = csv_file(tmp_path, written("id,label", rows=[("1", "cat"), ("2", "cat"), ("3", "dog")]))
    with pytest.raises(UserError, match=r"^1 is in imgs/test/cat/ and in imgs/train/cat/: name the folder"):
        scan(table)
    assert scan(table, validation=0, asked=asked_of(None, None, str(tmp_path / "imgs" / "train"))).train_count == 3


def test_the_folders_in_a_given_one_are_searched(tmp_path: Path) -> None:
    """A user would name the folder of `train` and `test`, as the line says, and read the same line again."""
    touch(tmp_path / "x-rays", *(f"{split}/{split}{file}" for split in ("train", "test") for file in images(4)))
    rows = [(f"{split}{file}", "cat" if file < "0002" else "dog") for split in ("train", "test") for file in images(4)]
    (tmp_path / "tables").mkdir()
    table = csv_file(tmp_path / "tables", written("id,label", rows=rows))
    with pytest.raises(UserError, match="or name the folder of the images with images_in="):
        scan(table)
    index = scan(table, validation=0, asked=asked_of(None, None, str(tmp_path / "x-rays")))
    assert len(index.paths) == 8
    assert "listed images are in ../x-rays/test/ and ../x-rays/train/" in index.notes
    with pytest.raises(
        UserError, match="neither in the folder of images_in= nor in one within it: name a folder nearer"
    ):
        scan(table, asked=asked_of(None, None, str(tmp_path / "tables")))


def test_another_column_of_names_is_named_where_files_are_missing(tmp_path: Path) -> None:
    """Paths of a notebook's machine would be corrected by hand where the next column has the names alone."""
    touch(tmp_path, *images(4))
    rows = [(f"../input/{file}", "cat" if file < "0002" else "dog", file, "7") for file in images(4)]
    table = csv_file(tmp_path, written("filepath,label,filename,id", rows=rows))
    with pytest.raises(
        UserError, match=r"4 of 4 listed files do not exist, .*; or read the paths of path_column='filename'$"
    ):
        scan(table)
    assert scan(table, asked=asked_of("filename", None, None)).train_count == 2


def test_a_file_that_the_tables_own_folder_lacks_is_in_no_other(tmp_path: Path) -> None:
    """A lost image for training would be replaced by one for the test that has its name."""
    touch(tmp_path, *(f"list/{file}" for file in images(19)), "test/0019.jpg")
    rows = [(file, "cat" if number % 2 else "dog") for number, file in enumerate(images(20))]
    index = scan(csv_file(tmp_path, written("id,label", rows=rows)))
    assert "list/0019.jpg" in index.paths
    assert any("1 of 20 listed files do not exist" in note for note in index.notes)


def test_paths_may_begin_with_the_folder_of_the_table(pets: Path) -> None:
    """The table of an archive names the archive's own folder, in which it is itself."""
    index = scan(csv_file(pets, written("path,label", rows=[(f"pets/{path}", label) for path, label in ROWS])))
    assert {path.removeprefix(f"{pets}/"): label for path, label in labelled(index).items()} == expected()


def test_two_files_of_one_name_are_named(pets: Path) -> None:
    """Thumbnails in JPEG beside images in PNG would be taken for these, without a word."""
    rows = [(path.removesuffix(".jpg"), label) for path, label in ROWS]
    table = csv_file(pets, written("path,label", rows=rows))
    assert scan(table).notes == ()
    touch(pets, "cat/0001.png")
    said = "cat/0001 is cat/0001.jpg, and cat/0001.png lies beside it: if that is meant, write suffixes in the table"
    assert scan(table).notes == (said,)
    assert labelled(scan(table)) == expected()


def test_a_missing_file_among_many_is_an_image_that_cannot_be_read(pets: Path) -> None:
    """One lost photo of a thousand would end the run, or vanish without a word."""
    rows = [(f"cat/{file}", "cat") for file in images(10)] + [(f"dog/{file}", "dog") for file in images(6)]
    index = scan(csv_file(pets, written("path,label", rows=list(rows))))
    assert len(index.paths) == 16
    assert "1 of 16 listed files do not exist" in index.notes[0]
    assert "dog/0005.jpg (line 17)" in index.notes[0]


def test_columns_of_0_and_1_are_told_by_many_rows(pets: Path) -> None:
    """A column of ages would be a label because the first is 1, or a label be none because its first cell is empty."""
    cells = [("1", "0", "1"), ("0", "1", "34"), ("", "", "5")]
    rows = [(path, *cells[number % 3]) for number, (path, _) in enumerate(ROWS)]
    with pytest.raises(UserError, match=r"list\.csv, line 4: column 'cat': it is empty, neither 0 nor 1: where that m"):
        scan(csv_file(pets, written("path,cat,dog,age", rows=rows)), asked=MULTI_LABEL)
    whole = [(path, cat or "0", dog or "1", age) for path, cat, dog, age in rows]
    index = scan(csv_file(pets, written("path,cat,dog,age", rows=whole)), asked=MULTI_LABEL)
    assert index.class_names == ("cat", "dog")
    gap = [(path, "1", "" if not number else "0") for number, (path, _) in enumerate(ROWS)]
    with pytest.raises(UserError, match=r"list\.csv, line 2: column 'dog': .*, pandas' fillna\(0\) writes it; correct"):
        scan(csv_file(pets, written("path,cat,dog", rows=gap)), asked=MULTI_LABEL)
    frame = pd.DataFrame(
        {"path": [str(pets / path) for path, _ in ROWS], "cat": 1.0, "dog": [math.nan, 0, 1, 0, 1, 0, 1, 0]}
    )
    with pytest.raises(UserError, match=r"item 0 of the labels: column 'dog': it is empty, neither 0 nor 1: where "):
        scan(frame, asked=MULTI_LABEL)
    assert scan(frame.fillna(0), asked=MULTI_LABEL).class_names == ("cat", "dog")
    late = [(ROWS[number % 8][0], "1", "0") for number in range(LOOKED_AT_ROWS)] + [(ROWS[0][0], "1", "7")]
    with pytest.raises(UserError, match=rf"line {LOOKED_AT_ROWS + 2}: column 'dog': '7' is neither 0 nor 1"):
        scan(csv_file(pets, written("path,cat,dog", rows=late)), asked=MULTI_LABEL)


def test_blanks_around_names_of_columns_do_not_count(pets: Path) -> None:
    """A label would be called ' cat', and nobody find the column by its name."""
    pandas = pytest.importorskip("pandas")
    rows = [(path, str(int(label == "cat")), str(int(label == "dog"))) for path, label in ROWS]
    table = csv_file(pets, written("filename, cat, dog", rows=rows))
    assert scan(table, asked=MULTI_LABEL).class_names == ("cat", "dog")
    named = scan(table, asked=asked_of(" filename", ["dog", "cat"], None, multi_label=True))
    assert named.class_names == ("dog", "cat")
    frame = pandas.DataFrame(
        [(str(pets / path), *marks) for path, *marks in rows], columns=["filename", " cat", " dog"]
    )
    assert scan(frame, asked=MULTI_LABEL).class_names == ("cat", "dog")


REFUSED = [
    (
        "path,cat,dog",
        [("cat/0000.jpg", "1", "0")],
        r"one column a class .*: give multi_label=True .*; pandas' idxmax\(",
    ),
    ("path,cat,dog", [("cat/0000.jpg", "1", "1")], "one column with the class of each image, label_column=$"),
    ("path,label", [*ROWS, ("cat/0009.jpg", "cat|dog")], r"'cat\|dog' names several classes"),
    ("path,label", [*ROWS, ("cat/0009.jpg", "nan")], r"list\.csv, line 10: the label is missing"),
    ("path,label", [*ROWS, ("cat/0009.jpg", " ")], r"list\.csv, line 10: the label is empty"),
    ("path,label,split", [(*row, "north") for row in ROWS], r"line 2: the split 'north' is none of train"),
    ("path,label,split", [(*ROWS[0], "train"), (*ROWS[0], "test")], "is in the splits 'train' and, line 3, 'test'"),
    ("Label,LABEL,path", [("a", "b", "cat/0000.jpg")], "either of which may be meant"),
]


@pytest.mark.parametrize(("header", "rows", "message"), REFUSED)
def test_a_table_that_cannot_be_understood_is_refused(
    pets: Path, header: str, rows: list[tuple[str, ...]], message: str
) -> None:
    """A column of marks, a gap or a list would become a class."""
    with pytest.raises(UserError, match=message):
        scan(csv_file(pets, written(header, rows=rows)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat/0000.jpg,cat,7\n", "begins with 'cat/0000.jpg,cat,7' and not with the names of its columns: write them"),
        ("a_1.jpg 1 1 1\na_2.jpg 1 1 2\n", "such as path,label, with commas between"),
        ("Abyssinian_100 1 1 1\nbeagle_1 2 2 1\n", "begins with 'Abyssinian_100 1 1 1' and not with the names"),
        ("path label\na.jpg cat\n", r"has blanks between its cells \('path label'\): write commas between them"),
        ("a.jpg a_mask.png\nb.jpg b_mask.png\n", "such as path,label, with commas between"),
        ("1 001.Albatross/a.jpg\n2 001.Albatross/b.jpg\n", "such as path,label, with commas between"),
        (
            "sep=;\npath;label\na.jpg;cat\n",
            "begins with 'sep=;' and not with the names of its columns: remove this line",
        ),
        ("# 2024-01-31\npath,label\na.jpg,cat\n", "begins with '# 2024-01-31' .*: remove this line"),
        ('"a"b.jpg\n', "is no CSV file with the columns path,label: its first line is"),
        ("TRAIN,gs://b/a.jpg,cat\n", "not with the names of its columns"),
        (
            ",".join(["label", *(f"pixel{n}" for n in range(784))]),
            r"pixels .* give autofit\.run\(images, labels\) with",
        ),
        (",".join(["5", *"0" * 784]), "holds the pixels of images and not their paths"),
        ("emotion,pixels,Usage\n0,70 80,Training\n", "holds the pixels of images"),
        ("id,has_cactus\na,1\n", r"has paths in its column 'id', but none .* name it with label_column= \(its first"),
        ("\x80\x03}\0", r"list\.csv is no text: give an image folder"),
        ("one,two\n", "its first line is 'one,two'; give an image folder, or name the columns with path_column="),
    ],
)
def test_what_is_no_table_of_paths_is_told_by_its_first_line(tmp_path: Path, text: str, message: str) -> None:
    """A user would be sent to options that cannot help, or have to guess which."""
    with pytest.raises(UserError, match=message):
        scan(csv_file(tmp_path, text))


def test_a_place_in_the_image_is_no_label(pets: Path) -> None:
    """The row in which a thing stands would be its class."""
    rows = [(path, "12", str(number % 2), label) for number, (path, label) in enumerate(ROWS)]
    assert labelled(scan(csv_file(pets, written("file,x,y,species", rows=rows)))) == expected()
    assert (
        labelled(scan(csv_file(pets, written("file,y,species", rows=[row[:1] + row[2:] for row in rows]))))
        == expected()
    )
    with pytest.raises(UserError, match="paths in its column 'file', but none that is called as one of labels"):
        scan(csv_file(pets, written("file,x,y,kind", rows=rows)))
    assert scan(csv_file(pets, written("file,y", rows=list(ROWS)))).class_names == ("cat", "dog")


@pytest.mark.parametrize("sides", ["xmin,ymin,xmax,ymax", "Roi.X1,Roi.Y1,Roi.X2,Roi.Y2", "x,y,w,h"])
def test_boxes_in_a_table_are_said_not_to_be_used(pets: Path, sides: str) -> None:
    """A table for the detection of things would be trained on, and nobody learn that their places play no part."""
    rows = [(path, label, "1", "2", "3", "4") for path, label in ROWS]
    (note,) = scan(csv_file(pets, written(f"path,label,{sides}", rows=rows))).notes
    assert note == "the boxes in the table are not used: images are trained on whole"


def test_a_mark_of_minus_one_has_its_own_remedy(pets: Path) -> None:
    """Who has named the columns of labels would be told to name them."""
    rows = [(path, "1" if number else "0", "-1") for number, (path, _) in enumerate(ROWS)]
    asked = asked_of(None, "cat,dog", None, multi_label=True)
    with pytest.raises(UserError, match="column 'dog': '-1' is neither 0 nor 1: write 0 for it"):
        scan(csv_file(pets, written("path,cat,dog", rows=rows)), asked=asked)


def test_labels_that_differ_in_case_or_blanks_are_named(pets: Path) -> None:
    """One class would be two, and the accuracy be halved for no visible reason."""
    rows = [*ROWS, ("cat/0008.jpg", "Cat"), ("cat/0009.jpg", "Cat")]
    index = scan(csv_file(pets, written("path,label", rows=list(rows))))
    assert [note for note in index.notes if "'Cat' and 'cat'" in note and note.startswith("warning")]


def test_labels_that_are_others_with_blanks_between_are_named(pets: Path) -> None:
    """Each combination of labels would be a class of its own without a word."""
    names = ["rust", "scab", "rust scab", "New York", "rust"]
    rows = [(path, names[number % 4]) for number, (path, _) in enumerate(ROWS)]
    (_, note) = scan(csv_file(pets, written("image,labels", rows=rows))).notes
    assert note.startswith("warning: these labels are made of others: 'rust scab'; each is a class of its own: give")
    twice = [*rows, (ROWS[0][0], "scab")]
    with pytest.raises(UserError, match="'rust' and, line 10, 'scab': keep one, or give multi_label=True if"):
        scan(csv_file(pets, written("image,labels", rows=twice)))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            "cat|bird fish|dog bird|dog bird",
            "warning: these labels are made of others: 'bird|dog', 'cat|bird', 'fish|dog'",
        ),
        ("1,5 1,7 2,7,5 1", "warning: these labels are made of others: '1 5', '1 7', '2 7 5'"),
        ("cat+dog cat dog owl", "warning: these labels are made of others: 'cat+dog'; each is a class of"),
        ("cat dog NA ?", "warning: '?', 'NA' is trained on as a class"),
        ("1 01 2 3", "warning: these classes differ only in zeros before a number: '01' and '1'"),
    ],
)
def test_labels_that_may_be_meant_otherwise_are_named(pets: Path, names: str, said: str) -> None:
    """Each combination of labels, a gap or a number as text would be a class without a word."""
    labels = [name.replace(",", " ") for name in names.split()]
    rows = [(path, labels[number % 4]) for number, (path, _) in enumerate(ROWS)]
    (note,) = scan(csv_file(pets, written("path,label", rows=rows))).notes
    assert note.startswith(said)


def test_paths_of_masks_are_no_labels(pets: Path) -> None:
    """A table of images and masks would be one of a class for each mask."""
    rows = [(path, f"masks/{number % 3}.png") for number, (path, _) in enumerate(ROWS)]
    with pytest.raises(UserError, match=r"the labels are paths of images, such as 'masks/0\.png', as of masks: name"):
        scan(csv_file(pets, written("image,label", rows=rows)))


def test_validation_and_test_may_be_tables_and_frames(pets: Path, tmp_path: Path) -> None:
    """A user with three tables could not use them."""
    pandas = pytest.importorskip("pandas")
    photos(tmp_path / "held", cat=2, dog=2)
    rows = [(str(tmp_path / "held" / name / file), name) for name in ("cat", "dog") for file in images(2)]
    table = csv_file(tmp_path, written("path,label", rows=list(rows)))
    frame = pandas.DataFrame(rows, columns=["file", "class"])
    assert scan(pets, validation=table).validation_count == 4
    assert scan(pets, validation=frame, test=None).validation_count == 4
    tested = scan(pets, test=frame)
    assert tested.test_paths == [str(path) for path, _ in rows]
    assert (tested.train_count, tested.validation_count, tested.test_count) == (12, 3, 4)
    with pytest.raises(UserError, match="4 images are both for validation and for test"):
        scan(pets, validation=table, test=frame)


@pytest.mark.parametrize(("path_column", "label_column"), [(0, None), (None, 1), (None, ["a", 1]), (None, 1.5)])
def test_a_column_without_a_name_is_refused_in_a_line(path_column: Any, label_column: Any) -> None:
    """`read_csv(header=None)` numbers the columns, and the numbers ended in an error of Python's own."""
    with pytest.raises(UserError, match=r"_column has [01].*, which is no name.*astype\(str\)"):
        asked_of(path_column, label_column, None, multi_label=True)


def test_one_column_in_a_list_is_that_column() -> None:
    """A list of one name was refused for naming one column."""
    assert asked_of(None, ["kind"], None).label_column == "kind"


def test_a_table_of_very_many_columns_costs_no_time() -> None:
    """Each column was looked for among all others: 40,000 of features kept the parent busy for half a minute."""
    header = ["path", "label", *(f"feature_{number}" for number in range(40_000))]
    started = time.process_time()
    assert choose_columns(header, {name: ["x"] for name in header}, asked_of(None, None, None), "table") is not None
    assert time.process_time() - started < 8


def test_very_many_columns_of_labels_that_are_named_cost_no_time() -> None:
    """Each was looked for among all: 40,000 kept the parent busy for a minute."""
    marks = [f"label_{number}" for number in range(40_000)]
    asked = asked_of(None, marks, None, multi_label=True)
    started = time.process_time()
    found = choose_columns(["path", *marks], {name: ["0", "1"] for name in marks}, asked, "table")
    assert found is not None
    assert found.marks == tuple(marks)
    assert time.process_time() - started < 8


def test_a_table_with_very_many_columns_of_labels_is_read(tmp_path: Path) -> None:
    """A line was cut after 64 KiB, and the table said to have no labels; each column was looked for among all."""
    touch(tmp_path, *images(10))
    names = [f"label_{number:05}" for number in range(40_000)]
    rows = [
        (name, *(str(int((place + number) % 4 == 0)) for place in range(40_000)))
        for number, name in enumerate(images(10))
    ]
    table = csv_file(tmp_path, written(",".join(["path", *names]), rows=rows))
    started = time.process_time()
    index = scan(table, asked=MULTI_LABEL)
    assert (index.class_names, len(index.paths)) == (tuple(names), 10)
    assert time.process_time() - started < 20


def test_the_list_of_attributes_of_celeba_is_answered_with_how_to_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list as it is downloaded would be said to have no columns, without a way to give it."""
    touch(tmp_path / "img", *(f"{number:06}.jpg" for number in range(8)))
    rows = [f"{number:06}.jpg {'-1' if number % 2 else ' 1'} {'-1' if number % 3 else ' 1'} " for number in range(8)]
    (tmp_path / "list_attr.txt").write_text("\n".join(["8", "Bald Young ", *rows, ""]))
    with pytest.raises(UserError, match=r"begins with the number of its lines, 8: give autofit\.run\(") as refused:
        scan(tmp_path / "list_attr.txt", asked=MULTI_LABEL)
    call = str(refused.value).partition("autofit.run(")[2].partition(", images_in")[0]
    monkeypatch.chdir(tmp_path)
    frame = eval(call, {"pandas": pd, "FILE": "list_attr.txt"})  # noqa: S307 - of the message itself
    index = scan(frame, asked=asked_of(None, None, "img", multi_label=True))
    assert (index.class_names, len(index.paths)) == (("Bald", "Young"), 8)


def test_the_table_of_chestx_ray14_is_asked_for_its_column_of_labels(tmp_path: Path) -> None:
    """The spacing of its pixels would be the labels: a comma in its last name makes a column `y]` of it."""
    touch(tmp_path, *images(4))
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,OriginalImagePixelSpacing[x,y],"
    labels = ["Edema", "Mass|Edema"] * 2
    rows = [(file, label, "3", "27", "0.143", "0.168", "") for file, label in zip(images(4), labels, strict=True)]
    table = csv_file(tmp_path, written(header, rows=rows))
    with pytest.raises(
        UserError, match=r"has paths in its column 'Image Index', but none .*: name it with label_column="
    ):
        scan(table, asked=MULTI_LABEL)
    asked = asked_of(None, "Finding Labels", None, multi_label=True)
    assert scan(table, asked=asked).class_names == ("Edema", "Mass")
