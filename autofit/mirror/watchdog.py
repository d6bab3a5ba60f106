"""Doing what may hang, such as a look at a mounted drive, on a thread that can be left behind."""

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
    """Nobody waits for this piece of work any more."""


class Pulse:
    """Beaten by a piece of work as it gets on, and looked at by whoever waits for it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._abandoned = False

    def __call__(self) -> None:
        """Get on.

        Raises:
            AbandonedError: there is no use in it.
        """
        self._last = self._clock()
        if self._abandoned:
            raise AbandonedError

    @property
    def silence_seconds(self) -> float:
        """How long nothing has moved."""
        return self._clock() - self._last

    def abandon(self) -> None:
        """Have the work end at its next beat."""
        self._abandoned = True


def run_with_watchdog(
    work: Callable[[Pulse], T], silence_seconds: float, clock: Callable[[], float] = time.monotonic
) -> T:
    """Do a piece of work on a thread of its own, and wait for it as long as it gets on; Ctrl-C ends the wait at once.

    Raises:
        TimeoutError: it has not moved for so long. Its thread is left behind, and ends at its next beat.
    """
    pulse = Pulse(clock)
    future: Future[T] = Future()

    def do() -> None:
        try:
            future.set_result(work(pulse))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            future.set_exception(error)

    # a daemon: a thread that hangs in a system call must not keep the interpreter from leaving
    threading.Thread(target=do, name="autofit-run_with_watchdog", daemon=True).start()
    try:
        while not wait_for([future], LOOK_EVERY_SECONDS).done:
            _require_life(pulse, silence_seconds)
    except BaseException:
        pulse.abandon()
        raise
    return future.result()


def _require_life(pulse: Pulse, silence_seconds: float) -> None:
    if pulse.silence_seconds > silence_seconds:
        raise TimeoutError(f"it has not answered for {silence_seconds:g} s")
