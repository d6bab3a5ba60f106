"""Output that may go away: a closed terminal, a pipe whose reader has ended, a stream that was never open.

A training is worth more than its words: what can no longer be shown is left out, and the run goes on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Any, TextIO, cast

GONE = (OSError, ValueError, AttributeError)
"""What writing raises then: EPIPE, EIO, EBADF; ValueError for a stream that was closed in Python; AttributeError for
none at all, as in a program without a console."""


class SteadyStream:
    """A text stream whose writes never fail. Everything else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written."""
        with contextlib.suppress(*GONE):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with contextlib.suppress(*GONE):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def steady(stream: TextIO) -> TextIO:
    """The stream, with writes that never fail."""
    return cast("TextIO", SteadyStream(stream))


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is there, and a terminal."""
    with contextlib.suppress(*GONE):
        return stream is not None and stream.isatty()
    return False


def open_missing_streams() -> None:
    """Open `/dev/null` in place of standard streams that are closed (`autofit train … >&-`).

    Otherwise the next file to be opened would get the number of the stream, and with it what is printed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError as error:
            if error.errno == errno.EBADF:
                os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def flush_what_can_be_shown() -> None:
    """Flush the standard streams; what cannot be shown goes nowhere, and not into a message of Python's at the end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except GONE:
            with contextlib.suppress(*GONE):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
