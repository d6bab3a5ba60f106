"""Lists of names without a suffix are read where the files leave no doubt, and refused where anything else is meant."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from autofit.dataset import asked_of, scan
from autofit.dataset.flat_images import are_images_by_name
from autofit.dataset.index import ImageIndex
from autofit.errors import UserError
from tests.support.datasets import failing_stat, labelled, touch

NAMES = [f"00343{number:02}" for number in range(10)]
LABELS = ["Boeing 707-320", "A300"] * 5
ROWS = list(zip(NAMES, LABELS, strict=True))


@pytest.fixture
def aircraft(tmp_path: Path) -> Path:
    """Photos in a folder beside their list."""
    touch(tmp_path / "data" / "images", *(f"{name}.jpg" for name in NAMES))
    return tmp_path / "data"


def read(folder: Path, lines: list[str], name: str = "images_train.txt", **options: Any) -> ImageIndex:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return scan(path, **options)


def frame_of(error: UserError, pandas: Any) -> Any:
    """The table of the call that an error names."""
    call = str(error).partition("autofit.run(")[2].partition(", images_in")[0]
    return eval(call, {"pandas": pandas, "FILE": "images_train.txt"})  # noqa: S307 - of the message itself


@pytest.mark.parametrize("between", [" ", "\t", ",", ", ", ";", "|"])
def test_names_and_labels_are_understood(aircraft: Path, between: str) -> None:
    """The lists of FGVC-Aircraft would have to be written again, with a suffix at each name."""
    index = read(aircraft, [f"{name}{between}{label}" for name, label in ROWS])
    assert labelled(index) == {f"images/{name}.jpg": label for name, label in ROWS}
    assert "the table has no names of columns: each line is a path and a label" in index.notes


def test_the_folder_of_the_images_may_be_given(aircraft: Path, tmp_path: Path) -> None:
    """A list in a folder of its own would not be known as one."""
    lines = [f"{name} {number % 2 + 1}" for number, name in enumerate(NAMES)]
    with pytest.raises(UserError, match="if it lists names of images, give images_in= as well"):
        read(tmp_path / "annotations", lines)
    asked = asked_of(None, None, aircraft / "images")
    assert read(tmp_path / "annotations", lines, asked=asked).class_names == ("1", "2")


@pytest.mark.parametrize("is_given", [False, True])
def test_a_list_whose_images_are_not_found_says_so(aircraft: Path, tmp_path: Path, *, is_given: bool) -> None:
    """A user of FGVC-Aircraft would hear of the columns of a CSV file, and not that only the folder is to be named."""
    lines = [f"{name} {label}" for name, label in ROWS]
    (tmp_path / "empty").mkdir()
    asked = asked_of(None, None, tmp_path / "empty" if is_given else None)
    where, which = (f"in {tmp_path / 'empty'}", "another") if is_given else ("beside it", "the")
    said = (
        f"{tmp_path / 'lists' / 'images_train.txt'} begins with '0034300 Boeing 707-320': if this is the name of an "
        f"image and its label, the image is not {where}, nor in a folder there; give {which} folder of the images "
        "with images_in="
    )
    with pytest.raises(UserError) as refused:
        read(tmp_path / "lists", lines, asked=asked)
    assert str(refused.value) == said
    found = read(tmp_path / "lists", lines, asked=asked_of(None, None, aircraft / "images"))
    assert len(found.paths) == len(ROWS)


@pytest.mark.parametrize(
    "lines",
    [
        ["1 Boeing", "2 Airbus", "3 Fokker"],
        ["1. Unpack the archive", "2. Read this"],
        ["some words of a text", "other words of a text"],
        ["a1 A300", "a1 A300"],
    ],
    ids=["names of classes", "numbered text", "text", "a name twice"],
)
def test_what_is_no_list_of_names_is_not_said_to_lack_images(tmp_path: Path, lines: list[str]) -> None:
    """A user would look for the images of a text."""
    with pytest.raises(UserError, match="is no CSV file with the columns path,label"):
        read(tmp_path / "lists", lines)


def test_a_list_may_be_that_of_another_split(aircraft: Path) -> None:
    """A benchmark's own validation would have to be written again."""
    held = aircraft / "images_val.txt"
    held.write_text("".join(f"{name} {label}\n" for name, label in ROWS[:2]))
    index = read(aircraft, [f"{name} {label}" for name, label in ROWS[2:]], validation=held)
    assert (index.train_count, index.validation_count) == (8, 2)


def test_a_few_names_may_have_no_file(aircraft: Path) -> None:
    """A photo that is gone would make a list of thousands something else."""
    index = read(aircraft, [*(f"{name} {label}" for name, label in ROWS), "0099999 A300"])
    assert len(index.paths) == 11
    assert any("1 of 11 listed files do not exist" in note and "(line 11)" in note for note in index.notes)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENAMETOOLONG])
def test_a_drive_that_fails_is_named(aircraft: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The list would be called no table, since the first of its names is not found."""
    monkeypatch.setattr(os, "stat", failing_stat(f"{NAMES[0]}.jpg", code))
    with pytest.raises(UserError, match=rf"0034300, a name in the list, cannot be read \({os.strerror(code)}\): "):
        read(aircraft, [f"{name} {label}" for name, label in ROWS], asked=asked_of(None, None, aircraft / "images"))


def test_a_drive_that_fails_once_is_no_second_folder(aircraft: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that is found after all would be said to be in images/ and in images/, and the list be refused."""
    monkeypatch.setattr(os, "stat", failing_stat(f"{NAMES[5]}.jpg", times=1))
    index = read(aircraft, [f"{name}.jpg {label}" for name, label in ROWS])
    assert labelled(index) == {f"images/{name}.jpg": label for name, label in ROWS}
    monkeypatch.setattr(os, "stat", failing_stat(f"{NAMES[5]}.jpg", times=1))
    with pytest.raises(UserError, match=r"0034305, a name in the list, cannot be read \(Input/output error\): "):
        read(aircraft, [f"{name} {label}" for name, label in ROWS[:6]])


def test_a_long_word_is_no_name_of_an_image(aircraft: Path) -> None:
    """A text would be refused for a path that is too long for its drive."""
    with pytest.raises(UserError, match="is no CSV file with the columns path,label"):
        read(aircraft, [f"{'o' * 256}h what a word", "o what a word"])


@pytest.mark.parametrize(
    "lines",
    [
        [f"{name} {other}" for name, other in zip(NAMES, reversed(NAMES), strict=True)],
        [f"{label} {name}" for label, name in zip("1212121212", NAMES, strict=True)],
        [f"{name} 1 {number % 2} 3" for number, name in enumerate(NAMES)],
        [f"gone{name} {label}" if number % 3 == 1 else f"{name} {label}" for number, (name, label) in enumerate(ROWS)],
        ["photo kind", *(f"{name} {label}" for name, label in ROWS)],
        [*(f"{name} {label}" for name, label in ROWS), NAMES[0]],
        ["images A300", *(f"{name} {label}" for name, label in ROWS)],
    ],
    ids=["pairs", "label first", "several figures", "a third is gone", "other names", "a name alone", "a folder"],
)
def test_what_may_mean_something_else_is_no_such_list(aircraft: Path, lines: list[str]) -> None:
    """Pairs of images, classes of several columns or a text of two words would be trained on."""
    with pytest.raises(UserError, match=r"not with the names of its columns|no CSV file with the columns"):
        read(aircraft, lines)


def test_images_of_two_suffixes_are_none(aircraft: Path) -> None:
    """Masks beside the photos, or what else has these names, would be trained on."""
    for name in NAMES[5:]:
        (aircraft / "images" / f"{name}.jpg").rename(aircraft / "images" / f"{name}.png")
    with pytest.raises(UserError, match="no CSV file with the columns"):
        read(aircraft, [f"{name} {label}" for name, label in ROWS])


def test_a_list_of_several_columns_is_answered_with_how_to_read_one(
    aircraft: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lists of Oxford-IIIT Pet would have to be written again, and the way out that is named be none."""
    pandas = pytest.importorskip("pandas")
    lines = [f"{name} {number % 2 + 1} 1 {number % 2 + 1}" for number, name in enumerate(NAMES)]
    with pytest.raises(
        UserError, match=r"or give the two columns that are meant: autofit\.run\((.*), images_in=F"
    ) as no:
        read(aircraft, lines)
    monkeypatch.chdir(aircraft)
    index = scan(frame_of(no.value, pandas), asked=asked_of(None, None, "images"))
    assert labelled(index) == {f"images/{name}.jpg": str(number % 2 + 1) for number, name in enumerate(NAMES)}


@pytest.mark.parametrize("suffix", [".jpg", ""])
def test_a_list_of_paths_alone_is_answered_with_how_to_take_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """The lists of Food-101, DTD and SUN397 were said to lack the names of columns, which would not help."""
    pandas = pytest.importorskip("pandas")
    files = [f"{label}/{name}" for label in ("apple_pie", "waffles") for name in NAMES]
    touch(tmp_path / "images", *(f"{file}.jpg" for file in files))
    with pytest.raises(
        UserError, match=r"begins with 'apple_pie/.*', a path without a label: if each image is in"
    ) as no:
        read(tmp_path, [file + suffix for file in files])
    monkeypatch.chdir(tmp_path)
    index = scan(frame_of(no.value, pandas), asked=asked_of(None, None, "images"))
    assert labelled(index) == {f"images/{file}.jpg": file.split("/")[0] for file in files}


def test_a_list_of_names_alone_lacks_labels(aircraft: Path) -> None:
    """A user would write names of columns above it, and hear then that one is missing."""
    with pytest.raises(
        UserError, match=r"begins with '0034300\.jpg', a path without a label: write a label behind each"
    ):
        read(aircraft, [f"{name}.jpg" for name in NAMES])


NAMES_AND_CLASSES = [
    (("a1", "a2", "b1"), ("cat", "cat", "dog")),
    (("a1", "a2", "b"), ("cat", "cat", "dog")),
    (("a1", "a2", "a1"), ("cat", "cat", "dog")),
    (("a1", "a2", "b1"), ("cat", "dog", "owl")),
]


def test_images_by_name_have_numbers_and_classes_that_recur() -> None:
    """Another text beside the images would be offered as their table, or refused as a list without them."""
    assert [are_images_by_name(names, labels) for names, labels in NAMES_AND_CLASSES] == [True, False, False, False]
