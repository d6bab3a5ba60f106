"""One entry: what is found in it is right, whatever was done to its files and whoever was killed over them."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from autofit.cache.entry import Entry, EntryInUseError, EntryWriter
from autofit.cache.entry_format import INDEX, EntryRecord

MakeEntry = Callable[..., Path]
FoundIn = Callable[..., set[int]]
Start = Callable[..., "subprocess.Popen[str]"]
Plant = Callable[[Path], None]

BLOCKS = [range(3), range(3, 8)]
ALL = set(range(8))
ROW_BYTES = 12


@pytest.fixture
def opened() -> Iterator[Callable[[Path], Entry]]:
    """Open an entry, until the test ends."""
    entries: list[Entry] = []

    def open_entry(folder: Path) -> Entry:
        entries.append(Entry(folder))
        return entries[-1]

    yield open_entry
    for entry in entries:
        entry.close()


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


# Damage ---------------------------------------------------------------------------------------------------------------


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def test_every_flipped_bit_of_the_rows_loses_that_row_alone(make: MakeEntry, found_in: FoundIn) -> None:
    """A bad block on the disk would be trained on, or cost the rows beside it."""
    rows = make() / "rows.bin"
    for bit in range(8 * 8 * ROW_BYTES):
        flip(rows, bit)
        assert found_in(rows.parent) == ALL - {bit // 8 // ROW_BYTES}
        flip(rows, bit)
    assert found_in(rows.parent) == ALL


def test_every_flipped_bit_of_the_index_loses_no_more_than_its_block(make: MakeEntry, found_in: FoundIn) -> None:
    """An image would get the row of another, or one bit cost the whole entry."""
    index = make() / "index.bin"
    for bit in range(8 * 8 * INDEX.itemsize):
        flip(index, bit)
        lost = ALL - found_in(index.parent)
        assert lost <= {bit // 8 // INDEX.itemsize} | set(BLOCKS[1]), bit
        flip(index, bit)
    assert found_in(index.parent) == ALL


def test_a_flipped_bit_of_a_slice_is_noticed(
    make: MakeEntry, opened: Callable[[Path], Entry], known: ModuleType
) -> None:
    """Rows that are lost would be computed again with other last bits."""
    index = make() / "index.bin"
    offset = INDEX.fields["slice"][1] if INDEX.fields else 0
    flip(index, 8 * (2 * INDEX.itemsize + offset) + 1)
    entry = opened(index.parent)
    assert entry.find(known.images([1, 2])).tolist() == [1, -1]


def test_a_damaged_row_is_found_after_it_was_computed_again(make: MakeEntry, found_in: FoundIn) -> None:
    """The damaged row would hide the new one for ever, and each run would compute it again."""
    rows = make() / "rows.bin"
    flip(rows, 8 * ROW_BYTES)
    assert found_in(rows.parent) == ALL - {1}
    make([range(1, 2)])
    assert found_in(rows.parent) == ALL
    flip(rows, 8 * 8 * ROW_BYTES)
    assert found_in(rows.parent) == ALL - {1}
    make([range(1, 2)])
    assert found_in(rows.parent) == ALL


def test_rows_of_another_key_are_not_used(
    make: MakeEntry, found_in: FoundIn, tmp_path: Path, known: ModuleType
) -> None:
    """Files that were mixed up, by a person or by a sync program, would give the features of another network."""
    here, there = make(), make(at=tmp_path / "there", record=known.record(key="cd" * 32, width=3))
    assert found_in(there) == ALL
    for name in ("rows.bin", "index.bin"):
        shutil.copy(there / name, here / name)
    assert found_in(here) == set()


@pytest.mark.parametrize("name", ["index.bin", "rows.bin"])
def test_a_file_that_is_cut_off_anywhere_gives_no_wrong_row_and_can_be_continued(
    make: MakeEntry, found_in: FoundIn, small: EntryRecord, known: ModuleType, tmp_path: Path, name: str
) -> None:
    """After a kill or a power failure, images would have rows of others, or every run with this entry would end."""
    whole = make()
    size = (whole / name).stat().st_size
    for length in range(size + 1):
        cut = shutil.copytree(whole, tmp_path / f"{length}")
        os.truncate(cut / name, length)
        kept = 0 if length < 3 * size // 8 else 3 if length < size else 8
        assert found_in(cut) == set(range(kept))  # what a reader finds, the next writer does not cut off
        with EntryWriter(cut, small) as writer:
            assert (cut / "rows.bin").stat().st_size == kept * ROW_BYTES
            assert (cut / "index.bin").stat().st_size == kept * INDEX.itemsize
            known.append(writer, range(kept, 12))
        assert found_in(cut) == set(range(12))
        shutil.rmtree(cut)


@pytest.mark.parametrize("name", ["index.bin", "rows.bin"])
def test_an_incomplete_block_is_cut_off(make: MakeEntry, found_in: FoundIn, folder: Path, name: str) -> None:
    """Half a block would shift all rows that are appended after it."""
    make()
    for length in (1, 27, 28, 29, 500):
        with (folder / name).open("ab") as file:
            file.write(b"\xff" * length)
        assert found_in(folder) == ALL
        make([])
        assert found_in(folder) == ALL
    make([range(8, 12)])
    assert found_in(folder) == set(range(12))


def test_an_entry_with_zeros_after_a_power_failure_can_be_continued(
    make: MakeEntry, found_in: FoundIn, folder: Path
) -> None:
    """A file system may extend a file first and fill it later: the zeros would count as rows."""
    make()
    for name, size in (("rows.bin", ROW_BYTES), ("index.bin", INDEX.itemsize)):
        os.truncate(folder / name, 2 * size)
        os.truncate(folder / name, 8 * size)
    assert found_in(folder) <= {0, 1}
    make([range(12)])
    assert found_in(folder) == set(range(12))


def test_rows_reach_the_disk_before_the_index(
    folder: Path, small: EntryRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power failure the index would have rows that do not exist."""
    synced: list[str] = []
    with EntryWriter(folder, small) as writer:
        monkeypatch.setattr(os, "fsync", lambda file: synced.append(Path(f"/proc/self/fd/{file}").readlink().name))
        writer.sync()
    assert synced == ["rows.bin", "index.bin"]


# Full disks -----------------------------------------------------------------------------------------------------------


def assert_as_before(process: subprocess.Popen[str], words: str) -> None:
    out, err = process.communicate(timeout=60)
    assert err == ""
    assert json.loads(out) == {"message": words, "kept": True, "found": [*range(20), -1]}


@pytest.mark.parametrize(("limit_bytes", "width"), [(2**15, 256), (2**15, 1)], ids=["the rows", "the index"])
def test_a_file_that_may_not_grow_leaves_the_entry_as_it_was(
    start: Start, folder: Path, limit_bytes: int, width: int
) -> None:
    """Half a block would stay, and rows that are appended after it would not be found."""
    assert_as_before(start("overflow", folder, limit_bytes, width), "File too large")


@pytest.mark.parametrize("width", [256, 122], ids=["the rows", "the index"])
def test_a_full_disk_leaves_the_entry_as_it_was(start: Start, tmp_path: Path, width: int) -> None:
    """Half a block would stay, and rows that are appended after it would not be found."""
    in_tiny_disk = 'mount -t tmpfs -o size=1000k tmpfs "$0" || exit 77; exec "$@"'
    alone = ("unshare", "--user", "--map-root-user", "--mount")
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    prefix = (*alone, "sh", "-c", in_tiny_disk, str(tmp_path))
    process = start("overflow", tmp_path / "entry", 0, width, prefix=prefix)
    if process.wait(timeout=60) == 77:
        process.communicate()
        pytest.skip("no small filesystem can be mounted here")
    assert_as_before(process, "No space left on device")


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


# What others put in its place -----------------------------------------------------------------------------------------


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
