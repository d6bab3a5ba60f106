"""Waiting for a condition, for as long as a busy machine may need."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from autofit.process.launch import Exit, Worker

PATIENCE_SECONDS = 120.0
"""Only a test that fails waits that long; no busy machine makes a test that passes fail."""
PAUSE_SECONDS = 0.005


def wait_until(
    condition: Callable[[], object],
    message: str = "the condition never came true",
    *,
    seconds: float = PATIENCE_SECONDS,
    process: subprocess.Popen[str] | subprocess.Popen[bytes] | None = None,
) -> None:
    """Wait until the condition is true.

    Args:
        condition: Evaluated every few milliseconds.
        message: Says what did not happen.
        seconds: How long to wait at most.
        process: The program that makes the condition true: it is an error if it ends first.

    Raises:
        AssertionError: The time is over, or `process` has ended.

    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, f"the program ended first: {message}"
        assert time.monotonic() < deadline, message
        time.sleep(PAUSE_SECONDS)


def exit_of(worker: Worker) -> Exit:
    """Wait for a worker to end, and return how it ended."""
    wait_until(lambda: worker.poll() is not None, "the worker does not end")
    ended = worker.poll()
    assert ended is not None
    return ended


def comes_true(condition: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for the condition; whether it came true in time and before the command ended."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False
