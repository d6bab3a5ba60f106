"""Images that are listed one by one become classes, or are refused in one line."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from autofit.dataset import scan
from autofit.errors import UserError
from tests.support.datasets import csv_file, images, labelled, touch


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
    ],
)
def test_a_label_that_is_none_is_refused_by_its_place(pets: Path, label: object, problem: str) -> None:
    """A gap in a table would become a class of its own."""
    with pytest.raises(UserError, match=rf"item 1 of the labels: the label .*{problem}"):
        scan([str(pets / "cat" / file) for file in images(3)], [0, label, 1])


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
