"""How long the training waits for images, and how much processor time decoding them takes."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator

from autofit.input.thread_autotune import Window

WINDOW_SECONDS = 1.0


class WaitMeter:
    """Measures how many images are decoded, and how long the consumer of the batches waits for them.

    Args:
        clock: in seconds.
        cpu_clock: seconds of processor time of the calling thread.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, cpu_clock: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock, self._cpu_clock = clock, cpu_clock
        self._lock = threading.Lock()
        self._began: float | None = None  # when the consumer first waited
        self._images, self._cpu_seconds, self._waited_seconds = 0, 0.0, 0.0
        self._first_began: float | None = None
        self._earlier = Window(0.0, 0, 0.0, 0.0)

    @contextlib.contextmanager
    def decoding(self) -> Iterator[None]:
        """The context in which an image is decoded, in its thread."""
        began = self._cpu_clock()
        try:
            yield
        finally:
            with self._lock:
                self._images += 1
                self._cpu_seconds += self._cpu_clock() - began

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """The context in which the consumer waits for an image."""
        began = self._clock()
        if self._began is None or self._first_began is None:
            self._began = self._first_began = began
        yield
        self._waited_seconds += self._clock() - began

    def window(self, least_images: int) -> Window | None:
        """End the window and return its measurements; None if it is still too short or has too few images."""
        seconds = self._clock() - self._began if self._began is not None else 0.0
        if seconds < WINDOW_SECONDS or self._images < least_images:
            return None
        with self._lock:
            window = Window(seconds, self._images, self._waited_seconds, self._cpu_seconds)
            self._images, self._cpu_seconds = 0, 0.0
            self._earlier = _joined(self._earlier, window)
        self._began, self._waited_seconds = self._clock(), 0.0
        return window

    def whole(self) -> Window:
        """The measurements since the consumer first waited."""
        with self._lock:
            rest = Window(0.0, self._images, self._waited_seconds, self._cpu_seconds)
            seconds = self._clock() - self._first_began if self._first_began is not None else 0.0
            return dataclasses.replace(_joined(self._earlier, rest), seconds=seconds)


def _joined(one: Window, other: Window) -> Window:
    return Window(
        one.seconds + other.seconds,
        one.images + other.images,
        one.waited_seconds + other.waited_seconds,
        one.cpu_seconds + other.cpu_seconds,
    )
