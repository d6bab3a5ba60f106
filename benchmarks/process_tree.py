"""The memory of all processes that are started here, looked at from outside while they run."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import psutil

LOOK_EVERY_SECONDS = 0.2


class TreeMemory:
    """As a context manager: the most that the descendants of this process had resident at once.

    What two of them share, such as libraries, is counted for each: it is a bound from above. A peak shorter than the
    fifth of a second between two looks may be missed.

    Attributes:
        peak_bytes: the most so far.
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        own = psutil.Process()
        while not self._ended.wait(LOOK_EVERY_SECONDS):
            self.peak_bytes = max(self.peak_bytes, sum(map(resident_bytes, own.children(recursive=True))))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()


def resident_bytes(process: psutil.Process) -> int:
    """What it has resident; nothing if it has just ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
