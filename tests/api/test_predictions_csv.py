"""A CSV file of predictions that grows part by part."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from autofit.api.predictions import Predictions
from autofit.api.predictions_csv import CsvFile
from autofit.errors import StorageError, UserError
from autofit.protocol.messages import BadImage

NAMES = ("cat", "dog")


def part(first: int, count: int) -> Predictions:
    """Predictions of some images; the first cannot be read."""
    rows = np.tile(np.array([[0.25, 0.75]], np.float32), (count, 1))
    rows[0] = np.nan
    paths = [f"{number}.jpg" for number in range(first, first + count)]
    return Predictions.of(rows, NAMES, paths, [BadImage(path=paths[0], reason="cut short")])


def test_the_file_grows_under_another_name_and_is_whole_under_its_own(tmp_path: Path) -> None:
    """After a kill, half a table would be taken for all of it."""
    target = tmp_path / "all.csv"
    target.write_text("of yesterday", encoding="utf-8")
    with CsvFile(target) as file:
        file.add(part(0, 3))
        assert len((tmp_path / "all.csv.part").read_text(encoding="utf-8").splitlines()) == 4
        file.add(part(3, 2))
        assert target.read_text(encoding="utf-8") == "of yesterday"
    with target.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [f"{number}.jpg" for number in range(5)]
    assert [row["label"] for row in rows] == ["", "dog", "dog", "", "dog"]
    assert [path.name for path in tmp_path.iterdir()] == ["all.csv"]
    assert (file.summary.images, file.summary.unreadable, file.summary.by_class) == (5, 2, {"dog": 3})


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    """A table of yesterday would be lost to an attempt that failed."""
    target = tmp_path / "all.csv"
    target.write_text("of yesterday", encoding="utf-8")
    file = CsvFile(target)
    with pytest.raises(UserError), file:
        _fail_half_way(file)
    assert target.read_text(encoding="utf-8") == "of yesterday"
    assert [path.name for path in tmp_path.iterdir()] == ["all.csv"]


def _fail_half_way(file: CsvFile) -> None:
    file.add(part(0, 3))
    raise UserError("no")


def test_a_link_is_followed_and_a_device_stays_one(tmp_path: Path) -> None:
    """`--csv /dev/null` would replace the device of the whole machine by a file."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.csv").symlink_to(tmp_path / "elsewhere" / "all.csv")
    for name in (tmp_path / "link.csv", Path("/dev/null")):
        with CsvFile(name) as file:
            file.add(part(0, 2))
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "elsewhere" / "all.csv").is_file()
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("name", ["/dev/full", "no/such/folder.csv"])
def test_what_cannot_be_written_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk would be a traceback after hours."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match=f"^{name} cannot be written .*: give another file$"), CsvFile(name) as file:
        file.add(part(0, 2))
