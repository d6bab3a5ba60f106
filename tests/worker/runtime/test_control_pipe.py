"""The control pipe from the worker's side."""

from __future__ import annotations

import subprocess
import sys

import pytest

from autofit.protocol.messages import Request
from autofit.worker.runtime.control_pipe import PARENT_GONE_EXIT_CODE, Requests
from tests.support.paths import child_environment

WORKER = """
import sys, time
from autofit.worker.runtime.control_pipe import read_requests
requests = read_requests(0)
print(requests.get(timeout=10).trial, requests.get(timeout=10).leave, flush=True)
time.sleep(60)
"""

COMMITTING_WORKER = """
import os, sys, time
from autofit.worker.runtime.control_pipe import read_requests
requests = read_requests(0)
requests.grace_seconds = float(sys.argv[1])
print("ready", flush=True)
print(requests.get(timeout=10), flush=True)
time.sleep(float(sys.argv[2]))
print("committed", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize(
    ("grace", "takes", "code", "said"),
    [("60", "0", 0, b"None\ncommitted\n"), ("0.1", "60", PARENT_GONE_EXIT_CODE, b"None\n")],
    ids=["in time", "too slow"],
)
def test_a_worker_may_commit_for_a_while_after_its_parent_is_gone(
    grace: str, takes: str, code: int, said: bytes
) -> None:
    """What it has trained would be lost, or a step that never ends would keep an orphan alive."""
    command = [sys.executable, "-c", COMMITTING_WORKER, grace, takes]
    with subprocess.Popen(command, stdin=-1, stdout=-1, env=child_environment()) as worker:
        assert worker.stdout
        assert worker.stdout.readline() == b"ready\n"
        rest, _ = worker.communicate(timeout=30)  # which closes the pipe
    assert (worker.returncode, rest) == (code, said)


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


def test_a_request_for_a_shard_is_no_reason_to_stop() -> None:
    """A look whether to stop would take the request, and the worker stop in place of extracting."""
    requests = Requests()
    requests.put(Request(shard=0))
    requests.put(Request(leave="interrupted"))
    assert requests.shards.get_nowait() == 0
    assert requests.get_nowait() == Request(leave="interrupted")
    assert requests.empty()
