"""Puts rows into the cache until it is killed or the disk is full; started by `cache/` and `faults/`.

row_writer.py forks                    for each line on stdin, a store: fork a process that appends blocks to its entry
                                       without end, print its process id, wait for its end, print "ended"
row_writer.py entry STORE FIRST COUNT  write the rows of these images to an entry of their own, in blocks
row_writer.py hold ENTRY               print "holds", and hold an entry that is to be written until stdin ends
row_writer.py overflow ENTRY LIMIT WIDTH
                                       append a block, one that does not fit, and one that does; print what came of it
                                       as JSON. LIMIT is the largest file in bytes that may be written; 0 leaves that to
                                       the disk
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autofit.cache.entry import Entry, EntryWriter
from autofit.cache.entry_format import EntryRecord
from autofit.cache.identity import Identities
from autofit.cache.store import CacheStore

KEY = "ab" * 32
WIDTH = 256
PLENTY_BYTES = 10**9


def record(key: str = KEY, width: int = WIDTH) -> EntryRecord:
    """The record of the rows of a key."""
    return EntryRecord(kind="features", key=key, about={}, dtype="float32", row_shape=(width,), created=0.0)


def images(numbers: Iterable[int]) -> Identities:
    """A different identity for each number."""
    digests = b"".join(hashlib.blake2b(b"%d" % number, digest_size=16).digest() for number in numbers)
    return np.frombuffer(digests, np.uint64).reshape(-1, 2)


def rows(numbers: Iterable[int], width: int = WIDTH) -> NDArray[np.float32]:
    """A row for each number; no two rows share a value."""
    return (np.asarray(list(numbers))[:, None] * width + np.arange(width)).astype(np.float32)


def block_from(first: int) -> range:
    """The numbers of the block that begins with this number."""
    return range(first, first + 1 + first * 31 % 17)


def append(writer: EntryWriter, numbers: range) -> None:
    """Append these numbers as a block, in which each three rows count as computed together."""
    places = np.arange(len(numbers))
    writer.append(images(numbers), rows(numbers, writer.record.row_shape[0]), places - places % 3)


def newest(store: CacheStore) -> tuple[str | None, int]:
    """The name of the last entry that can be read, and how many rows it has."""
    name, count = None, 0
    for entry in store.open_entries(KEY):
        name, count = entry.folder.name, len(entry)
        entry.close()
    return name, count


def append_for_ever(folder: Path) -> None:
    signal.alarm(30)  # should the test itself be killed
    store = CacheStore(folder, PLENTY_BYTES)
    name, count = newest(store)
    with store.writer(record(), name, 0) as writer:
        while True:
            block = block_from(count)
            append(writer, block)
            count = block.stop


def fork_writers() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            append_for_ever(Path(line.rstrip("\n")))
        print(child, flush=True)
        os.waitpid(child, 0)
        print("ended", flush=True)


def keep(folder: Path, first: int, count: int) -> None:
    with CacheStore(folder, PLENTY_BYTES).writer(record(), None, 0) as writer:
        for start in range(first, first + count, 7):
            append(writer, range(start, min(start + 7, first + count)))


def overflow(folder: Path, limit_bytes: int, width: int) -> None:
    with EntryWriter(folder, record(width=width)) as writer:
        append(writer, range(10))
        if limit_bytes:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        before = sizes(folder)
        try:
            append(writer, range(10, 2000))
        except OSError as error:
            message = error.strerror
        after = sizes(folder)
        append(writer, range(10, 20))
    entry = Entry(folder)
    report = {"message": message, "kept": before == after, "found": entry.find(images(range(2000))).tolist()[:21]}
    entry.close()
    print(json.dumps(report))


def sizes(folder: Path) -> list[int]:
    return [(folder / name).stat().st_size for name in ("rows.bin", "index.bin")]


if __name__ == "__main__":
    arguments = sys.argv[2:]
    if sys.argv[1] == "forks":
        fork_writers()
    elif sys.argv[1] == "entry":
        keep(Path(arguments[0]), int(arguments[1]), int(arguments[2]))
    elif sys.argv[1] == "hold":
        with EntryWriter(Path(arguments[0]), record()):
            print("holds", flush=True)
            sys.stdin.read()
    else:
        overflow(Path(arguments[0]), int(arguments[1]), int(arguments[2]))
