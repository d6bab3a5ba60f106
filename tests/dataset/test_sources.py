"""What is no folder and no table is refused with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from autofit.dataset import scan
from autofit.errors import UserError
from tests.support.datasets import touch


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        ("", "empty path: give a folder"),
        (" ", "empty path: give a folder"),
        ("photos.zip", "is an archive: unpack it"),
        ("photos.tar.gz", "is an archive: unpack it"),
        ("list.xlsx", "is a spreadsheet: save it as CSV"),
        *((f"photos.{suffix}", "is an archive: unpack it") for suffix in ("7z", "rar", "tgz")),
        ("train.parquet", r"read it with pandas\.read_parquet"),
        ("digits.npz", r"give autofit.run\(images, labels\)"),
        *((f"train.{suffix}", "read it as a tf.data.Dataset") for suffix in ("tfrecord", "tfrecords", "tfrec")),
        ("train-00000-of-00010.tfrecord-00000-of-00010", r"read it as a tf\.data\.Dataset"),
        ("train-00000-of-01024", r"read it as a tf\.data\.Dataset"),
        ("labels.csv.gz", "is a packed table: unpack it and give the table"),
        ("file:///data/my%20photos", "is an address of this machine: give the path /data/my photos$"),
        ("data_batch_1", r"is a file of arrays: load its images and labels"),
        ("train-images-idx3-ubyte", r"is a file of arrays: load its images and labels"),
        ("train-images-idx3-ubyte.gz", r"is a file of arrays: load its images and labels"),
        ("data.yaml", "describes images and lists none: give their folder"),
        ("data.mdb", "is a data base of images"),
        ("s3://bucket/photos", r"is an address \(s3\): copy the data to this machine"),
        ("hf://datasets/beans", r"is an address \(hf\): copy the data to this machine"),
        ("https://example.org/photos.zip", r"is an address \(https\): copy the data to this machine"),
        ("gs://bucket/photos", r"is an address \(gs\): copy the data to this machine"),
        ("cat.jpg", "is one image: give a folder"),
        ("nowhere", "does not exist: check the path"),
    ],
)
def test_what_is_no_data_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, advice: str
) -> None:
    """An empty path would be the working folder, and an archive end in a message about encodings."""
    monkeypatch.chdir(tmp_path)
    if data.strip() and ":" not in data and data != "nowhere":
        (tmp_path / data).write_bytes(b"PK\3\4")
    with pytest.raises(UserError, match=advice):
        scan(data)
    if data.strip():
        with pytest.raises(UserError, match=advice):
            scan(tmp_path, test=data)


FOLDERS = {
    "CIFAR-10": ("batches.meta data_batch_1 data_batch_2 test_batch", "data_batch_1 is a file of arrays: load"),
    "MNIST": ("train-images.idx3-ubyte train-labels.idx1-ubyte", r"train-images\.idx3-ubyte is a file of arrays: load"),
    "SVHN": ("README.txt test_32x32.mat train_32x32.mat", r"test_32x32\.mat is a file of arrays: load"),
    "Hugging Face": ("test.parquet train.parquet", r"test\.parquet is a table of pandas: read it with"),
    "TFRecord": ("a.tfrecord-00000-of-00002 a.tfrecord-00001-of-00002", ".*is a file of TensorFlow: read it as a"),
}


@pytest.mark.parametrize("inside", ["", "data"])
@pytest.mark.parametrize(("files", "advice"), FOLDERS.values(), ids=FOLDERS)
def test_a_folder_of_what_holds_images_is_answered_as_its_files_are(
    tmp_path: Path, files: str, advice: str, inside: str
) -> None:
    """A user of CIFAR-10 would hear that there are no class folders, and not that its arrays can be given."""
    touch(tmp_path / "set" / inside, *files.split())
    touch(tmp_path / "set", *(["README.md", "LICENSE.pdf"] if inside else []))
    with pytest.raises(UserError, match=rf"(has no subfolders|holds no images) .*: {advice}.*, or give "):
        scan(tmp_path / "set")


def test_a_folder_with_photos_and_few_of_these_is_answered_by_its_photos(tmp_path: Path) -> None:
    """The list of a data set in MATLAB would be said to hold the images beside it."""
    touch(tmp_path / "set", "a.jpg", "b.jpg", "imagelabels.mat", "c.xml", "d.xml", "e.xml", "f.xml")
    with pytest.raises(
        UserError,
        match=r"has no subfolders \([^)]*\): give their table, perhaps .*/imagelabels\.mat, or give a folder with one",
    ):
        scan(tmp_path / "set")
