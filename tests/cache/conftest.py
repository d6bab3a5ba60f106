"""Rows that are known by heart, entries of them, and the program that writes them in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from autofit.cache.entry import Entry, EntryWriter
from autofit.cache.entry_format import EntryRecord
from tests.support.paths import CHILDREN, child_environment, load_child

WRITER = CHILDREN / "row_writer.py"
WIDTH = 3

MakeEntry = Callable[..., Path]


@pytest.fixture(scope="session")
def known() -> ModuleType:
    """`children/row_writer.py`: which image has which row."""
    return load_child("row_writer")


@pytest.fixture
def small(known: ModuleType) -> EntryRecord:
    """A record of rows of three numbers, so that a test can try every byte of a file."""
    record: EntryRecord = known.record(width=WIDTH)
    return record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a test's entry."""
    return tmp_path / "entry"


@pytest.fixture
def make(known: ModuleType, small: EntryRecord, folder: Path) -> MakeEntry:
    """Make an entry of blocks: numbers of images each, `[range(0, 3), range(3, 8)]` if they are not given."""

    def make(blocks: list[range] | None = None, at: Path = folder, record: EntryRecord = small) -> Path:
        with EntryWriter(at, record) as writer:
            for block in blocks if blocks is not None else [range(3), range(3, 8)]:
                known.append(writer, block)
        return at

    return make


@pytest.fixture
def found_in(known: ModuleType) -> Callable[..., set[int]]:
    """Which of the first images an entry has, each with its own row and no other's; none if it cannot be read."""

    def found_in(folder: Path, count: int = 20) -> set[int]:
        try:
            entry = Entry(folder)
        except (OSError, ValueError):
            return set()
        places = entry.find(known.images(range(count)))
        has = np.flatnonzero(places >= 0)
        rows = entry.rows(places[has])
        entry.close()
        assert np.array_equal(rows, known.rows(has, entry.record.row_shape[0]))
        return set(has.tolist())

    return found_in


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


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """Start `row_writer.py` with these arguments, after a command that runs it, if one is given."""

    def start(*arguments: object, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*prefix, sys.executable, str(WRITER), *map(str, arguments)],
            env=child_environment(OPENBLAS_NUM_THREADS="1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
