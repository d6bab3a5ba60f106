"""What is no folder and no table is refused with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from autofit.dataset import scan
from autofit.errors import UserError


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
