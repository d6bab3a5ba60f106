"""One entry: what is put in comes out, with one writer and several readers."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from autofit.cache.entry import Entry, EntryInUseError, EntryWriter
from autofit.cache.entry_format import EntryRecord

MakeEntry = Callable[..., Path]
FoundIn = Callable[..., set[int]]
Start = Callable[..., "subprocess.Popen[str]"]

ALL = set(range(8))


# What is put in comes out ---------------------------------------------------------------------------------------------


def test_rows_are_found_by_their_images(make: MakeEntry, opened: Callable[[Path], Entry], known: ModuleType) -> None:
    """The head would learn one photo's label with another's features."""
    entry = opened(make())
    assert len(entry) == 8
    numbers = entry.find(known.images([7, 99, 0, 7]))
    assert (numbers.dtype, numbers.tolist()) == (np.dtype(np.int64), [7, -1, 0, 7])
    rows = entry.rows(numbers[[0, 2, 3]])
    assert (rows.dtype, rows.shape) == (np.dtype(np.float32), (3, 3))
    assert np.array_equal(rows, known.rows([7, 0, 7], 3))
    assert entry.find(known.images([])).shape == (0,)
    assert entry.rows(np.zeros(0, np.int64)).shape == (0, 3)


def test_rows_may_be_pixels(folder: Path, opened: Callable[[Path], Entry], known: ModuleType) -> None:
    """Rows that are not vectors could not be cached, or would come back in another shape."""
    record = EntryRecord(kind="pixels", key=known.KEY, about={}, dtype="uint8", row_shape=(2, 5, 3), created=0.0)
    pixels = np.arange(4 * 30).reshape(4, 2, 5, 3).astype(np.uint8)
    with EntryWriter(folder, record) as writer:
        writer.append(known.images(range(4)), pixels[:, ::-1], np.zeros(4, np.int64))  # also where it is no one piece
    entry = opened(folder)
    assert entry.record == record
    rows = entry.rows(entry.find(known.images([3, 1])))
    assert (rows.dtype, rows.tolist()) == (np.dtype(np.uint8), pixels[[3, 1], ::-1].tolist())


def test_rows_are_returned_as_copies(make: MakeEntry, opened: Callable[[Path], Entry]) -> None:
    """A caller that changes a batch would change the cache, or get an error."""
    entry = opened(make())
    rows = entry.rows(np.array([1]))
    rows[:] = 0
    assert entry.rows(np.array([1])).any()


def test_rows_that_were_computed_together_have_one_number(make: MakeEntry, opened: Callable[[Path], Entry]) -> None:
    """Lost rows would be computed again with other neighbours, and so with other last bits."""
    slices = opened(make()).slices(np.arange(8)).tolist()
    assert [slices.index(number) for number in slices] == [0, 0, 0, 3, 3, 3, 6, 6]
    assert slices == sorted(slices)


def test_an_empty_block_is_allowed(
    make: MakeEntry, opened: Callable[[Path], Entry], found_in: FoundIn, known: ModuleType
) -> None:
    """A block without a readable image would end the extraction, or an entry without rows would end a run."""
    entry = opened(make([range(0)]))
    assert (len(entry), entry.find(known.images([0])).tolist()) == (0, [-1])
    assert entry.rows(np.zeros(0, np.int64)).shape == (0, 3)
    entry.close()
    assert found_in(make([range(2), range(0)])) == {0, 1}


def test_an_image_without_identity_is_never_found(
    folder: Path, small: EntryRecord, opened: Callable[[Path], Entry], known: ModuleType
) -> None:
    """All images without an identity would count as one, and have the features of the first."""
    nobody = np.zeros((1, 2), np.uint64)
    with EntryWriter(folder, small) as writer:
        writer.append(nobody, known.rows([0], 3), np.zeros(1, np.int64))
        writer.append(nobody, known.rows([0], 3), np.zeros(1, np.int64))
    assert opened(folder).find(nobody).tolist() == [-1]


def test_half_an_identity_is_not_enough(
    folder: Path, small: EntryRecord, opened: Callable[[Path], Entry], known: ModuleType
) -> None:
    """Of two images that have half of it in common, one would get the other's features, or not be found."""
    images = np.array([[1, 5], [1, 3], [1, 4], [0, 2], [2, 0]], np.uint64)
    with EntryWriter(folder, small) as writer:
        writer.append(images, known.rows(range(5), 3), np.arange(5))
    entry = opened(folder)
    assert entry.find(images).tolist() == [0, 1, 2, 3, 4]
    assert entry.find(np.array([[1, 9], [0, 1], [3, 0]], np.uint64)).tolist() == [-1, -1, -1]


# Several at once ------------------------------------------------------------------------------------------------------


def test_there_is_one_writer(make: MakeEntry, found_in: FoundIn, folder: Path, small: EntryRecord) -> None:
    """Two runs would write into each other's blocks."""
    make()
    with EntryWriter(folder, small) as writer:
        with pytest.raises(EntryInUseError):
            EntryWriter(folder, small)
        with pytest.raises(EntryInUseError):
            Entry(folder)
        assert (len(list(folder.iterdir())), writer.folder) == (3, folder)
    assert found_in(folder) == ALL


def test_readers_share_an_entry_and_exclude_a_writer(
    make: MakeEntry, opened: Callable[[Path], Entry], small: EntryRecord
) -> None:
    """Two runs could not train on one entry, or a writer would truncate a file that a reader maps, and kill it."""
    folder = make()
    entries = [opened(folder), opened(folder)]
    with pytest.raises(EntryInUseError):
        EntryWriter(folder, small)
    entries[0].close()
    with pytest.raises(EntryInUseError):
        EntryWriter(folder, small)
    entries[1].close()
    with EntryWriter(folder, small):
        pass


def test_a_writer_in_another_process_counts_until_it_is_killed(
    start: Start, make: MakeEntry, found_in: FoundIn, folder: Path, known: ModuleType
) -> None:
    """Two runs would write into each other's blocks, or the lock of a killed one would stay for ever."""
    make(record=known.record())
    with start("hold", folder) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "holds\n"
        with pytest.raises(EntryInUseError):
            EntryWriter(folder, known.record())
        with pytest.raises(EntryInUseError):
            Entry(folder)
        holder.kill()
    make([range(8, 10)], record=known.record())
    assert found_in(folder) == set(range(10))


def test_a_drive_without_locks_can_be_used(
    make: MakeEntry, found_in: FoundIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing could be cached on a mounted drive, where a notebook has its files."""

    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert found_in(make(at=tmp_path / "drive")) == ALL


def test_an_entry_that_is_removed_while_it_is_opened_is_not_written(
    make: MakeEntry, folder: Path, small: EntryRecord, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An hour's extraction would be written to files that are already deleted."""
    make()
    flock = fcntl.flock

    def late(file: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        folder.rename(tmp_path / "renamed")
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(OSError, match=r"index\.bin"):
        EntryWriter(folder, small)


def test_the_time_of_use_is_noted(make: MakeEntry, opened: Callable[[Path], Entry]) -> None:
    """An entry that is used every day would be evicted first."""
    folder = make()
    entry = opened(folder)
    os.utime(folder / "entry.json", (7, 7))
    entry.used()
    assert (folder / "entry.json").stat().st_mtime > 10**9
    shutil.rmtree(folder)
    entry.used()  # as on a drive that takes no changes
