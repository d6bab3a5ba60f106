"""What others put in the place of an entry or of its files is refused, and nothing is written through it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autofit.cache.entry import Entry, EntryWriter
from autofit.cache.entry_format import EntryRecord

MakeEntry = Callable[..., Path]
FoundIn = Callable[..., set[int]]
Plant = Callable[[Path], None]

ALL = set(range(8))


def text(content: str) -> Plant:
    """An `entry.json` of this content."""

    def plant(folder: Path) -> None:
        (folder / "entry.json").write_text(content)

    return plant


def edited(**changes: Any) -> Plant:
    """A good `entry.json` with other values."""

    def plant(folder: Path) -> None:
        good = json.loads((folder / "entry.json").read_text())
        (folder / "entry.json").write_text(json.dumps(good | changes))

    return plant


def replaced(name: str, make_it: Callable[[Path], object]) -> Plant:
    """Something else in place of a file."""

    def plant(folder: Path) -> None:
        (folder / name).unlink()
        make_it(folder / name)

    return plant


def enormous(path: Path) -> None:
    path.touch()
    os.truncate(path, 10**12)  # of which nothing is on the disk


def a_hundred_megabytes(path: Path) -> None:
    path.write_bytes(b'{"schema": "autofit/cache-entry/1", "kind": "')
    os.truncate(path, 10**8)


def linked_elsewhere(path: Path) -> None:
    path.symlink_to(path.parent.parent / "ours")


def a_link_to_a_good_one(path: Path) -> None:
    record = EntryRecord(kind="features", key="ab" * 32, about={}, dtype="float32", row_shape=(3,), created=0.0)
    record.save(path.parent.parent / "good.json")
    path.symlink_to(path.parent.parent / "good.json")


NO_RECORDS: dict[str, Plant] = {
    "empty": text(""),
    "a list": text("[]"),
    "100,000 brackets": text("[" * 100_000),
    "100,000 braces": text('{"a":' * 100_000),
    "100 MB": replaced("entry.json", a_hundred_megabytes),
    "another schema": edited(schema="autofit/cache-entry/3"),
    "a newer field": edited(wheels=4),
    "a key that is a path": edited(key="../" * 21 + "."),
    "a huge row": edited(row_shape=[2**31, 2**31]),
    "a huge number": edited(row_shape=[10**400]),
    "digits without end": text('{"row_shape": [' + "9" * 10**6 + "]}"),
    "no row": edited(row_shape=[]),
    "a row of nothing": edited(row_shape=[0]),
    "a negative row": edited(row_shape=[-3]),
    "two negative sides": edited(row_shape=[-1, -3]),
    "many sides": edited(row_shape=[1] * 64),
    "a row that is text": edited(row_shape="many"),
    "objects": edited(dtype="object"),
    "about everything": edited(about={str(number): "" for number in range(10**5)}),
    "about a list": edited(about=[1]),
}

NO_FILES: dict[str, Plant] = {
    f"{name}, {what}": replaced(name, plant)
    for name in ("entry.json", "index.bin", "rows.bin")
    for what, plant in {
        "missing": lambda _: None,
        "a pipe": os.mkfifo,
        "a device": lambda path: path.symlink_to("/dev/zero"),
        "a folder": Path.mkdir,
        "a dangling link": lambda path: path.symlink_to("nowhere"),
        "a link to itself": lambda path: path.symlink_to(path.name),
    }.items()
} | {
    "index.bin, a terabyte": replaced("index.bin", enormous),
    "entry.json, a link": replaced("entry.json", a_link_to_a_good_one),
    "index.bin, a link": replaced("index.bin", linked_elsewhere),
    "rows.bin, a link": replaced("rows.bin", linked_elsewhere),
}


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.timeout(20)
@pytest.mark.parametrize("plant", (NO_RECORDS | NO_FILES).values(), ids=NO_RECORDS | NO_FILES)
def test_a_folder_that_is_not_an_entry_is_refused(make: MakeEntry, plant: Plant, tmp_path: Path) -> None:
    """A cache that was shared, or damaged, would hang the run, fill its memory, or end it."""
    (tmp_path / "ours").write_bytes(bytes(1000))
    folder = make()
    plant(folder)
    before = open_files()
    with pytest.raises((OSError, ValueError)):
        Entry(folder)
    assert open_files() == before


NOT_TO_WRITE = {name: plant for name, plant in NO_FILES.items() if "json" not in name and "missing" not in name}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("plant", NOT_TO_WRITE.values(), ids=NOT_TO_WRITE)
def test_a_folder_that_is_not_an_entry_is_not_written_to(
    make: MakeEntry, plant: Plant, tmp_path: Path, small: EntryRecord
) -> None:
    """A link in a shared cache would cut off a file of ours; a pipe would block the run for ever."""
    (tmp_path / "ours").write_bytes(bytes(1000))
    folder = make()
    plant(folder)
    before = open_files()
    with pytest.raises(OSError, match="bin"):
        EntryWriter(folder, small)
    assert open_files() == before
    assert (tmp_path / "ours").read_bytes() == bytes(1000)
    assert not (folder / "nowhere").exists()


def test_there_are_no_more_rows_than_can_be_read(
    make: MakeEntry, found_in: FoundIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that grew past the bound would be refused, with everything in it."""
    monkeypatch.setattr("autofit.cache.entry_format.MAX_ROWS", 9)
    folder = make()
    with pytest.raises(OSError, match="more rows than an entry can have"):
        make([range(8, 10)])
    make([range(8, 9)])
    assert found_in(folder) == set(range(9))
    monkeypatch.setattr("autofit.cache.entry_format.MAX_ROWS", 8)
    with pytest.raises(OSError, match="larger than an index can be"):
        Entry(folder)


def test_rows_beyond_the_index_are_not_read(make: MakeEntry, found_in: FoundIn) -> None:
    """A file that somebody extended to a terabyte would be read, or mapped beyond its index."""
    folder = make()
    os.truncate(folder / "rows.bin", 10**12)
    assert found_in(folder) == ALL
