"""Opens files from a stranger, each in a forked process of its own: `open_stranger.py ACTION=PATH...`.

Prints a list of JSON: for each, what was said, how many MiB it took beside what the process had, and its seconds.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from autofit import api
from autofit.cache.store import CacheStore
from autofit.errors import AutofitError
from autofit.runs.collect_result import collect_result
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from autofit.worker.training.audit_log import read_micro_batch_sizes

MOST_ADDRESS_BYTES = 4 * 2**30
MOST_SECONDS = 120
WEIGHTS_BYTES = 300 * 2**20


def resume(path: Path) -> None:
    """What `autofit resume` reads before it starts a worker."""
    resuming: Any = api.resuming
    resuming.supervise = lambda files, *_: collect_result(files, "interrupted", "", 0.0)
    api.resume(path)


ACTIONS: dict[str, Any] = {
    "report": api.write_report,
    "resume": resume,
    "replay": read_micro_batch_sizes,
    "cache": lambda path: CacheStore(path, 10**9).listing(),
    "checkpoint": lambda path: CheckpointStore(path / "checkpoints").latest(WEIGHTS_BYTES),
    "collect": lambda path: collect_result(RunDirectory(path), "interrupted", "", 0.0),
}


def act(action: str, path: Path) -> str:
    """Do it; the message of the error in which it ends, or nothing."""
    try:
        ACTIONS[action](path)
    except AutofitError as error:
        return str(error)
    except BaseException as error:  # noqa: BLE001 - the test is told of any
        return f"TRACEBACK {type(error).__name__}: {error}"
    return ""


def measured(action: str, path: Path) -> tuple[str, int, float]:
    """The same in a process of its own, with its memory in MiB and its seconds."""
    reading, writing = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESS_BYTES, MOST_ADDRESS_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        said = act(action, path)
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(writing, json.dumps([said[:2000], taken // 1024]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        data = answer.read()
    os.waitpid(child, 0)
    said, taken_mib = json.loads(data or b'["KILLED", 0]')
    return said, taken_mib, time.monotonic() - started


if __name__ == "__main__":
    asked = [argument.partition("=") for argument in sys.argv[1:]]
    print(json.dumps([measured(action, Path(path)) for action, _, path in asked]))
