"""The lists of CUB-200, which say of each id a path, a class and a split, are joined, or the bad line is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autofit.dataset import asked_of, scan
from autofit.errors import UserError
from tests.support.datasets import failing_stat, images, labelled, touch

FILES = [f"{name}/{file}" for name in ("001.Albatross", "002.Auklet") for file in images(5)]
CLASSES = "1 001.Albatross\n2 002.Auklet\n"


def lists(folder: Path, **changed: str) -> Path:
    """The lists beside a folder of the images; returns that of the paths."""
    touch(folder / "images", *FILES)
    numbered = list(enumerate(FILES, 1))
    texts = {
        "images": "".join(f"{number} {file}\n" for number, file in numbered),
        "image_class_labels": "".join(f"{number} {1 + (number > 5)}\n" for number, _ in numbered),
        "train_test_split": "".join(f"{number} {int(number % 5 > 0)}\n" for number, _ in numbered),
        "classes": CLASSES,
    } | changed
    for name, text in texts.items():
        if text:
            (folder / f"{name}.txt").write_text(text)
    return folder / "images.txt"


def test_the_lists_are_joined(tmp_path: Path) -> None:
    """The test images of the benchmark would be trained on, since the folder of its images has no splits."""
    index = scan(lists(tmp_path))
    said = "the data has lists with a split of its own: give images.txt in place of the folder to follow it"
    assert said in scan(tmp_path).notes
    assert index.class_names == ("001.Albatross", "002.Auklet")
    assert (index.train_count, index.validation_count) == (6, 2)
    assert index.test_paths == ["images/001.Albatross/0004.jpg", "images/002.Auklet/0004.jpg"]
    assert index.notes == (
        "the labels are those of image_class_labels.txt, the splits those of train_test_split.txt",
        "listed images are in images/",
    )


def test_names_of_classes_and_splits_may_be_missing(tmp_path: Path) -> None:
    """A list that somebody has left out would be missed only by a traceback, and two classes of one name be one."""
    index = scan(lists(tmp_path / "a", classes="", train_test_split=""))
    assert (index.class_names, len(index.paths), index.test_paths) == (("1", "2"), 10, [])
    assert scan(lists(tmp_path / "b", classes="1 gull\n2 gull\n")).class_names == ("1", "2")


def test_ids_may_be_words(tmp_path: Path) -> None:
    """NABirds numbers its images by text."""
    path = lists(tmp_path)
    for name in ("images", "image_class_labels", "train_test_split"):
        list_ = tmp_path / f"{name}.txt"
        list_.write_text("".join(f"id-{line}\n" for line in list_.read_text().splitlines()))
    assert set(labelled(scan(path)).values()) == {"001.Albatross", "002.Auklet"}


def test_each_image_has_one_label_with_multi_label_too(tmp_path: Path) -> None:
    """A name with a blank or a comma would be several labels."""
    path = lists(tmp_path, classes="1 Gull, Herring\n2 Auklet\n")
    assert scan(path, asked=asked_of(None, None, None, multi_label=True)).class_names == ("Auklet", "Gull, Herring")


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"image_class_labels": "1 1\n2 1\n"}, r"images\.txt, line 3: no line of image_class_labels\.txt begins with"),
        ({"image_class_labels": "1 1\n1 2\n"}, r"image_class_labels\.txt, line 2: the id '1' is there twice"),
        ({"image_class_labels": "1 1\n2\n"}, r"image_class_labels\.txt, line 2: '2' is not an id and what is said"),
        ({"train_test_split": "1 1\n"}, r"images\.txt, line 2: train_test_split\.txt says None of its id, neither 0"),
        ({"train_test_split": "1 yes\n"}, r"images\.txt, line 1: train_test_split\.txt says 'yes' of its id, neither"),
        ({"images": "1 gone.jpg\n2 gone2.jpg\n"}, "2 of 2 listed files do not exist"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, changed: dict[str, str], problem: str) -> None:
    """An image would be left out, or trained on with the class of another."""
    with pytest.raises(UserError, match=problem):
        scan(lists(tmp_path, **changed))


@pytest.mark.parametrize("name", ["image_class_labels.txt", "train_test_split.txt"])
def test_a_list_that_cannot_be_looked_for_is_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A drive that fails for a moment would let the test images be trained on."""
    path = lists(tmp_path)
    monkeypatch.setattr(os, "stat", failing_stat(name))
    with pytest.raises(UserError, match=rf"{name} cannot be read \(Input/output error\)"):
        scan(path)


def test_other_lists_of_this_name_are_read_as_before(tmp_path: Path) -> None:
    """A list of paths and labels that is called images.txt would be refused."""
    touch(tmp_path, *(f"{number}.jpg" for number in range(6)))
    (tmp_path / "images.txt").write_text("".join(f"{number}.jpg {number % 2}\n" for number in range(6)))
    assert scan(tmp_path / "images.txt").class_names == ("0", "1")
    with pytest.raises(UserError, match="has no names of columns: leave path_column= and the like out"):
        scan(lists(tmp_path / "joined"), asked=asked_of(None, "label", None))
