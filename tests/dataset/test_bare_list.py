"""Lists without names of columns: a path and a label in each line, and nothing that may mean something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from autofit.dataset import asked_of, scan
from autofit.dataset.bare_list import mark_of_list
from autofit.dataset.index import ImageIndex
from autofit.errors import UserError
from tests.support.datasets import csv_file, images, labelled, touch

ROWS = [(f"{name}/{file}", name) for name in ("cat", "dog") for file in images(5)]
MULTI_LABEL = asked_of(None, None, None, multi_label=True)


def read(folder: Path, lines: list[str], **options: object) -> ImageIndex:
    return scan(csv_file(folder, "\n".join(lines)), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("between", [" ", "\t", "   ", ",", ", ", ";", " | "])
@pytest.mark.parametrize("end", ["", "\r", " "])
def test_a_path_and_a_label_in_each_line_are_understood(pets: Path, between: str, end: str) -> None:
    """The lists of many benchmarks would have to be written again, with names of columns in a line above them."""
    index = read(pets, ["", *(f"{path}{between}{name}{end}" for path, name in ROWS), ""])
    assert labelled(index) == dict(ROWS)
    assert index.notes == ("the table has no names of columns: each line is a path and a label",)


def test_labels_may_be_numbers_or_have_blanks(pets: Path) -> None:
    """Class 10 would come before class 2, or the second word of a class be lost."""
    assert read(pets, [f"{path} {2 + 8 * (name == 'cat')}" for path, name in ROWS]).class_names == ("2", "10")
    assert read(pets, [f"{path} big {name}" for path, name in ROWS]).class_names == ("big cat", "big dog")


def test_a_list_may_be_that_of_another_split(pets: Path, tmp_path: Path) -> None:
    """A benchmark's own validation would have to be written again."""
    held = tmp_path / "val.txt"
    held.write_text("".join(f"pets/{path} {name}\n" for path, name in ROWS[::5]))
    rest = [f"{path} {name}" for path, name in ROWS if (path, name) not in ROWS[::5]]
    index = read(pets, rest, validation=held)
    assert (index.train_count, index.validation_count) == (8, 2)


@pytest.mark.parametrize(
    ("name", "labels", "is_refused"),
    [
        ("list_eval_partition.txt", "0 1 2", True),
        ("train_test_split.txt", "0 1", True),
        ("images.txt", "train val test", True),
        ("train_split.txt", "0 1", False),
        ("list_eval_partition.txt", "0 1 2 3", False),
        ("list_eval_partition.txt", "cat dog", False),
        ("images.txt", "0 1", False),
        ("images.txt", "train car", False),
    ],
)
@pytest.mark.parametrize("multi_label", [False, True])
def test_a_list_of_splits_is_none_of_classes(
    pets: Path, name: str, labels: str, *, is_refused: bool, multi_label: bool
) -> None:
    """A network would learn to tell CelebA's images for training from those for the test."""
    meant = [labels.split()[number % len(labels.split())] for number in range(len(ROWS))]
    (pets / name).write_text("".join(f"{path} {label}\n" for (path, _), label in zip(ROWS, meant, strict=True)))
    asked = asked_of(None, None, None, multi_label=multi_label)
    if is_refused:
        with pytest.raises(UserError, match=rf"{name} seems to say which split an image is in \({min(labels.split())}"):
            scan(pets / name, asked=asked)
    else:
        assert scan(pets / name, asked=asked).class_names == tuple(sorted(labels.split()))


def test_several_labels_may_stand_behind_a_path(pets: Path) -> None:
    """The numbers of an image's labels would be one class of their own, and 0 and 1 be names of labels."""
    numbered = [(number, path) for number, (path, _) in enumerate(ROWS)]
    index = read(pets, [f"{path} {number % 3} {3 + number % 2}" for number, path in numbered], asked=MULTI_LABEL)
    assert index.class_names == ("0", "1", "2", "3", "4")
    with pytest.raises(UserError, match="not with the names of its columns"):
        read(pets, [f"{path} 1 0 {number % 2}" for number, path in numbered], asked=MULTI_LABEL)


def test_a_later_line_that_is_none_is_named(pets: Path) -> None:
    """Half of a line would be a label, or the rest of the list be left out."""
    rows = [f"{path},{name}" for path, name in ROWS] * 101
    with pytest.raises(UserError, match=r"line 1011: 'cat/0000\.jpg,cat,7' is not a path and a label, as the lines"):
        read(pets, [*rows, "cat/0000.jpg,cat,7"])


def test_a_column_that_is_named_needs_names(pets: Path) -> None:
    """The label would be taken where the user has named another column."""
    with pytest.raises(UserError, match=r"has not one column 'kind': its columns are 'cat/0000\.jpg', 'cat'"):
        read(pets, [f"{path},{name}" for path, name in ROWS], asked=asked_of(None, "kind", None))
    with pytest.raises(UserError, match=r"begins with 'cat/0000\.jpg cat' and not with the names of its columns"):
        read(pets, [f"{path} {name}" for path, name in ROWS], asked=asked_of(None, "kind", None))


@pytest.mark.parametrize(
    "lines",
    [
        ["a.jpg"],
        ["1 a.jpg"],
        ["a.jpg 1 2", "b.jpg 3 4"],
        ["a.jpg b.jpg", "c.jpg d.jpg"],
        ["a.jpg,cat,3"],
        ["a.jpg cat", "b.jpg,dog"],
        ["a.jpg cat", "b dog"],
        ['"a.jpg",cat'],
        ["a.jpg ,"],
        ["path label", "a.jpg cat"],
        ["a.jpg\tcat\t0 0 9 9", "b.jpg\tdog\t0 0 9 9"],
        ["a.jpg a cat 0 0 9 9.5"],
        [],
        ["  "],
    ],
)
def test_what_may_mean_something_else_is_no_such_list(lines: list[str]) -> None:
    """Pairs of images, numbers of boxes or lines of two forms would be trained on as classes."""
    assert mark_of_list(lines, multi_label=False) is None


@pytest.mark.parametrize("separator", ["\t", " ", ","])
def test_boxes_behind_the_labels_are_no_part_of_them(
    pets: Path, monkeypatch: pytest.MonkeyPatch, separator: str
) -> None:
    """Each image of Tiny ImageNet's validation would be of a class of its own: its label, and the sides of its box."""
    pandas = pytest.importorskip("pandas")
    lines = [separator.join((path, name, "0", str(number), "44", "62")) for number, (path, name) in enumerate(ROWS)]
    with pytest.raises(UserError, match=r"not with the names of its columns.*, or give the two columns that are") as no:
        read(pets, lines)
    call = str(no.value).partition("autofit.run(")[2].partition(", images_in")[0]
    monkeypatch.chdir(pets)
    frame = eval(call, {"pandas": pandas, "FILE": "list.csv"})  # noqa: S307 - of the message itself
    assert labelled(scan(frame)) == dict(ROWS)


def test_names_of_classes_may_end_in_figures(pets: Path) -> None:
    """The classes of Stanford Cars, which end in a year, would be taken for boxes."""
    index = read(pets, [f"{path}\t{name} 3 Sedan 2012" for path, name in ROWS])
    assert index.class_names == ("cat 3 Sedan 2012", "dog 3 Sedan 2012")


def test_a_long_line_costs_no_time() -> None:
    """A stranger's file would keep the parent busy for minutes."""
    assert mark_of_list(["a.jpg," + " " * 2**20 + "x,"], multi_label=False) is None
    assert mark_of_list(["a.jpg" * 2**18], multi_label=False) is None


@pytest.mark.parametrize(
    ("labels", "is_refused"),
    [
        ("cat train,cat test,dog train,dog test", True),
        ("cat train,dog train,cat val,owl train", True),
        ("bullet train,passenger train,old train,new train", False),
        ("cat train,cat test,dog train,owl", False),
    ],
)
def test_a_split_behind_the_label_is_no_part_of_it(tmp_path: Path, labels: str, *, is_refused: bool) -> None:
    """A list with blanks between path, class and split would have the classes `cat train` and `cat test`."""
    rows = [(f"{number}.jpg", label) for number, label in enumerate(2 * labels.split(","))]
    touch(tmp_path, *(path for path, _ in rows))
    table = csv_file(tmp_path, "".join(f"{path} {label}\n" for path, label in rows))
    if is_refused:
        with pytest.raises(UserError, match=r"the labels end in the names of splits, such as 'cat (test|train)' and"):
            scan(table)
    else:
        assert len(scan(table).class_names) == len(rows) / 2
