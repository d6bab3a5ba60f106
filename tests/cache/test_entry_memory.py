"""How much of an entry stays in the memory of the process that reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from autofit.cache import entry as entry_module
from autofit.cache.entry import Entry, EntryWriter
from autofit.cache.entry_format import EntryRecord

ROWS, WIDTH = 4096, 4096  # 64 MiB
MEGABYTE = 2**20


def _mapped_bytes() -> int:
    """The resident pages of files that this process maps."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssFile:"))


def test_an_entry_larger_than_memory_is_read_in_little_of_it(
    folder: Path, opened: Callable[[Path], Entry], known: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows read from the cache would count as the worker's memory: it would stop, short of it, again and again."""
    monkeypatch.setattr(entry_module, "MAPPED_BYTES", 4 * MEGABYTE)
    monkeypatch.setattr(entry_module, "COMPARED_BYTES", MEGABYTE)
    record = EntryRecord(kind="features", key=known.KEY, about={}, dtype="float32", row_shape=(WIDTH,), created=0.0)
    values = np.arange(ROWS, dtype=np.float32)
    with EntryWriter(folder, record) as writer:
        for start in range(0, ROWS, 256):
            rows = np.repeat(values[start : start + 256, None], WIDTH, axis=1)
            writer.append(known.images(range(start, start + 256)), rows, np.zeros(256, np.int64))
    entry = opened(folder)
    before = _mapped_bytes()
    numbers = entry.find(known.images(range(ROWS)))
    after_look_up = _mapped_bytes()
    assert numbers.tolist() == list(range(ROWS))
    for start in range(0, ROWS, 64):
        read = entry.rows(numbers[start : start + 64])
        assert (read[:, [0, -1]] == values[start : start + 64, None]).all()
    assert max(after_look_up, _mapped_bytes()) - before < 16 * MEGABYTE
