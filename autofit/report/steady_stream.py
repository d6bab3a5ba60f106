"""Output streams that may be closed: a closed terminal, a pipe whose reader has ended, a stream that was never open.

A run goes on without them: what can no longer be shown is dropped.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Any, TextIO, cast

GONE = (OSError, ValueError, AttributeError)
"""The exceptions of writing to such a stream: OSError with EPIPE, EIO or EBADF; ValueError if it was closed in Python;
AttributeError if it is None, as in a program without a console."""


class SteadyStream:
    """A text stream whose writes never fail; all other attributes are those of the wrapped stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, if the stream is still open."""
        with contextlib.suppress(*GONE):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream, if it is still open."""
        with contextlib.suppress(*GONE):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def steady(stream: TextIO) -> TextIO:
    """The stream, with writes that never fail."""
    return cast("TextIO", SteadyStream(stream))


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is open and a terminal."""
    with contextlib.suppress(*GONE):
        return stream is not None and stream.isatty()
    return False


def open_missing_streams() -> None:
    """Open `/dev/null` in place of standard streams that are closed (`autofit train … >&-`).

    Otherwise the next file to be opened would get the stream's file descriptor, and the printed text would go there.
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
    """Flush the standard streams; drop what cannot be written, about which Python would complain at its exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except GONE:
            with contextlib.suppress(*GONE):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
