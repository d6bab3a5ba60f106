"""The exceptions that end a worker's job, on purpose or out of memory. Nothing here imports TensorFlow."""

from __future__ import annotations

import re
from typing import Literal

from autofit.errors import UserError

_PLACEMENT = re.compile(r"\{\{function_node [^}]*\}\} ?| on /job:\S+| by allocator \S+| \[Op:\w+\]( name:.*)?")
"""What TensorFlow adds to the message of an out-of-memory about where an operation runs."""


class StopRequested(Exception):  # noqa: N818 - no error: the worker was asked to stop
    """The attempt stops because it was asked to; all updates so far are committed."""

    def __init__(self, reason: Literal["interrupted", "yielded", "host_oom"], cause: str) -> None:
        super().__init__(cause)
        self.reason = reason


class OutOfDeviceMemoryError(Exception):
    """The device's memory ran out with the smallest micro-batch too; the weights are intact."""


class TornUpdateError(Exception):
    """Memory ran out while the weights were updated: the weights in this process may be updated in part."""


class ShortOfMemoryError(UserError):
    """The host has too little memory left for a worker to begin. `cause` is the message without the advice."""

    def __init__(self, cause: str, advice: str = "free memory") -> None:
        super().__init__(f"{cause}: {advice}")
        self.cause = cause


def first_line(error: BaseException) -> str:
    """The first line of an error's message that names the cause; the error's class if the message is empty.

    The message of an error inside a function that TensorFlow has compiled begins with the place: `Graph execution
    error:`, `Detected at node ... defined at (most recent call last):` and lines of a stack. These are left out.
    """
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    if lines and lines[0].strip() == "Graph execution error:":
        lines = [line for line in lines[1:] if not line.startswith((" ", "\t", "Detected at node", "<stack"))] or lines
    return lines[0].strip() if lines else type(error).__name__


def without_placement(message: str) -> str:
    """The message of an out-of-memory without where the operation runs: with what was too large."""
    return _PLACEMENT.sub("", message).strip()
