"""Reads an entry of a cache again and again until stdin ends: row_reader.py STORE.

Prints "ready", "read" when it has read rows for the first time, "wrong" for others than were written, and how often.
"""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from row_writer import KEY, PLENTY_BYTES, images, rows  # type: ignore[import-not-found]  # lies beside this script

from autofit.cache.store import CacheStore

COUNT = 200


def main() -> None:
    store, read = CacheStore(Path(sys.argv[1]), PLENTY_BYTES), 0
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        for entry in store.open_entries(KEY):
            places = entry.find(images(range(COUNT)))
            has = np.flatnonzero(places >= 0)
            for _ in range(20):
                if not np.array_equal(entry.rows(places[has]), rows(has)):
                    print("wrong", flush=True)
                read += len(has) > 0
                if read == 1 and len(has):
                    print("read", flush=True)
            entry.close()
    print(read, flush=True)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
