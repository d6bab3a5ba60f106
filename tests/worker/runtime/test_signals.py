"""What signals mean to a worker, in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.support.paths import child_environment

PROGRAM = """
import sys, time
from autofit.worker.runtime.control_pipe import Requests
from autofit.worker.runtime.signals import heed_signals
requests = Requests()
requests.grace_seconds = float(sys.argv[1])
heed_signals(requests)
print("ready", flush=True)
while not requests.stop_signal and not requests.commit_is_asked:
    time.sleep(0.01)
print(requests.stop_signal or "commit", flush=True)
"""


def answer(grace_seconds: float, asked: signal.Signals) -> tuple[str, int]:
    """What the process says after the signal, and how it ends."""
    command = [sys.executable, "-c", PROGRAM, str(grace_seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_environment()) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(asked)
        said = process.stdout.read().strip()
    return said, process.returncode


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_stops_a_worker_that_has_something_to_commit(name: str) -> None:
    """A batch system that signals all processes of a job would kill the worker before it could save."""
    assert answer(20.0, signal.Signals[name]) == (name, 0)
    assert answer(0.0, signal.Signals[name]) == ("", -signal.Signals[name])


def test_sigusr1_asks_a_worker_for_a_checkpoint() -> None:
    """It would kill the worker, which is what it does to a process that has no handler."""
    assert answer(20.0, signal.SIGUSR1) == ("commit", 0)
