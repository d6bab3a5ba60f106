"""The index of all images, its fingerprint, and `samples.csv`."""

from __future__ import annotations

import os
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autofit.dataset import ImageIndex, scan
from autofit.errors import UserError
from autofit.storage.safe_files import remove_unfinished
from tests.support.datasets import WEIRD_NAMES, csv_file, images, quick, touch


def test_counts_are_of_the_training_part(pets: Path) -> None:
    """Class weights would be computed from images that are not trained on, or warnings from such as are."""
    index = scan(pets, validation=0.2)
    assert (index.train_count, index.validation_count, index.class_counts()) == (12, 3, (8, 4))
    assert index.validation_counts() == (2, 1)


def test_the_fingerprint_tells_every_difference() -> None:
    """A checkpoint would be resumed on other data."""
    changes = [
        ImageIndex("/r", ["a", "b", "c"], array("i", [0, 1, 1]), ("x", "y"), 2),
        ImageIndex("/r", ["a", "b", "d"], array("i", [0, 1, 1]), ("x", "y"), 2),
        ImageIndex("/r", ["a", "b\nc"], array("i", [0, 1]), ("x", "y"), 2),
        ImageIndex("/r", ["a", "b", "c"], array("i", [0, 0, 1]), ("x", "y"), 2),
        ImageIndex("/r", ["a", "b", "c"], array("i", [0, 1, 1]), ("x", "z"), 2),
        ImageIndex("/r", ["a", "b", "c"], array("i", [0, 1, 1]), ("x", "y"), 1),
        ImageIndex("/r", ["b", "a", "c"], array("i", [0, 1, 1]), ("x", "y"), 2),
    ]
    assert len({index.fingerprint() for index in changes}) == len(changes)


def test_the_fingerprint_is_the_one_of_earlier_versions() -> None:
    """Runs that were begun with an earlier version could not be resumed."""
    index = ImageIndex("/r", ["a", os.fsdecode(b"\xff")], array("i", [0, 1]), ("x", "y"), 1)
    assert index.fingerprint() == "619dfec05a1260f3b4b08f6f3efde18c3d61dabe2e347ab7ee007936b410f2e7"


def test_weird_file_names_survive_the_csv(tmp_path: Path) -> None:
    """The audit would name files that do not exist, or the file could not be read back."""
    touch(tmp_path / "data" / "a,\n'b'", *WEIRD_NAMES)
    touch(tmp_path / "data" / os.fsdecode(b"\xe9"), *WEIRD_NAMES)
    index = scan(tmp_path / "data")
    index.write_csv(tmp_path / "samples.csv")
    assert ImageIndex.read_csv(tmp_path / "samples.csv", index.root, index.class_names) == index
    assert all(Path(index.path(number)).exists() for number in range(len(index.paths)))


@quick
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), unique=True))
def test_any_path_survives_the_csv(tmp_path_factory: pytest.TempPathFactory, paths: list[str]) -> None:
    """Some character would end a line or a cell."""
    path = tmp_path_factory.getbasetemp() / "samples.csv"
    index = ImageIndex("/r", paths, array("i", [1] * len(paths)), ("x", "y\r"), len(paths) // 2)
    index.write_csv(path)
    assert ImageIndex.read_csv(path, "/r", ["x", "y\r"]) == index


def test_the_csv_reads_as_documented(tmp_path: Path) -> None:
    """Whoever reads samples.csv relies on its columns."""
    index = ImageIndex("/r", ["a.jpg", "b.jpg"], array("i", [1, 0]), ("cat", "dog"), 1)
    index.write_csv(tmp_path / "samples.csv")
    assert (tmp_path / "samples.csv").read_text().replace('"', "") == (
        "index,path,label,split\n0,a.jpg,dog,train\n1,b.jpg,cat,validation\n"
    )


def test_a_csv_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk would leave half a list, which reads like a whole one."""
    index = ImageIndex("/r", ["a.jpg", "b.jpg"], array("i", [1, 0]), ("cat", "dog"), 1)
    index.write_csv(tmp_path / "samples.csv")
    before = (tmp_path / "samples.csv").read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        ImageIndex("/r", ["c.jpg"], array("i", [0]), ("cat", "dog"), 1).write_csv(tmp_path / "samples.csv")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("samples.csv", before)]


def test_a_csv_that_breaks_off_half_way_leaves_the_old_one(tmp_path: Path) -> None:
    """What was written up to an error would be taken for the whole list."""
    path = tmp_path / "samples.csv"
    ImageIndex("/r", ["a.jpg", "b.jpg"], array("i", [1, 0]), ("cat", "dog"), 1).write_csv(path)
    before = path.read_bytes()
    with pytest.raises(IndexError):
        ImageIndex("/r", images(20_000), array("i", [0] * 19_999 + [7]), ("cat", "dog"), 1).write_csv(path)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("samples.csv", before)]


def test_what_a_killed_writer_leaves_is_known_as_unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kill would leave another half list in the run directory, for ever."""
    counts: list[int] = []

    def killed(_: int) -> None:
        counts.append(len(list(tmp_path.iterdir())))
        remove_unfinished(tmp_path)
        counts.append(len(list(tmp_path.iterdir())))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", killed)
    with pytest.raises(OSError, match="No space left"):
        ImageIndex("/r", ["c.jpg"], array("i", [0]), ("cat", "dog"), 1).write_csv(tmp_path / "samples.csv")
    assert counts == [1, 0]


def test_the_csv_may_be_read_by_others(tmp_path: Path) -> None:
    """A colleague could read all of a run directory but this."""
    ImageIndex("/r", ["c.jpg"], array("i", [0]), ("cat", "dog"), 1).write_csv(tmp_path / "samples.csv")
    assert (tmp_path / "samples.csv").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("1,b.jpg,cat", "3 cells where the header has 4"),
        ("1,,cat,train", "the path is empty"),
        ("2,b.jpg,cat,train", "the index is '2', not 1"),
        ("one,b.jpg,cat,train", "the index is 'one', not 1"),
        ("1,b.jpg,fox,train", "'fox' is none of the 2 classes"),
        ("1,b.jpg,cat,held", "the split 'held' is out of place"),
        ("1,b.jpg,cat,train", "the split 'train' is out of place"),
        ('1,"b.jpg,cat,train', "unexpected end of data"),
    ],
)
def test_a_damaged_line_of_the_index_is_named(tmp_path: Path, line: str, problem: str) -> None:
    """A file that was cut short or edited would be taken for whole."""
    path = csv_file(tmp_path, f"index,path,label,split\n0,a.jpg,cat,validation\n{line}\n")
    with pytest.raises(UserError, match=rf"list\.csv, line 3: {problem}"):
        ImageIndex.read_csv(path, "/r", ("cat", "dog"))


def test_an_index_file_that_is_missing_is_named(tmp_path: Path) -> None:
    """The error would be a traceback."""
    with pytest.raises(UserError, match=r"samples\.csv cannot be read \(No such file"):
        ImageIndex.read_csv(tmp_path / "samples.csv", "/r", ("cat", "dog"))
