"""Saves checkpoints until it is killed or the disk is full; started by `faults/test_checkpoints.py`.

saver.py forks FOLDER           for each line on stdin: fork a process that saves in a loop, print its process id,
                                wait for its end, print "ended"
saver.py once FOLDER CURSOR     save once, and say "saved" or what the error says. The save begins after the only call
                                of chdir, and this process says it by one of writev: no fault is injected into these
saver.py overflow FOLDER LIMIT  save a small checkpoint, then one that does not fit; print what came of it as JSON.
                                LIMIT is the largest file in bytes that may be written; 0 leaves that to the disk
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np

from autofit.errors import StorageError
from autofit.storage.checkpoints import CheckpointStore


def contents(cursor: int) -> dict[str, dict[str, np.ndarray]]:
    """Arrays that all say which save they belong to, but for a group that never changes."""
    groups = {group: {"a": np.full(4000, cursor), "b/c": np.array(cursor)} for group in ("model", "optimizer")}
    return groups | {"best": {"a": np.arange(4000)}}


def save(store: CheckpointStore, cursor: int) -> None:
    """Save what belongs to a cursor."""
    store.save(contents(cursor), {"cursor": cursor}, unchanged=["best"])


def save_for_ever(folder: Path) -> None:
    signal.alarm(30)  # should the test itself be killed
    store = CheckpointStore(folder)
    cursor = int((store.latest_state() or {"cursor": 0})["cursor"])
    while True:
        cursor += 1
        save(store, cursor)


def save_once(folder: Path, cursor: int) -> None:
    with tempfile.TemporaryDirectory() as elsewhere:  # what is imported late is imported here
        save(CheckpointStore(Path(elsewhere)), cursor)
    os.chdir("/")
    try:
        save(CheckpointStore(folder), cursor)
        said = "saved"
    except StorageError as error:
        said = str(error)
    os.writev(1, [said.encode()])
    os._exit(0)


def fork_savers(folder: Path) -> None:
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            save_for_ever(folder)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("ended", flush=True)


def overflow(folder: Path, limit_bytes: int) -> None:
    store = CheckpointStore(folder)
    save(store, 1)
    if limit_bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    try:
        store.save({"model": {"a": np.ones(2**20)}}, {"cursor": 2})
    except StorageError as error:
        message = str(error)
    latest = store.latest()
    report = {
        "message": message,
        "state": latest and latest.state,
        "names": sorted(path.name for path in folder.iterdir()),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    if sys.argv[1] == "forks":
        fork_savers(Path(sys.argv[2]))
    elif sys.argv[1] == "once":
        save_once(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        overflow(Path(sys.argv[2]), int(sys.argv[3]))
