"""`scan` turns what a user gives into an index, or refuses it in one line."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autofit.dataset import ImageIndex, asked_of, scan
from autofit.dataset.labelled import labelled_images
from autofit.errors import UserError
from tests.support.datasets import camera_roll, csv_file, images, photos, touch, traced, validating


def test_paths_with_a_tilde_are_expanded(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~/photos` in a notebook, in a CSV or as the validation folder would not be found."""
    monkeypatch.setenv("HOME", str(pets.parent))
    photos(pets.parent / "held", cat=1)
    rows = "".join(f"~/pets/{name}/{file},{name}\n" for name in ("cat", "dog") for file in images(3))
    listing = csv_file(pets, f"path,label\n{rows}")
    assert scan("~/pets").root == str(pets)
    assert scan("~/pets", validation="~/held").validation_count == 1
    assert scan(listing).paths[0].startswith("cat/")
    assert len(scan([f"~/pets/{n}/{f}" for n in ("cat", "dog") for f in images(2)], [0, 0, 1, 1]).paths) == 4


def test_a_relative_folder_becomes_absolute(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker, which runs in another folder, would not find the images."""
    monkeypatch.chdir(pets.parent)
    assert scan("pets").root == str(pets)
    assert scan(Path("pets") / ".." / "pets").root == str(pets)


def test_validation_of_zero_leaves_the_validation_folder_out(tmp_path: Path) -> None:
    """A user who asks for no validation would get one."""
    photos(tmp_path / "train", cat=3, dog=4)
    photos(tmp_path / "val", cat=1, dog=1)
    assert scan(tmp_path, validation=0).validation_count == 0


def test_a_validation_folder_that_is_asked_for_is_taken_before_the_one_beside(tmp_path: Path) -> None:
    """What the user named would be overruled by what lies there."""
    photos(tmp_path / "data" / "train", cat=3, dog=4)
    photos(tmp_path / "data" / "val", cat=1, dog=1)
    photos(tmp_path / "other", dog=2)
    assert validating(scan(tmp_path / "data", validation=tmp_path / "other")) == [
        f"{tmp_path}/other/dog/{file}" for file in images(2)
    ]


def test_a_validation_folder_uses_the_numbers_of_the_training_classes(pets: Path, tmp_path: Path) -> None:
    """With other class numbers the accuracy on validation would be nonsense."""
    photos(tmp_path / "held", dog=2)
    index = scan(pets, validation=tmp_path / "held")
    assert index.train_count == 15
    assert list(index.labels[15:]) == [1, 1]
    assert validating(index) == [str(tmp_path / "held" / "dog" / file) for file in images(2)]


def test_a_validation_folder_may_have_one_class_that_is_divided(pets: Path, tmp_path: Path) -> None:
    """The folder `2019` in the only class would be called a class that training does not have."""
    photos(tmp_path / "held" / "dog", **{"2019": 1, "2020": 2})
    assert list(scan(pets, validation=tmp_path / "held").labels[15:]) == [1, 1, 1]


def test_a_validation_folder_inside_the_data_is_no_class(pets: Path) -> None:
    """The images held out would be trained on as a class of their own."""
    photos(pets / "held", cat=2)
    index = scan(pets, validation=pets / "held")
    assert index.class_names == ("cat", "dog")
    assert validating(index) == ["held/cat/0000.jpg", "held/cat/0001.jpg"]


def test_a_list_may_have_a_validation_folder(pets: Path, tmp_path: Path) -> None:
    """Whole-number labels and folder names would not be brought together."""
    photos(tmp_path / "held", **{"0": 1, "10": 2})
    paths = [str(pets / "cat" / file) for file in images(4)]
    index = scan(paths, [10, 10, 0, 0], validation=str(tmp_path / "held"))
    assert list(index.labels[4:]) == [0, 1, 1]


def test_an_unknown_class_in_the_validation_folder_is_refused(pets: Path, tmp_path: Path) -> None:
    """Its images would have no class number."""
    photos(tmp_path / "held", cat=1, fox=1, hen=0)
    with pytest.raises(UserError, match=r"held has the class 'fox'"):
        scan(pets, validation=tmp_path / "held")


def test_an_empty_validation_folder_is_refused(pets: Path, tmp_path: Path) -> None:
    """The run would validate on nothing."""
    touch(tmp_path / "held", "cat/a.txt")
    with pytest.raises(UserError, match=r"held holds no images \(1 other files\)"):
        scan(pets, validation=tmp_path / "held")


def test_training_images_are_not_validated_on(pets: Path) -> None:
    """The validation accuracy would be that of training, unnoticed."""
    with pytest.raises(UserError, match=r"15 images are both for training and for validation.*cat/0000\.jpg"):
        scan(pets, validation=pets)


@pytest.mark.parametrize("validation", [-0.1, 1, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(pets: Path, validation: float) -> None:
    """Nothing would be left to train on."""
    with pytest.raises(UserError, match=f"validation is {validation}: .* up to under 1"):
        scan(pets, validation=validation)


def test_a_file_for_a_validation_folder_is_refused(pets: Path) -> None:
    """The error would come from the file system, as a traceback."""
    with pytest.raises(UserError, match=r"0000\.jpg is one image: give a folder"):
        scan(pets, validation=pets / "cat" / "0000.jpg")


def test_a_validation_folder_that_does_not_exist_is_refused(pets: Path) -> None:
    """The error would come from the file system, as a traceback."""
    with pytest.raises(UserError, match="nowhere does not exist"):
        scan(pets, validation="nowhere")


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """The error would come from the file system, as a traceback."""
    with pytest.raises(UserError, match="nowhere does not exist: check the path"):
        scan(tmp_path / "nowhere")


def test_a_folder_without_images_is_refused_with_the_count_of_skipped_files(tmp_path: Path) -> None:
    """A user with raw files of a camera would not learn that they were seen and not taken."""
    touch(tmp_path, "cat/a.cr2", "cat/b.cr2", "dog/c.nef")
    with pytest.raises(UserError, match=r"holds no images \(3 other files were skipped\)"):
        scan(tmp_path)


def test_one_class_is_refused_and_empty_ones_are_named(tmp_path: Path) -> None:
    """A network with one class learns nothing, and the user would not see why the others are missing."""
    photos(tmp_path / "data", cat=3)
    with pytest.raises(UserError, match=r"only one class, 'cat': give two"):
        scan(tmp_path / "data")
    touch(tmp_path / "data", "dog/a.txt")
    (tmp_path / "data" / "hen").mkdir()
    with pytest.raises(
        UserError, match=r"only one class, 'cat' \(without images: 'dog' \(1 \.txt\), 'hen' \(empty\)\)"
    ):
        scan(tmp_path / "data")


@pytest.mark.parametrize(
    ("folder", "beside"),
    [("dataset", "models/net.h5"), ("dataset", "overview.png"), ("dataset/dataset", "models/net.h5 readme.txt")],
)
def test_the_folder_that_holds_the_classes_is_named(tmp_path: Path, folder: str, beside: str) -> None:
    """A user with models, or a picture of the classes, beside the data would be told to give two classes or more."""
    photos(tmp_path / folder, cat=3, dog=3)
    touch(tmp_path, *beside.split())
    with pytest.raises(
        UserError, match=rf"only one class, 'dataset'.*; if cat and dog are the classes, give {tmp_path / folder}$"
    ):
        scan(tmp_path)
    assert scan(tmp_path / folder).class_names == ("cat", "dog")


def test_an_empty_class_folder_is_ignored(pets: Path) -> None:
    """The network would have an output that no image ever trains."""
    (pets / "bird").mkdir()
    assert scan(pets).class_names == ("cat", "dog")


def test_a_class_of_one_image_is_for_training_and_named(pets: Path) -> None:
    """A data set of a hundred classes would be refused for one photo, or its owner not learn of it."""
    touch(pets, "newt/a.jpg")
    index = scan(pets)
    assert index.class_counts() == (8, 4, 1)
    assert index.notes == ("one image only, which is for training: 'newt'",)


def test_classes_of_one_image_each_are_refused(tmp_path: Path) -> None:
    """Nothing could be validated, and no class be told from its one photo."""
    photos(tmp_path, cat=1, dog=1)
    with pytest.raises(UserError, match=r"no class of .* has more than one image"):
        scan(tmp_path)


def test_every_message_is_one_line(tmp_path: Path) -> None:
    """A file name with a line break would break the one line that users and scripts read."""
    with pytest.raises(UserError, match=r"no\\nwhere does not exist") as refusal:
        scan(tmp_path / "no\nwhere")
    assert "\n" not in str(refusal.value)


def test_labels_beside_a_folder_are_refused(pets: Path) -> None:
    """They would be ignored without a word."""
    with pytest.raises(UserError, match=r"labels belong to a list of paths, and the data is .*pets: leave them out"):
        scan(pets, [1, 2])


def test_data_that_is_nothing_known_is_refused() -> None:
    """The error would be Python's own."""
    with pytest.raises(UserError, match="the data is 3: give a folder"):
        scan(3)  # type: ignore[arg-type]


def albums(root: Path, count: int) -> tuple[list[str], list[int]]:
    """Make `count` x 400 paths of files that exist, by links to one folder of 400, and labels of 1,000 classes."""
    names = [f"IMG_2024_{name}" for name in images(400)]
    touch(root / "photos", *names)
    for number in range(count):
        (root / f"album-{number:03}").symlink_to(root / "photos")
    paths = [f"album-{number:03}/{name}" for number in range(count) for name in names]
    return paths, [number % 1000 for number in range(len(paths))]


@pytest.mark.slow
def test_an_index_of_a_million_images_stays_far_under_300_mb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent would hold the memory that the training needs."""
    monkeypatch.chdir(tmp_path)
    index = scan(*albums(tmp_path, 500))
    held_bytes = sys.getsizeof(index.paths) + sum(map(sys.getsizeof, index.paths)) + sys.getsizeof(index.labels)
    assert len(index.paths) == 200_000
    assert held_bytes / 200_000 * 1_000_000 < 100e6


@pytest.mark.slow
def test_finding_a_million_images_stays_under_300_mb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent would be ended for its memory before the training begins."""
    monkeypatch.chdir(tmp_path)
    paths, labels = albums(tmp_path, 50)
    tracemalloc.start()
    try:
        scan(paths, labels)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes / 20_000 * 1_000_000 < 300e6


@pytest.mark.slow
def test_an_image_of_a_folder_takes_few_bytes_from_the_scan_to_the_worker(tmp_path: Path) -> None:
    """A million images would take the parent, or the worker beside its training, more than 300 MB."""
    folder, samples = camera_roll(tmp_path / "roll"), tmp_path / "samples.csv"
    scan(folder)  # what is loaded only now is no image's
    index, held_bytes, peak_bytes = traced(lambda: scan(folder))
    assert len(index.paths) == 20_000
    assert held_bytes / 20_000 < 110
    assert peak_bytes / 20_000 < 150
    _, _, peak_bytes = traced(index.fingerprint)
    assert peak_bytes / 20_000 < 20
    _, _, peak_bytes = traced(lambda: index.write_csv(samples))
    assert peak_bytes / 20_000 < 20  # some buffers; the text of a line has 50
    again, _, peak_bytes = traced(lambda: ImageIndex.read_csv(samples, index.root, index.class_names))
    assert peak_bytes / 20_000 < 110
    assert again == index


def test_the_scan_loads_no_numpy_no_pandas_and_no_tensorflow(pets: Path) -> None:
    """The parent would grow by hundreds of megabytes, and `--help` would take seconds."""
    program = (
        "import sys; from autofit.dataset import scan; scan(sys.argv[1]); "
        "print({'numpy', 'pandas', 'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(pets)], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (0.2, "0.2"),
        ((np.zeros((2, 4, 4)), [0, 1], [1, 1]), "a tuple of 3"),
        (np.zeros((2, 4, 4)), "a ndarray of 2"),
        (["cat/0.jpg"], "a list of 1"),
        ({"cat": 1}, "a dict of 1"),
    ],
    ids=["share", "three", "array", "list", "dictionary"],
)
def test_test_images_that_are_something_else_are_refused_in_a_line(tmp_path: Path, given: Any, told: str) -> None:
    """`test=0.2`, as scikit-learn's `test_size`, ended in an AttributeError of a float."""
    touch(tmp_path / "cat", *images(4))
    touch(tmp_path / "dog", *images(4))
    with pytest.raises(UserError, match=rf"^test must be a folder, a table or a pair \(images, labels\), not {told}$"):
        scan(tmp_path, test=given)


@pytest.mark.parametrize(
    ("splits", "found"),
    [
        (("test", "test"), 2),
        (("train", "train"), 2),
        (("train", "val"), 1),
        (("test", "val"), 1),
        (("train", "test"), "the splits train and test: leave out the column of splits, or write validation in it"),
    ],
)
def test_a_table_that_is_given_for_validation_may_name_another_split(
    pets: Path, splits: tuple[str, str], found: int | str
) -> None:
    """The test's table, given to validate on, would hold no images, or half of one table be left out without a word."""
    touch(pets, "held/0.jpg", "held/1.jpg")
    table = csv_file(pets / "held", f"path,label,split\n0.jpg,cat,{splits[0]}\n1.jpg,cat,{splits[1]}\n")
    frame = {"path": [str(pets / "cat" / file) for file in images(4)], "label": ["cat", "cat", "dog", "dog"]}
    training = pd.DataFrame(frame)
    if isinstance(found, int):
        assert scan(training, validation=table).validation_count == found
    else:
        with pytest.raises(UserError, match=f"is given for validation, and has images of {found}"):
            scan(training, validation=table)


def test_a_table_of_held_out_images_alone_is_told_so(pets: Path) -> None:
    """A table of 10,000 images for the test would be said to hold none."""
    table = csv_file(pets, "path,label,split\n" + "".join(f"cat/{file},cat,test\n" for file in images(4)))
    with pytest.raises(UserError, match="holds no images for training, only such that are held out: give others"):
        scan(table)


def test_columns_of_a_folder_are_refused(pets: Path, tmp_path: Path) -> None:
    """A user who names the column of the breeds would get a network for the folders, without a word."""
    asked = asked_of(None, "breed", str(pets))
    with pytest.raises(UserError, match=r"label_column and images_in say what is in a table, and the data is the fold"):
        scan(pets, asked=asked)
    table = csv_file(tmp_path, "path,breed\ncat/more.jpg,cat\n")
    touch(pets / "cat", "more.jpg")
    touch(tmp_path / "pets2", "cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg")
    assert scan(tmp_path / "pets2", test=table, asked=asked).test_count == 1
    with pytest.raises(UserError, match="label_column and images_in say what is in a table"):
        labelled_images(pets, None, ("cat", "dog"), asked, (tmp_path, print, print))


def test_a_link_leads_to_no_image_of_another_split(tmp_path: Path) -> None:
    """Images that are trained on would be validated on, as others by another name."""
    photos(tmp_path / "set" / "train", cat=4, dog=4)
    photos(tmp_path / "set" / "val", dog=2)
    photos(tmp_path / "held", cat=2, dog=2)
    (tmp_path / "set" / "val" / "cat").symlink_to(tmp_path / "set" / "train" / "cat")
    with pytest.raises(UserError, match=r"4 images are both for training and for validation, the first is train"):
        scan(tmp_path / "set")
    train, link = tmp_path / "set" / "train", tmp_path / "link"
    link.symlink_to(train)
    for data, given in ((train, link), (link, train)):
        with pytest.raises(UserError, match="8 images are both for training and for test"):
            scan(data, test=given)
        assert scan(data, test=tmp_path / "held").test_count == 4
    flat = csv_file(train / "cat", "path,label\n0000.jpg,cat\n0001.jpg,cat\n../dog/0000.jpg,dog\n")
    with pytest.raises(UserError, match="1 images are both for training and for test"):
        scan(flat, test=pd.DataFrame({"path": [str(link / "cat" / "0000.jpg")], "label": ["cat"]}))


def test_a_folder_of_splits_that_is_given_for_one_is_told_so(tmp_path: Path, pets: Path) -> None:
    """A user would be told to remove the class `train` from the data set."""
    for split in ("train", "val"):
        photos(tmp_path / "set" / split, cat=2, dog=2)
    with pytest.raises(UserError, match=r"the test folder .*/set holds train and val, which look like splits: give"):
        scan(pets, test=tmp_path / "set")
