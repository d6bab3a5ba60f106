"""The folder of all cache entries: finding, evicting, clearing, and what is never touched."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import platformdirs
import pytest

from autofit.cache import store as store_module
from autofit.cache.entry import KEY_FILE, Entry, EntryWriter
from autofit.cache.entry_format import EntryRecord
from autofit.cache.folder import default_folder
from autofit.cache.store import CacheList, CacheStore, NoRoomError, default_limit_bytes
from autofit.errors import UserError

KEY, OTHER_KEY = "ab" * 32, "cd" * 32
PLENTY_BYTES = 10**9
GOOD_NAME = "abababababababab-18c0ffee00000000-0a1b2c3d"

WriteEntry = Callable[..., Path]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def store(tmp_path: Path) -> CacheStore:
    return CacheStore(tmp_path / "cache", PLENTY_BYTES)


@pytest.fixture
def write_entry(store: CacheStore, known: ModuleType) -> WriteEntry:
    """WriteEntry the rows of these images in an entry of their own, last used so many seconds after 1970."""

    def write_entry(numbers: range = range(8), key: str = KEY, used: float | None = None) -> Path:
        with store.writer(known.record(key=key), None, 0) as writer:
            known.append(writer, numbers)
        if used is not None:
            os.utime(writer.folder / "entry.json", (used, used))
        return writer.folder

    return write_entry


@pytest.fixture
def found_on(known: ModuleType) -> Callable[..., set[int]]:
    """Which of the first images the entries of a key have together, each with its own row."""

    def found_on(store: CacheStore, key: str = KEY, count: int = 100) -> set[int]:
        found: set[int] = set()
        for entry in store.open_entries(key):
            places = entry.find(known.images(range(count)))
            has = np.flatnonzero(places >= 0)
            assert np.array_equal(entry.rows(places[has]), known.rows(has, entry.record.row_shape[0]))
            found |= set(has.tolist())
            entry.close()
        return found

    return found_on


FoundOn = Callable[..., set[int]]


def size_of(*folders: Path) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.iterdir())


def names(store: CacheStore) -> set[str]:
    return {path.name for path in store.folder.iterdir() if path.name != KEY_FILE}


def room_for(store: CacheStore, known: ModuleType, expected_bytes: int, name: str | None = None, key: str = KEY) -> str:
    """Make room for an entry; its name."""
    with store.writer(known.record(key=key), name, expected_bytes) as writer:
        return writer.folder.name


def disk_with(monkeypatch: pytest.MonkeyPatch, free: int, store: CacheStore) -> None:
    """A disk with so much free space beyond the entries that exist now and the part that must stay free."""
    taken = size_of(*(path for path in store.folder.iterdir() if path.is_dir()))

    def usage(_: Path) -> Any:
        now = size_of(*(path for path in store.folder.iterdir() if path.is_dir()))
        return SimpleNamespace(free=store_module.LEAST_FREE_BYTES + free + taken - now)

    monkeypatch.setattr(shutil, "disk_usage", usage)


# Finding and listing ---------------------------------------------------------------------------------------------


def test_entries_are_found_by_their_key_the_oldest_first(
    store: CacheStore, write_entry: WriteEntry, found_on: FoundOn
) -> None:
    """A network would be given the features of another; or take the newest rows, and not those of its checkpoints."""
    made = [write_entry(range(3)), write_entry(range(3, 8)), write_entry(range(2), OTHER_KEY), write_entry(range(8, 9))]
    opened = store.open_entries(KEY)
    assert [entry.folder for entry in opened] == [made[0], made[1], made[3]]
    for entry in opened:
        entry.close()
    assert found_on(store) == set(range(9))
    assert found_on(store, OTHER_KEY) == {0, 1}
    assert found_on(store, "ef" * 32) == set()


def test_a_key_is_more_than_its_first_digits(store: CacheStore, write_entry: WriteEntry, found_on: FoundOn) -> None:
    """The name of a folder would decide which features a network gets."""
    write_entry(key=KEY[:16] + "0" * 48)
    assert found_on(store) == set()


def test_reading_an_empty_cache_makes_no_folder(store: CacheStore) -> None:
    """Listing the cache would create folders."""
    assert store.open_entries(KEY) == []
    assert store.listing() == CacheList(folder=str(store.folder), limit_bytes=PLENTY_BYTES, entries=[])
    assert store.clear() == (0, 0)
    assert not store.folder.exists()


def a_record_of_100_megabytes(folder: Path) -> None:
    os.truncate(folder / "entry.json", 10**8)


def a_nested_record(folder: Path) -> None:
    (folder / "entry.json").write_text("[" * 100_000)


def a_pipe(folder: Path) -> None:
    (folder / "rows.bin").unlink()
    os.mkfifo(folder / "rows.bin")


def a_dangling_link(folder: Path) -> None:
    (folder / "rows.bin").unlink()
    (folder / "rows.bin").symlink_to("nowhere")


def a_file_in_its_place(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.touch()


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def no_index(folder: Path) -> None:
    (folder / "index.bin").unlink()


SPOILS = [a_record_of_100_megabytes, a_nested_record, a_pipe, a_dangling_link, a_file_in_its_place, emptied, no_index]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("spoil", SPOILS)
def test_a_folder_that_is_not_an_entry_is_skipped_and_the_rest_used(
    store: CacheStore, write_entry: WriteEntry, found_on: FoundOn, known: ModuleType, spoil: Callable[[Path], None]
) -> None:
    """One damaged or hostile folder would end every run, or hide all entries."""
    good, spoiled, also_good = write_entry(range(3)), write_entry(range(3, 8)), write_entry(range(8, 9))
    spoil(spoiled)
    assert found_on(store) == {0, 1, 2, 8}
    assert {entry.name for entry in store.listing().entries} == {good.name, also_good.name}
    assert room_for(store, known, 1000, spoiled.name) not in {good.name, also_good.name}
    assert store.clear()[0] >= 2
    assert not good.exists()
    assert not also_good.exists()


def test_the_list_has_all_entries_the_last_used_first(store: CacheStore, write_entry: WriteEntry) -> None:
    """The user would not see what fills the disk, or what is evicted next."""
    old, new = write_entry(range(3), used=10.0), write_entry(range(8), used=20.5)
    listing = store.listing()
    assert [(entry.name, entry.images, entry.size_bytes, entry.last_used) for entry in listing.entries] == [
        (new.name, 8, size_of(new), 20.5),
        (old.name, 3, size_of(old), 10.0),
    ]
    assert listing.entries[0].kind == "features"
    assert CacheList.model_validate_json(listing.to_json()) == listing


# Evicting and clearing --------------------------------------------------------------------------------------------


def test_the_least_recently_used_entries_are_evicted_first(
    store: CacheStore, write_entry: WriteEntry, known: ModuleType
) -> None:
    """Rows that are used every day would be computed every day, or more would be evicted than necessary."""
    folders = [write_entry(used=used) for used in (30.0, 10.0, 20.0)]
    store.limit_bytes = size_of(*folders) + 99
    room_for(store, known, 99)
    assert all(folder.exists() for folder in folders)
    store.limit_bytes += size_of(folders[0]) - 99  # what was just made is no larger
    Entry(folders[1]).close()  # to be looked at is not to be used
    room_for(store, known, size_of(folders[0]))
    assert [folder.exists() for folder in folders] == [True, False, True]
    entry = Entry(folders[2])
    entry.used()
    entry.close()
    store.limit_bytes = size_of(*(path for path in store.folder.iterdir() if path.is_dir())) + 1
    room_for(store, known, 100)
    assert [folder.exists() for folder in folders] == [False, False, True]


def test_an_entry_in_use_stays_and_counts(store: CacheStore, write_entry: WriteEntry, known: ModuleType) -> None:
    """A run would lose the rows that it trains on, the cache would exceed its limit, or others would go for nothing."""
    used, idle = write_entry(used=10.0), write_entry(used=20.0)
    with_reader = Entry(used)
    store.limit_bytes = size_of(used) + 500
    in_use = r"^it would take 1 KB, and the cache may have 9\.\d KB with \d\.\d KB in use: set AUTOFIT_CACHE_LIMIT$"
    with pytest.raises(NoRoomError, match=in_use):
        room_for(store, known, 1000)
    assert (used.exists(), idle.exists()) == (True, True)
    room_for(store, known, 400)
    assert (used.exists(), idle.exists()) == (True, False)
    with_reader.close()
    room_for(store, known, 9000)
    assert not used.exists()


def test_an_entry_that_is_too_large_is_refused_before_anything_is_evicted(
    store: CacheStore, write_entry: WriteEntry, known: ModuleType
) -> None:
    """A data set that can never be cached would evict all entries."""
    kept = write_entry()
    store.limit_bytes = 2 * 10**6
    with pytest.raises(NoRoomError, match=r"^it would take 2\.1 MB, and the cache may have 2 MB: set AUTOFIT"):
        room_for(store, known, 2_100_000)
    assert names(store) == {kept.name}
    room_for(store, known, 2 * 10**6)
    assert not kept.exists()


def test_a_disk_that_fills_costs_no_more_than_it_must(
    store: CacheStore, write_entry: WriteEntry, known: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gigabyte stays free for checkpoints; if that is impossible, all entries would be evicted for nothing."""
    folders = [write_entry(used=used) for used in (10.0, 20.0)]
    disk_with(monkeypatch, 1000, store)
    with pytest.raises(NoRoomError, match=r"^it would take 1 MB, and the disk has 1 GB free$"):
        room_for(store, known, 10**6)
    assert all(folder.exists() for folder in folders)
    room_for(store, known, 1000)
    assert all(folder.exists() for folder in folders)
    room_for(store, known, 5000)
    assert [folder.exists() for folder in folders] == [False, True]
    entry = Entry(folders[1])
    idle = write_entry(used=30.0)
    with pytest.raises(NoRoomError, match="and the disk has 1 GB free"):
        room_for(store, known, 15_000)
    assert idle.exists(), "it would be removed for nothing"
    entry.close()


def test_a_store_that_cannot_be_made_has_no_room(tmp_path: Path, known: ModuleType) -> None:
    """A run would end because nothing can be cached, or would report only an error number."""
    (tmp_path / "file").touch()
    for folder, words in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "cache", "Not a directory")):
        with pytest.raises(NoRoomError, match=f"^{folder} cannot be written: {words}$"):
            room_for(CacheStore(folder, PLENTY_BYTES), known, 10)
        assert CacheStore(folder, PLENTY_BYTES).open_entries(KEY) == []
        assert CacheStore(folder, PLENTY_BYTES).listing().entries == []
        assert CacheStore(folder, PLENTY_BYTES).clear() == (0, 0)


def test_clearing_counts_what_is_removed_and_leaves_entries_in_use(
    store: CacheStore, write_entry: WriteEntry, found_on: FoundOn
) -> None:
    """A run in another process would lose its rows, or the user would not know whether anything happened."""
    first, second, third = write_entry(range(3)), write_entry(range(3, 8)), write_entry(key=OTHER_KEY)
    sizes = size_of(first, third)
    reader = Entry(second)
    assert store.clear() == (2, sizes)
    assert found_on(store) == {3, 4, 5, 6, 7}
    reader.close()
    size = size_of(second)
    with EntryWriter(second, reader.record):
        assert store.clear() == (0, 0)
    assert store.clear() == (1, size)
    assert names(store) == set()


def test_leftovers_of_killed_processes_are_removed(
    store: CacheStore, write_entry: WriteEntry, found_on: FoundOn
) -> None:
    """A half-removed entry would be read as an entry, or stay for ever and count towards the limit."""
    removed, bare, unnamed = write_entry(range(3)), write_entry(range(3, 8)), write_entry(range(8, 9))
    removed.rename(store.folder / f".removing-{removed.name}")
    (bare / "entry.json").rename(bare / ".entry.json.abc_123")
    for path in unnamed.iterdir():
        path.unlink()
    assert found_on(store) == set()
    assert store.clear()[0] == 3
    assert names(store) == set()


def test_a_folder_that_disappears_meanwhile_hides_no_other(
    store: CacheStore, write_entry: WriteEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process makes room, the cache would seem almost empty, and grow past its limit."""
    kept = {write_entry(range(number, number + 1)).name for number in range(5)}
    going = sorted(kept)[2]
    iterdir = Path.iterdir

    def racing(path: Path) -> Any:
        if path.name == going:
            shutil.rmtree(path, ignore_errors=True)
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", racing)
    assert {entry.name for entry in store.listing().entries} == kept - {going}


# Folders of others ------------------------------------------------------------------------------------------------


def a_photo(folder: Path) -> None:
    (folder / "photo.jpg").touch()


def a_hidden_file(folder: Path) -> None:
    (folder / ".DS_Store").touch()


def a_folder_of_our_name(folder: Path) -> None:
    (folder / "rows.bin").mkdir()
    (folder / "rows.bin" / "thesis.tex").touch()


def a_link_of_our_name(folder: Path) -> None:
    (folder / "rows.bin").symlink_to(folder.parent)


def a_pipe_of_our_name(folder: Path) -> None:
    os.mkfifo(folder / "rows.bin")


def nothing(_: Path) -> None:
    pass


def our_files(folder: Path) -> None:
    for name in ("entry.json", "rows.bin", "index.bin"):
        (folder / name).touch()


NOT_OURS = {
    **{
        f"{what.__name__} in {name}": (name, what)
        for name in (GOOD_NAME, f".removing-{GOOD_NAME}")
        for what in (a_photo, a_hidden_file, a_folder_of_our_name, a_link_of_our_name, a_pipe_of_our_name)
    },
    **{
        f"{what.__name__} in {name!a}": (name, what)
        for name in (
            "photographs2024x-march",
            "abababababababab-",
            "abababababababab-18c0ffee00000000-0a1b2c3d-copy",
            "ABABABABABABABAB-18c0ffee00000000-0a1b2c3d",
            "\u0661" * 16 + "-1-0a1b2c3d",
            ".removing-photos",
            os.fsdecode(b"abababababababab-1-0a1b2c3\xff"),
        )
        for what in (nothing, our_files)
    },
}


@pytest.mark.parametrize(("name", "fill"), NOT_OURS.values(), ids=NOT_OURS)
def test_a_folder_of_the_users_own_is_never_touched(
    store: CacheStore, write_entry: WriteEntry, known: ModuleType, name: str, fill: Callable[[Path], None]
) -> None:
    """A user who sets AUTOFIT_CACHE to a folder of photos would lose them when it is full, or cleared."""
    ours = write_entry()
    own = store.folder / name
    own.mkdir()
    fill(own)
    (store.folder / "notes.txt").touch()
    before = sorted(path.relative_to(own) for path in own.rglob("*"))
    store.limit_bytes = 1000
    room_for(store, known, 900)
    assert not ours.exists()
    assert [entry.name for entry in store.listing().entries] == [
        path for path in names(store) if (ours.parent / path) != own and path != "notes.txt"
    ]
    store.clear()
    assert names(store) == {name, "notes.txt"}
    assert sorted(path.relative_to(own) for path in own.rglob("*")) == before


def test_a_link_to_a_folder_is_not_followed(
    store: CacheStore, write_entry: WriteEntry, known: ModuleType, tmp_path: Path
) -> None:
    """Files outside the cache would be removed or overwritten."""
    elsewhere = tmp_path / "elsewhere"
    write_entry().rename(elsewhere)
    before = size_of(elsewhere)
    (store.folder / GOOD_NAME).symlink_to(elsewhere)
    assert store.listing().entries == []
    assert store.open_entries(KEY) == []
    assert room_for(store, known, 10, GOOD_NAME) != GOOD_NAME
    store.clear()
    assert size_of(elsewhere) == before
    assert (store.folder / GOOD_NAME).is_symlink()


# An entry that was interrupted ----------------------------------------------------------------------------------------


def test_an_interrupted_entry_is_continued_by_name(
    store: CacheStore, write_entry: WriteEntry, known: ModuleType, found_on: FoundOn
) -> None:
    """Each kill would leave one more entry, and another order of rows."""
    kept = write_entry(range(3))
    with (kept / "rows.bin").open("ab") as rows:
        rows.write(b"half a row")
    with store.writer(known.record(), kept.name, 10_000) as writer:
        assert writer.folder == kept
        known.append(writer, range(3, 8))
    assert names(store) == {kept.name}
    assert found_on(store) == set(range(8))


def test_a_reopened_entry_is_not_evicted_for_its_own_rows(
    store: CacheStore, write_entry: WriteEntry, known: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a drive without locks a continued extraction would write to deleted files."""

    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    kept, other = write_entry(used=10.0), write_entry(used=20.0)
    monkeypatch.setattr(fcntl, "flock", no_locks)
    store.limit_bytes = size_of(kept) + 5000
    assert room_for(store, known, 5000, kept.name) == kept.name
    assert names(store) == {kept.name}
    assert not other.exists()


@pytest.mark.parametrize(
    "record",
    [{"key": OTHER_KEY}, {"key": KEY[:16] + "0" * 48}, {"width": 128}],
    ids=["another key", "the same digits", "another shape"],
)
def test_an_entry_is_continued_only_with_rows_of_its_key(
    store: CacheStore, write_entry: WriteEntry, known: ModuleType, found_on: FoundOn, record: dict[str, Any]
) -> None:
    """One entry would hold rows of two networks."""
    kept = write_entry()
    with store.writer(known.record(**record), kept.name, 10) as writer:
        assert writer.folder != kept
        assert writer.folder.parent == store.folder
    assert found_on(store) == set(range(8))


def test_rows_of_another_shape_are_not_opened_beside_these(
    store: CacheStore, write_entry: WriteEntry, known: ModuleType
) -> None:
    """One flipped digit in an entry's record would end every run with the same network, in NumPy."""
    kept, damaged = write_entry(), write_entry()
    record = (damaged / "entry.json").read_text().replace("256", "257")
    (damaged / "entry.json").write_text(record)
    opened = store.open_entries(KEY, known.record())
    for entry in opened:
        entry.close()
    assert [entry.folder for entry in opened] == [kept]


def test_pixels_are_not_continued_as_features(store: CacheStore, write_entry: WriteEntry, known: ModuleType) -> None:
    """A row would be read as four times as many numbers, or a fourth."""
    kept = write_entry()
    bytes_of_it = known.record().model_copy(update={"dtype": "uint8"})
    with store.writer(bytes_of_it, kept.name, 10) as writer:
        assert writer.folder != kept


BAD_NAMES = [
    "../{}",
    "{}/",
    "{}/../../outside",
    "/{}",
    "../outside",
    "..",
    ".",
    "",
    "abababababababab-../../outside",
    "abababababababab-..",
    "abababababababab-18c0ffee00000000-0a1b2c3d/x",
    "{}\0",
    "{}\n",
    "\ud800",
    "abababababababab-" + "0" * 300 + "-0a1b2c3d",
    "rows.bin",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_an_entry_name_of_another_form_is_not_used(
    store: CacheStore, write_entry: WriteEntry, known: ModuleType, tmp_path: Path, name: str
) -> None:
    """A run directory from an untrusted source would decide which folder is written to."""
    kept = write_entry()
    outside = Path(shutil.copytree(kept, tmp_path / "outside"))
    shutil.copytree(kept, tmp_path / kept.name)
    before = {path.name for path in tmp_path.iterdir()}, size_of(outside)
    made = room_for(store, known, 10, name.format(kept.name))
    assert made != kept.name
    assert names(store) == {kept.name, made}
    assert ({path.name for path in tmp_path.iterdir()}, size_of(outside)) == before


def test_an_entry_in_use_is_not_written_by_another(
    store: CacheStore, write_entry: WriteEntry, known: ModuleType, found_on: FoundOn
) -> None:
    """Two processes would write into one entry, or the second one could not cache anything."""
    kept = write_entry(range(3))
    reader = Entry(kept)
    with store.writer(known.record(), kept.name, 10) as writer:
        known.append(writer, range(3, 8))
        assert writer.folder != kept
    reader.close()
    assert found_on(store) == set(range(8))


def test_an_entry_is_closed_if_there_is_no_room(store: CacheStore, write_entry: WriteEntry, known: ModuleType) -> None:
    """A run that trains without the cache would lock this entry for all others."""
    kept = write_entry()
    store.limit_bytes = size_of(kept) + 10
    with pytest.raises(NoRoomError, match=" in use: "):
        room_for(store, known, 5000, kept.name)
    EntryWriter(kept, known.record()).close()


# Several processes ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_processes_that_write_at_the_same_time_lose_nothing(store: CacheStore, start: Start, found_on: FoundOn) -> None:
    """Of two runs that begin together, one would overwrite the other's rows."""
    writers = [start("entry", store.folder, 20 * number, 20) for number in range(4)]
    assert [writer.communicate(timeout=60) for writer in writers] == [("", "")] * 4
    assert found_on(store) == set(range(80))
    assert len(store.listing().entries) == 4


@pytest.mark.parametrize("moment", ["before it has an index", "before it is locked"])
def test_a_new_entry_that_is_cleared_at_once_is_no_room(
    store: CacheStore, known: ModuleType, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A run would end in a traceback, or write for an hour to deleted files."""
    cleared: list[tuple[int, int]] = []
    if moment == "before it has an index":
        save = EntryRecord.save

        def saved(record: Any, path: Path) -> None:
            save(record, path)
            cleared.append(store.clear())

        monkeypatch.setattr(EntryRecord, "save", saved)
    else:
        flock = fcntl.flock

        def late(file: int, how: int) -> None:
            monkeypatch.setattr(fcntl, "flock", flock)
            cleared.append(store.clear())
            flock(file, how)

        monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(NoRoomError, match="cannot be written"):
        room_for(store, known, 10)
    assert [count for count, _ in cleared] == [1]
    assert names(store) == set()


def test_an_entry_that_is_being_removed_is_no_room(
    store: CacheStore, known: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run would end in a traceback because another process cleared the cache."""
    save = EntryRecord.save
    removers = []

    def saved(record: Any, path: Path) -> None:
        save(record, path)
        remover = (path.parent / "index.bin").open("wb")
        fcntl.flock(remover, fcntl.LOCK_EX)
        removers.append(remover)

    monkeypatch.setattr(EntryRecord, "save", saved)
    with pytest.raises(NoRoomError, match=r"^another process was just clearing the cache$"):
        room_for(store, known, 10)
    removers[0].close()


# Folder and limit -------------------------------------------------------------------------------------------------


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A notebook whose disk is wiped at its end could not cache its features on a drive."""
    monkeypatch.chdir(tmp_path)
    for given, expected in (("~/drive", Path.home() / "drive"), ("here", tmp_path / "here"), (" /a b ", Path("/a b"))):
        monkeypatch.setenv("AUTOFIT_CACHE", given)
        assert default_folder() == expected
    for nothing_given in ("", " "):
        monkeypatch.setenv("AUTOFIT_CACHE", nothing_given)
        assert default_folder() == platformdirs.user_cache_path("autofit")


@pytest.mark.parametrize("given", ["~nobody-of-this-name/x", os.fsdecode(b"/caf\xe9")])
def test_an_impossible_folder_is_refused_in_one_line(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look like a defect of autofit."""
    monkeypatch.setenv("AUTOFIT_CACHE", given)
    with pytest.raises(UserError, match=r"^AUTOFIT_CACHE '.*' cannot be used as a path \(.*\): give another$"):
        default_folder()


def test_the_limit_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small disk would be filled; or a mistyped limit would count as none."""
    for given, expected in (("", 20 * 10**9), (" ", 20 * 10**9), (" 3GB ", 3 * 10**9), ("1GiB", 2**30)):
        monkeypatch.setenv("AUTOFIT_CACHE_LIMIT", given)
        assert default_limit_bytes() == expected
    monkeypatch.setenv("AUTOFIT_CACHE_LIMIT", "lots")
    with pytest.raises(UserError, match=r"^AUTOFIT_CACHE_LIMIT: the size 'lots' is not understood: give for example"):
        default_limit_bytes()


def test_a_drive_that_does_not_say_how_much_is_free_is_used(
    store: CacheStore, write_entry: WriteEntry, found_on: FoundOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features would be extracted in each run, or a run end, where a mount has no statvfs."""

    def refuse(_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(shutil, "disk_usage", refuse)
    write_entry(range(3))
    assert found_on(store) == {0, 1, 2}
    assert store.most_bytes() > 0
