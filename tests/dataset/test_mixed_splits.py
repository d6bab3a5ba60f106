"""Images that the paths name for several splits, where the data names none: they are mixed, and a line says so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from autofit.dataset.asked import Asked
from autofit.dataset.found import Found
from autofit.dataset.mixed_splits import held_out_folders
from autofit.dataset.scan import scan
from tests.support.datasets import csv_file, touch

SAID = "warning: names of files say for which split they are"


@pytest.mark.parametrize(
    ("folders", "is_said"),
    [
        ("train val test", True),
        ("data/cat/train data/cat/test", True),
        ("seg_train/photos seg_test/photos", True),
        ("train", False),
        ("train_station test_tube", False),
        (" ".join(f"train/{number} test/{number}" for number in range(80)), True),
    ],
)
def test_images_that_a_table_mixes_though_folders_hold_them_apart_are_named(
    tmp_path: Path, folders: str, *, is_said: bool
) -> None:
    """The images on which a benchmark is tested would be trained on, and the accuracy mean nothing."""
    paths = [f"{folder}/{folder.replace('/', '')}{number}.jpg" for folder in folders.split() for number in range(4)]
    touch(tmp_path, *paths)
    rows = [f"{path},{('cat', 'dog')[place % 2]}" for place, path in enumerate(paths)]
    notes = scan(csv_file(tmp_path, "\n".join(["path,label", *rows, ""]))).notes
    assert (
        any("look like splits, and are mixed: give a table with the columns path,label,split" in n for n in notes)
        is is_said
    )
    roles = ["test" if "test" in path else "val" if "val" in path else "train" for path in paths]
    rows = [f"{row},{role}" for row, role in zip(rows, roles, strict=True)]
    assert not any("are mixed" in n for n in scan(csv_file(tmp_path, "\n".join(["path,label,split", *rows, ""]))).notes)


SPLIT = [f"{split}_{number}.jpg" for split, count in (("train", 8), ("test", 4)) for number in range(count)]
LABELS = ("cat", "dog")


@pytest.mark.parametrize(
    ("names", "labels", "is_said"),
    [
        (SPLIT, LABELS, True),
        ([f"COCO_{name.replace('_', '2014_')}" for name in SPLIT], LABELS, True),
        ([f"pets/{name.replace('_', '-a7f')}" for name in SPLIT], LABELS, True),
        ([f"{number}_{split}.png" for split in ("Val", "Train") for number in range(9)], LABELS, True),
        ([*SPLIT, "a.jpg", "b.jpg", "c.jpg"], LABELS, True),
        ([*SPLIT, *(f"IMG_{number}.jpg" for number in range(20))], LABELS, False),
        (SPLIT[:8], LABELS, False),
        ([f"{label}_{number}.jpg" for number in range(9) for label in ("train", "car")], ("train", "car"), False),
        (
            [f"{name}_{number}.jpg" for number in range(9) for name in ("train", "test")],
            ("train car", "test tube"),
            False,
        ),
        ([f"{label}_{number}.jpg" for number in range(9) for label in ("train_station", "test_tube")], "01", False),
        ([f"train_at_test_{number}.jpg" for number in range(9)], LABELS, False),
    ],
)
@pytest.mark.parametrize("form", ["table", "list", "several labels", "folder"])
def test_files_that_are_named_by_splits_are_said_to_be_mixed(
    tmp_path: Path, form: str, names: list[str], labels: tuple[str, ...], *, is_said: bool
) -> None:
    """The images for the test would be trained on, and its accuracy mean nothing; vehicles would be warned of."""
    of_names = [labels[place % 2] for place in range(len(names))]
    if form == "folder":
        names = [f"{label}/{name}" for name, label in zip(names, of_names, strict=True)]
    touch(tmp_path, *names)
    if form == "folder":
        index = scan(tmp_path)
    elif form == "list":
        index = scan([str(tmp_path / name) for name in names], of_names)
    else:
        rows = [f"{name},{label}" for name, label in zip(names, of_names, strict=True)]
        table = csv_file(tmp_path, "\n".join(["path,label", *rows, ""]))
        index = scan(table, asked=Asked(multi_label=form == "several labels"))
    assert [note for note in index.notes if note.startswith(SAID)][1:] == []
    if form == "several labels" and not is_said:
        return  # files that are named by their labels cannot be told there
    assert any(note.startswith(SAID) for note in index.notes) is is_said


def test_one_class_with_images_of_two_splits_is_enough(tmp_path: Path) -> None:
    """Test images of a single class would go unnoticed among the others."""
    names = [f"{label}/train_{number}.jpg" for label in "abcdef" for number in range(9)] + [
        f"a/test_{number}.jpg" for number in range(3)
    ]
    touch(tmp_path, *names)
    assert any(note.startswith(f"{SAID} (54 train, 3 test, such as a/t") for note in scan(tmp_path).notes)


@pytest.mark.parametrize(
    ("classes", "is_said"),
    [
        ({"indoor": ["train_station_{}", "test_lab_{}"], "outdoor": ["park_{}"]}, False),
        ({"indoor": ["train_lab_{}", "test_lab_{}"], "outdoor": ["park_{}"]}, True),
        ({"indoor": ["train-3fa{}bc", "test-be{}ad"], "outdoor": ["park_{}"]}, True),
        ({name: [f"{name}_train_{{}}", f"{name}_test_{{}}"] for name in LABELS}, True),
        ({"train": ["train_{}", "training_{}", "test_{}"], "car": ["car_{}"]}, False),
        ({"vehicle": ["train_{}", "tram_{}"], "car": ["train_{}"], "bus": ["test_0"]}, False),
        ({"vehicle": ["train_{}", "train-{}", "test"], "car": ["car_{}"]}, False),
    ],
)
def test_names_of_what_is_shown_are_not_those_of_splits(
    tmp_path: Path, classes: dict[str, list[str]], *, is_said: bool
) -> None:
    """Photos of stations and laboratories would be said to be of splits that nobody made."""
    names = {
        f"{label}/{form.format(place)}.jpg" for label, forms in classes.items() for form in forms for place in range(9)
    }
    touch(tmp_path, *sorted(names))
    assert any(note.startswith(SAID) for note in scan(tmp_path).notes) is is_said


def test_splits_that_the_data_names_are_not_mixed(tmp_path: Path) -> None:
    """A data set that is understood would be warned of, and the line say how many images of which split there are."""
    touch(tmp_path, *SPLIT)
    roles = [f"{name},{LABELS[place % 2]},{name.partition('_')[0]}" for place, name in enumerate(SPLIT)]
    index = scan(csv_file(tmp_path, "\n".join(["path,label,split", *roles, ""])))
    assert (index.test_count, [note for note in index.notes if note.startswith(SAID)]) == (4, [])
    rows = [row.rpartition(",")[0] for row in roles]
    (note,) = scan(csv_file(tmp_path, "\n".join(["path,label", *rows, ""]))).notes
    assert note.startswith(f"{SAID} (8 train, 4 test, such as train_0.jpg and test_0.jpg), and these are mixed: give")
    folders = [f"{name.partition('_')[0]}/{LABELS[place % 2]}/{name}" for place, name in enumerate(SPLIT)]
    touch(tmp_path / "photos", *folders)
    assert scan(tmp_path / "photos").test_count == 4


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ("cat/test dog/test", "12 images lie in folders called 'test', such as cat/test, and are mixed"),
        ("cat/Val dog/Val owl/1", "such as cat/Val"),
        ("cat/test/1 dog/test/2 owl/test/1", "18 images lie in folders called 'test', such as cat/test/1"),
        ("cat/test", ""),
        ("cat/test_tube dog/test_tube", ""),
        ("cat/valid cat/invalid dog/valid dog/invalid", ""),
        ("cat/test1 cat/test2 cat/test3 dog/test1 dog/test4", ""),
        ("cat/test_1 dog/test_1 dog/test_2 dog/test", ""),
        ("cat/test2014 dog/test2014", "12 images lie in folders called 'test2014'"),
        ("cat/dev0 dog/dev0", ""),
        ("cat/dev dog/dev", ""),
        ("cat/dev dog/dev owl/train", ""),
        ("cat/dev dog/dev dog/train", ""),
    ],
)
@pytest.mark.parametrize("form", ["folder", "table"])
def test_images_held_out_within_class_folders_are_named(tmp_path: Path, form: str, paths: str, expected: str) -> None:
    """Images that were set apart class by class would be trained on without a word."""
    within = [f"{path}/{number}.jpg" for path in paths.split() for number in range(6)]
    beside = [f"{name}/photo{number}.jpg" for name in ("cat", "dog", "owl") for number in range(9)]
    touch(tmp_path / "data", *within, *beside)
    rows = [f"data/{path},{path[:3]}" for path in (*within, *beside)]
    table = csv_file(tmp_path, "\n".join(["path,label", *rows, ""]))
    notes = scan(tmp_path / "data" if form == "folder" else table).notes
    found = [note for note in notes if "images lie in folders called" in note]
    assert len(found) == bool(expected)
    assert all(expected in note.replace("data/", "") for note in found)


def test_folders_that_hold_all_images_say_nothing(tmp_path: Path) -> None:
    """All photos in `/home/dev/photos` would seem to be held out."""
    touch(tmp_path, *(f"dev/{label}/{number}.jpg" for label in LABELS for number in range(6)))
    assert not scan(tmp_path).notes[1:]
    rows = [f"dev/{label}/{number}.jpg,{label}" for label in LABELS for number in range(6)]
    assert not scan(csv_file(tmp_path, "\n".join(["path,label", *rows, ""]))).notes


def test_very_many_folders_are_looked_at_once() -> None:
    """A data set with a folder for each test of a patient would take hours to be scanned."""
    numbers = range(20_000)
    classes = {
        label: [f"{label}/test{number}/{place}.jpg" for number in numbers for place in (1, 2)] for label in LABELS
    }
    began = time.process_time()
    assert held_out_folders(Found(classes)) is None
    held = {label: [*paths, *(f"{label}/test/{place}.jpg" for place in range(9))] for label, paths in classes.items()}
    assert (held_out_folders(Found(held)) or "").startswith("warning: 18 images lie in folders called 'test', such as")
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("above", "is_said"),
    [("home/me/dev", False), ("srv/test/shared", False), ("srv/val/shared/7", False), ("test", True)],
)
def test_folders_far_above_a_list_may_be_called_anything(tmp_path: Path, above: str, *, is_said: bool) -> None:
    """Photos of several drives would be said to be held out for the name of a home."""
    paths = [f"{place}/{label}/{number}.jpg" for place in (above, "usb") for label in LABELS for number in range(6)]
    touch(tmp_path, *paths)
    notes = scan([str(tmp_path / path) for path in paths], [path.split("/")[-2] for path in paths]).notes
    assert any("images lie in folders called" in note for note in notes) is is_said


def test_a_dev_beside_a_train_is_held_out() -> None:
    """The usual name of validation images in some fields would go unnoticed."""
    classes = {label: [f"{label}/{split}/1.jpg" for split in ("dev", "train")] for label in LABELS}
    said = held_out_folders(Found(classes)) or ""
    assert said.startswith("warning: 2 images lie in folders called 'dev', such as cat/dev, and are mixed")
