"""Patience with a drive that fails for a while or hangs: images are read again before they are given up.

A network drive fails for all files at once and recovers as a whole; a disk has bad sectors in single files. So an image
is tried again for a minute as long as nothing at all can be read, but only a few times if other images can be read.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

from autofit.input.decode import path_read_by
from autofit.input.image_files import DriveError
from autofit.printable import printable

FIRST_WAIT_SECONDS, WAIT_GROWTH, LONGEST_WAIT_SECONDS = 0.1, 3.0, 10.0

SILENCE_SECONDS = 60.0
"""How long an image is tried again while nothing at all can be read; after that time, each image is tried once."""

TRIES_WHILE_IT_ANSWERS = 5

SAY_SECONDS = 7.0
"""After waiting this long for an image a message names its drive, so that the user is told within 10 s."""

ASK_SECONDS = 1.0
"""How often a consumer that waits asks whether it should go on."""

MOUNTS = Path("/proc/self/mountinfo")

R = TypeVar("R")


class DrivePatience:
    """Reads images again where their drive fails, and says so.

    Args:
        say: takes a line for the user; called in the consumer's thread.
        go_on: called in the consumer's thread each second that it waits; it raises if it should not wait any longer.
        clock: in seconds.
    """

    def __init__(
        self,
        say: Callable[[str], None] = lambda _: None,
        go_on: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say, self._go_on, self._clock = say, go_on, clock
        self._lock, self._is_closed = threading.Lock(), threading.Event()
        self._reading: dict[int, float] = {}  # by thread, since when
        self._answers, self._why = 0, ""
        self._silent_since: float | None = None
        self._named: tuple[str, float] | None = None

    def read(self, read: Callable[[], None]) -> None:
        """Call `read`, which decodes an image; call it again, after growing waits, if its drive fails. In any thread.

        Raises:
            DriveError: it still failed.
            Exception: any other exception of `read`.
        """
        with self._noted():
            answers = self._answers
            for tries in itertools.count(1):
                try:
                    read()
                except DriveError as error:
                    if not self._failed(error, tries, answers) or self._is_closed.wait(wait_seconds(tries)):
                        raise
                except Exception:
                    self._answered()
                    raise
                else:
                    self._answered()
                    return

    def result(self, future: Future[R], path: str = "") -> R:
        """Wait for a future in the consumer's thread; if that lasts, a message names the drive.

        That is the drive of the image that is being read or, if there is none, of `path`.

        Raises:
            Exception: what `go_on` raises, or the future.
        """
        began = self._clock()
        while not _is_done(future):
            self._go_on()
            self._look(began, path)
        if self._named and self._silent_since is None:
            drive, since = self._named
            self._named = None
            self._say(f"{drive} answers again, after {self._clock() - since:.0f} s")
        return future.result()

    def close(self) -> None:
        """Stop waiting for drives."""
        self._is_closed.set()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        thread = threading.get_ident()
        self._reading[thread] = self._clock()
        try:
            yield
        finally:
            del self._reading[thread]

    def _failed(self, error: DriveError, tries: int, answers_before: int) -> bool:
        """Note a failure; returns whether to try again."""
        with self._lock:
            now = self._clock()
            self._why = str(error)
            if self._silent_since is None:
                self._silent_since = now
            if self._answers > answers_before:
                return tries < TRIES_WHILE_IT_ANSWERS
            return now - self._silent_since < SILENCE_SECONDS

    def _answered(self) -> None:
        with self._lock:
            self._answers += 1
            self._silent_since = None

    def _look(self, began: float, path: str) -> None:
        """Show a message with the name of the drive, once, if the wait for an image has become too long."""
        now = self._clock()
        for thread, since in sorted(self._reading.copy().items(), key=itemgetter(1))[:1]:
            began, path = max(began, since), path_read_by(thread) or path
        if self._named is not None or not path or now - began < SAY_SECONDS:
            return
        drive = drive_of(path)
        self._named = drive, began
        why = f" ({self._why}): its images are tried again" if self._silent_since is not None else ": waiting for it"
        self._say(silence_line(drive, now - began, why))


def drive_of(path: str) -> str:
    """The drive of a path, as messages name it."""
    return f"the drive {printable(mount_of(path))}"


def silence_line(drive: str, seconds: float, why: str) -> str:
    """The line about a drive that has not answered for `seconds`; `why` says what is done about it."""
    return f"{drive} does not answer, for {seconds:.0f} s now{why}; Ctrl-C stops"


def _is_done(future: Future[R]) -> bool:
    """Wait for a future for at most a second; returns whether it is done."""
    try:
        future.exception(ASK_SECONDS)
    except TimeoutError:
        return future.done()
    except CancelledError:
        return True
    return True


def mount_of(path: str) -> str:
    """The folder where the drive of an absolute path is mounted. The drive itself is not accessed: it may hang."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return "/"
    # proc(5), mountinfo: the fifth field, with blanks and the like in octal
    mounts = [_unescaped(fields[4]) for line in lines if len(fields := line.split(" ")) > len("12345")]
    holding = [mount for mount in mounts if path == mount or path.startswith(mount.rstrip("/") + "/")]
    return max(holding, key=len, default="/")


def _unescaped(field: str) -> str:
    for code, mark in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, mark)
    return field


def wait_seconds(tries: int) -> float:
    """How long to wait after `tries` tries, at least one."""
    return min(FIRST_WAIT_SECONDS * WAIT_GROWTH ** min(tries - 1, 20), LONGEST_WAIT_SECONDS)
