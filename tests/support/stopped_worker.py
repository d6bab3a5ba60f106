"""A process that holds a run directory as a worker does, has no parent that holds it, and was stopped (SIGSTOP)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support.waiting import wait_until

PROGRAM = """
import fcntl, os, signal, sys
held = open(sys.argv[1], "w")
fcntl.flock(held, fcntl.LOCK_EX)
print("held", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@contextmanager
def stopped_worker(run_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """It ends by itself as soon as it is continued."""
    command = [sys.executable, "-S", "-c", PROGRAM, str(run_dir / ".lock"), str(run_dir / "attempts" / "0001")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as worker:
        try:
            assert worker.stdout
            assert worker.stdout.readline() == "held\n"
            process = psutil.Process(worker.pid)
            wait_until(lambda: process.status() == psutil.STATUS_STOPPED, "it does not stop")
            yield worker
        finally:
            worker.kill()
