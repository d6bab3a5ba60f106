"""Makes calls that may hang on a drive: a message names the drive after some seconds, and Ctrl-C still works.

A system call to a drive that does not answer cannot be interrupted; so it is made in a thread of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from autofit.input.drive_patience import SAY_SECONDS, drive_of, silence_line

LOOK_SECONDS = 0.1

R = TypeVar("R")


def patiently(
    call: Callable[[Callable[[int], None]], R],
    path: str,
    *,
    say: Callable[[str], None],
    show: Callable[[int], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> R:
    """Make a call in a thread of its own and wait for it. If the wait is interrupted, as by Ctrl-C, it is abandoned.

    Args:
        call: takes a function that it calls with a count as it makes progress.
        path: the absolute path that is read, whose drive is named.
        say: called with a line for the user, in this thread.
        show: called with the latest count, in this thread.
        clock: in seconds.

    Raises:
        Exception: what the call raises.
    """
    counts: list[int] = []
    future = in_a_thread(lambda: call(counts.append))
    seen, since, is_named = 0, clock(), False
    while not wait([future], LOOK_SECONDS).done:
        if len(counts) > seen:
            seen, since, is_named = len(counts), clock(), False
            show(counts[seen - 1])
        elif not is_named and clock() - since >= SAY_SECONDS:
            is_named = True
            say(silence_line(drive_of(path), clock() - since, ": waiting for it"))
    return future.result()


def in_a_thread(call: Callable[[], R]) -> Future[R]:
    """Make a call in a daemon thread: the process may end while it hangs."""
    future: Future[R] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            future.set_exception(error)

    threading.Thread(target=run, name="autofit-reading", daemon=True).start()
    return future
