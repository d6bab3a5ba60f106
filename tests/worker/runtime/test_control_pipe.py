"""The control pipe from the worker's side."""

from __future__ import annotations

import subprocess
import sys

from autofit.worker.runtime.control_pipe import PARENT_GONE_EXIT_CODE
from tests.support.paths import child_environment

WORKER = """
import sys, time
from autofit.worker.runtime.control_pipe import read_requests
requests = read_requests(0)
print(requests.get(timeout=10).trial, requests.get(timeout=10).leave, flush=True)
time.sleep(60)
"""


def test_requests_come_in_order_and_the_end_of_the_pipe_ends_the_worker() -> None:
    """An orphan would hold memory and the run directory, also if its parent died in the middle of a line.

    A line that is cut off, or nonsense, must not end the thread that waits for the end.
    """
    environment = child_environment()
    command = [sys.executable, "-c", WORKER]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, env=environment) as worker:
        try:
            assert worker.stdin
            assert worker.stdout
            worker.stdin.write(b'{"trial": 8}\n\n\xff\n{"trial": \n{"unknown": 1}\n{"leave": "yielded"}\n')
            worker.stdin.flush()
            assert worker.stdout.readline() == b"8 yielded\n"
            assert worker.poll() is None
            assert worker.communicate(b'{"tri', timeout=10) == (b"", b"")
        finally:
            worker.kill()
    assert worker.returncode == PARENT_GONE_EXIT_CODE
