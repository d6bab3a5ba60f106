"""What is found in an entry is right after damage, a kill, a power failure or a full disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from autofit.cache.entry import Entry, EntryWriter
from autofit.cache.entry_format import INDEX, EntryRecord

MakeEntry = Callable[..., Path]
FoundIn = Callable[..., set[int]]
Start = Callable[..., "subprocess.Popen[str]"]

BLOCKS = [range(3), range(3, 8)]
ALL = set(range(8))
ROW_BYTES = 12


def flip(path: Path, bit: int) -> None:
    with path.open("r+b", buffering=0) as file:  # not written anew: some file systems write that to the disk at once
        byte = os.pread(file.fileno(), 1, bit // 8)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1 << bit % 8]), bit // 8)


@pytest.mark.slow
def test_every_flipped_bit_of_the_rows_loses_that_row_alone(make: MakeEntry, found_in: FoundIn) -> None:
    """A bad block on the disk would be trained on, or cost the rows beside it."""
    rows = make() / "rows.bin"
    for bit in range(8 * 8 * ROW_BYTES):
        flip(rows, bit)
        assert found_in(rows.parent) == ALL - {bit // 8 // ROW_BYTES}
        flip(rows, bit)
    assert found_in(rows.parent) == ALL


@pytest.mark.slow
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


@pytest.mark.slow
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
