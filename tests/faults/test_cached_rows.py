"""Rows of the cache under real faults: their writer killed at any moment, and their files damaged in every way."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from autofit.cache.entry import KEY_FILE
from autofit.cache.entry_format import INDEX
from autofit.cache.store import CacheStore
from autofit.storage.user_key import new_key
from tests.support.paths import CHILDREN, load_child

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("autofit_is_found")]

WRITER = CHILDREN / "row_writer.py"
OTHER_KEY = "cd" * 32
PLENTY_BYTES = 10**9
ENOUGH_ROWS = 2000
ROWS, WIDTH = 40, 16

Count = Callable[..., None]
Mutation = Callable[[bytes, bytes, random.Random], bytes]


@pytest.fixture(scope="module")
def known() -> ModuleType:
    """Which image has which row."""
    return load_child("row_writer")


def rows_found(store: CacheStore, known: ModuleType, count: int, width: int = WIDTH) -> set[int]:
    """The first images that have a row in the store; asserts that each row is the image's own."""
    found: set[int] = set()
    record = known.record(width=width)
    for entry in store.open_entries(record.key, record):
        places = entry.find(known.images(range(count)))
        has = np.flatnonzero(places >= 0)
        assert np.array_equal(entry.rows(places[has]), known.rows(has, width))
        found |= set(has.tolist())
        entry.close()
    return found


def go_on(store: CacheStore, known: ModuleType, name: str | None, missing: set[int], width: int = WIDTH) -> None:
    """Do what the next run does: continue the entry if possible, and add the missing rows."""
    with store.writer(known.record(width=width), name, 10_000) as writer:
        for number in sorted(missing):
            known.append(writer, range(number, number + 1))


# Kills ----------------------------------------------------------------------------------------------------------------


def is_whole(folder: Path) -> bool:
    """Whether an entry has all its files, and as many rows as lines in its index."""
    index, rows = folder / "index.bin", folder / "rows.bin"
    if not rows.exists():
        return False
    row_bytes = 4 * 256
    return index.stat().st_size * row_bytes == rows.stat().st_size * INDEX.itemsize


def bounds_of_blocks(known: ModuleType, upto: int) -> set[int]:
    bounds = [0]
    while bounds[-1] < upto:
        bounds.append(known.block_from(bounds[-1]).stop)
    return set(bounds)


def test_a_kill_at_any_moment_leaves_whole_blocks(
    known: ModuleType, tmp_path: Path, count: Count, *, whole: bool
) -> None:
    """A killed extraction would leave rows of other images, or start from the beginning each time (promise 2)."""
    chance = random.Random(0)
    store = CacheStore(tmp_path / "0", PLENTY_BYTES)
    rows = hits = 0
    with subprocess.Popen([sys.executable, str(WRITER), "forks"], stdin=-1, stdout=-1, text=True) as writers:
        assert writers.stdin
        assert writers.stdout
        for turn in range(300):
            if turn >= 30 and hits and not whole:  # seldom are thirty not enough to hit one
                break
            count(promise=2)
            writers.stdin.write(f"{store.folder}\n")
            writers.stdin.flush()
            child = int(writers.stdout.readline())
            time.sleep(chance.uniform(0.0, 0.01))
            os.kill(child, signal.SIGKILL)
            assert writers.stdout.readline() == "ended\n"
            hits += store.folder.exists() and not all(map(is_whole, store.folder.glob("*-*")))
            name, has = known.newest(store)
            assert has >= rows
            assert has in bounds_of_blocks(known, has)
            assert rows_found(store, known, has + 20, 256) == set(range(has))
            rows = has
            if rows > ENOUGH_ROWS or turn % 10 == 9:
                assert_gone_on_with(store, known, name, rows)
                store, rows = CacheStore(tmp_path / f"{turn + 1}", PLENTY_BYTES), 0
        writers.stdin.close()
    assert hits > 0, "no block was ever hit"


def assert_gone_on_with(store: CacheStore, known: ModuleType, name: str | None, rows: int) -> None:
    """Assert that the next writer continues the entry, and that the next clearing removes killed writers' files."""
    go_on(store, known, name, {rows, rows + 1}, 256)
    assert rows_found(store, known, rows + 20, 256) == set(range(rows + 2))
    assert name is None or known.newest(store) == (name, rows + 2)
    store.clear()
    assert list(store.folder.glob("*-*")) == []


# Damage ---------------------------------------------------------------------------------------------------------------


def flip(data: bytes, _: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ chance.randrange(1, 256)]) + data[at + 1 :]


def truncate(data: bytes, _: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def zero(data: bytes, _: bytes, chance: random.Random) -> bytes:
    """Zero a block, as a file system does that allocated and never wrote it."""
    at = chance.randrange(len(data))
    end = chance.randrange(at, len(data)) + 1
    return data[:at] + bytes(end - at) + data[end:]


def extend(data: bytes, _: bytes, chance: random.Random) -> bytes:
    return data + chance.randbytes(chance.randrange(1, 200))


def rotate(data: bytes, _: bytes, chance: random.Random) -> bytes:
    """Rotate by a few bytes, or by some rows or lines: valid content in the wrong place."""
    at = chance.choice([1, 4, WIDTH * 4, INDEX.itemsize]) * chance.randrange(1, 10)
    return data[at:] + data[:at]


def swap(_: bytes, other: bytes, chance: random.Random) -> bytes:
    del chance
    return other


def splice(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Join the start of one file and the rest of another at the same offset: mixed-up blocks of a disk."""
    at = chance.randrange(len(data))
    return data[:at] + other[at:]


MUTATIONS = [flip, truncate, zero, extend, rotate, swap, splice]


class Damaged:
    """An entry whose files are damaged in each case, and other entries whose files replace them.

    One has the same network and other images, another the same images and another network.
    """

    def __init__(self, known: ModuleType, folder: Path) -> None:
        self._known, self._key = known, folder / KEY_FILE  # one user's: it must not be what tells them apart
        new_key(self._key)
        self.store = CacheStore(folder / "cache", PLENTY_BYTES)
        self._good = self._made(folder / "good", known.KEY, 0)
        self._others = [self._made(folder / "images", known.KEY, ROWS), self._made(folder / "network", OTHER_KEY, 0)]
        self.name = self._good.name

    def _made(self, folder: Path, key: str, first: int) -> Path:
        numbers = self._known.images(range(first, first + ROWS))
        rows = self._known.rows(range(first, first + ROWS), WIDTH) + (0.5 if key == OTHER_KEY else 0.0)
        record = self._known.record(key, WIDTH)
        folder.mkdir()
        shutil.copy(self._key, folder / KEY_FILE)
        with CacheStore(folder, PLENTY_BYTES).writer(record, None, 10_000) as writer:
            for at in range(0, ROWS, 7):
                places = np.arange(len(rows[at : at + 7]))
                writer.append(numbers[at : at + 7], rows[at : at + 7], places)
        return writer.folder

    def case(self, names: list[str], mutation: Mutation, chance: random.Random) -> None:
        """Damage these files of a new copy, and check the rows that are found in it."""
        shutil.rmtree(self.store.folder, ignore_errors=True)
        entry = Path(shutil.copytree(self._good, self.store.folder / self.name))
        shutil.copy(self._key, self.store.folder / KEY_FILE)
        donor = chance.choice(self._others)
        changed = False
        for name in names:
            good = (entry / name).read_bytes()
            other = (donor / chance.choice([name, name, "rows.bin", "index.bin"])).read_bytes()
            bad = mutation(good, other, chance)
            (entry / name).write_bytes(bad)
            changed |= bad != good
        upto = 2 * ROWS
        found = rows_found(self.store, self._known, upto)
        assert changed or found == set(range(ROWS))
        missing = set(range(ROWS)) - found
        go_on(self.store, self._known, self.name, missing)
        assert rows_found(self.store, self._known, upto) >= set(range(ROWS))


@pytest.fixture(scope="module")
def damaged(known: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    return Damaged(known, tmp_path_factory.mktemp("damaged"))


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_no_damage_gives_an_image_the_row_of_another(
    damaged: Damaged, count: Count, *, whole: bool, mutation: Mutation
) -> None:
    """A flipped bit on the disk would be trained on, or end every run that reads it (promise 5)."""
    chance = random.Random(mutation.__name__)
    for turn in range(1000 if whole else 30):
        count(promise=5)
        damaged.case([("rows.bin", "index.bin", "entry.json")[turn % 3]], mutation, chance)


def test_damage_all_over_gives_an_image_no_other_row(damaged: Damaged, count: Count, *, whole: bool) -> None:
    """Mixed-up files would be consistent with each other, with the rows of other images or of another network."""
    chance = random.Random(0)
    for _ in range(1000 if whole else 60):
        count(promise=5)
        names = chance.choice([["rows.bin", "index.bin"], ["rows.bin", "index.bin", "entry.json"]])
        damaged.case(names, chance.choice([*MUTATIONS, swap, swap]), chance)
