"""Lists of splits beside the data are named, since nothing follows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from autofit.dataset.scan import scan
from tests.support.datasets import csv_file, images, photos, touch

SAID = "lists of splits lie beside the images and are not followed: "


def said(notes: tuple[str, ...]) -> str:
    """Which lists are named; empty for none."""
    (line,) = [note for note in notes if note.startswith(SAID)] or [SAID]
    return line.removeprefix(SAID).partition(";")[0]


@pytest.mark.parametrize(
    ("above", "lists", "expected"),
    [
        ("images", "meta/train.txt meta/test.txt meta/classes.txt", "meta/test.txt and meta/train.txt"),
        (".", "train.csv validation.csv test.csv", "test.csv, train.csv and validation.csv"),
        ("set/set", "set/set/train_list.mat set/set/test_list.mat", "test_list.mat and train_list.mat"),
        (".", "labels/train1.txt labels/val1.txt", "labels/train1.txt and labels/val1.txt"),
        ("img", "Eval/list_eval_partition.txt", "Eval/list_eval_partition.txt"),
        (".", "split_zhou.json", "split_zhou.json"),
        (".", "train.csv", ""),
        (".", "val.csv test.csv", ""),
        (".", "readme.txt train_notes.txt test_report.txt", ""),
        (".", "cat/train.txt cat/test.txt", ""),
        (".", "train_labels.csv test_labels.csv", "test_labels.csv and train_labels.csv"),
        (".", "annotations_train.json annotations_val.json", "annotations_train.json and annotations_val.json"),
        (".", "train_loss.csv val_loss.csv train_list.txt test_list.txt", "test_list.txt and train_list.txt"),
        (".", "train_loss.csv val_loss.csv", ""),
        (".", "config_train.json config_test.json", ""),
        (".", "train_features.csv test_features.csv", ""),
        (".", "splitwise_export.csv", ""),
        (".", "data_splits.json", ""),
    ],
)
def test_lists_beside_class_folders_are_named(tmp_path: Path, above: str, lists: str, expected: str) -> None:
    """The images on which a benchmark is tested would be trained on, and nobody know that a list tells them apart."""
    photos(tmp_path / above, cat=5, dog=5)
    touch(tmp_path, *lists.split())
    assert said(scan(tmp_path).notes) == expected


def test_lists_beside_a_folder_of_images_are_named(tmp_path: Path) -> None:
    """Who gives `food-101/images` would not be told of `food-101/meta/test.txt`."""
    photos(tmp_path / "images", cat=5, dog=5)
    for name in ("pets", "Pictures"):
        photos(tmp_path / name, cat=5, dog=5)
    touch(tmp_path, "meta/train.txt", "meta/test.txt")
    assert said(scan(tmp_path / "images").notes) == "meta/test.txt and meta/train.txt"
    assert not said(scan(tmp_path / "pets").notes)
    assert not said(scan(tmp_path / "Pictures").notes)  # a home is no data set


def test_lists_beside_a_table_are_named(tmp_path: Path) -> None:
    """A table of all labels would be split by chance, though another says which images are for the test."""
    touch(tmp_path, *images(8), "list_eval_partition.csv", "partition.csv")
    rows = "".join(f"{name},{('cat', 'dog')[place % 2]}\n" for place, name in enumerate(images(8)))
    table = csv_file(tmp_path, f"path,label\n{rows}")
    assert said(scan(table).notes) == "list_eval_partition.csv and partition.csv"
    assert said(scan(table.rename(tmp_path / "partition.csv")).notes) == "list_eval_partition.csv"
    assert not said(scan((tmp_path / "partition.csv").rename(tmp_path / "train.csv")).notes)


def test_data_that_is_split_otherwise_needs_no_list(tmp_path: Path) -> None:
    """A line about what was followed, or chosen, would send its user to make a table."""
    touch(tmp_path, "train.txt", "test.txt")
    photos(tmp_path / "train", cat=5, dog=5)
    photos(tmp_path / "test", cat=5, dog=5)
    assert not said(scan(tmp_path).notes)
    touch(tmp_path / "train", "train.txt", "test.txt")
    assert said(scan(tmp_path / "train").notes)
    assert not said(scan(tmp_path / "train", test=tmp_path / "test").notes)


def test_tables_beside_a_folder_of_a_split_are_no_lists_that_are_not_followed(tmp_path: Path) -> None:
    """Kaggle's usual layout, whose test images have no labels, would be said not to be followed, though it is."""
    photos(tmp_path / "train", cat=5, dog=5)
    touch(tmp_path, "test/1.jpg", "test/2.jpg", "train.csv", "test.csv")
    index = scan(tmp_path)
    assert index.class_names == ("cat", "dog")
    assert not said(index.notes)
