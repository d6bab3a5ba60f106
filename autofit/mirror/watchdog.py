"""Runs work that may hang, such as reading a mounted drive, on a thread that can be abandoned."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import TypeVar

LOOK_EVERY_SECONDS = 0.05

T = TypeVar("T")


class AbandonedError(Exception):
    """The work was abandoned: nothing waits for its result any more."""


class Pulse:
    """Shows whether a piece of work advances: the work calls it again and again, and the waiting thread reads it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._abandoned = False

    def __call__(self) -> None:
        """Note that the work has advanced.

        Raises:
            AbandonedError: the work has been abandoned and should stop.
        """
        self._last = self._clock()
        if self._abandoned:
            raise AbandonedError

    @property
    def silence_seconds(self) -> float:
        """The time since the work has last advanced."""
        return self._clock() - self._last

    def abandon(self) -> None:
        """Make the work stop at its next beat."""
        self._abandoned = True


def run_with_watchdog(
    work: Callable[[Pulse], T], silence_seconds: float, clock: Callable[[], float] = time.monotonic
) -> T:
    """Run a piece of work on a thread of its own, and wait for it as long as it advances; Ctrl-C ends the wait at once.

    Raises:
        TimeoutError: the work has not advanced for `silence_seconds`. Its thread is abandoned: it stops at its next
            beat.
    """
    pulse = Pulse(clock)
    future: Future[T] = Future()

    def do() -> None:
        try:
            future.set_result(work(pulse))
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            future.set_exception(error)

    # a daemon: a thread that hangs in a system call must not keep the interpreter from exiting
    threading.Thread(target=do, name="autofit-run_with_watchdog", daemon=True).start()
    try:
        while not wait_for([future], LOOK_EVERY_SECONDS).done:
            _require_sign_of_life(pulse, silence_seconds)
    except BaseException:
        pulse.abandon()
        raise
    return future.result()


def _require_sign_of_life(pulse: Pulse, silence_seconds: float) -> None:
    if pulse.silence_seconds > silence_seconds:
        raise TimeoutError(f"it has not answered for {silence_seconds:g} s")
