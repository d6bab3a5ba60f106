"""What ends a worker's job, on purpose or by running out of memory; importable before TensorFlow."""

from __future__ import annotations

from typing import Literal

from autofit.errors import UserError


class StopRequested(Exception):  # noqa: N818 - no error: the worker was asked to stop
    """The attempt stops here because it was asked to; all applied updates are committed."""

    def __init__(self, reason: Literal["interrupted", "yielded"], cause: str) -> None:
        super().__init__(cause)
        self.reason = reason


class OutOfDeviceMemoryError(Exception):
    """The device's memory ran out and there is nothing left to make smaller; the weights are whole."""


class TornUpdateError(Exception):
    """Memory ran out inside the update itself: the weights in this process can no longer be trusted."""


class ShortOfMemoryError(UserError):
    """The host has too little left for a worker to begin. `cause` says so without what to do."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"{cause}: free memory")
        self.cause = cause


def first_line(error: BaseException) -> str:
    """The first line of a message that says something; the name of the error if there is none.

    An error inside a function that TensorFlow has compiled begins with where that was: `Graph execution error:`,
    `Detected at node ... defined at (most recent call last):` and lines of a stack.
    """
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    if lines and lines[0].strip() == "Graph execution error:":
        lines = [line for line in lines[1:] if not line.startswith((" ", "\t", "Detected at node", "<stack"))] or lines
    return lines[0].strip() if lines else type(error).__name__
