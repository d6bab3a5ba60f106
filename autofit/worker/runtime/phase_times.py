"""Where the seconds of a worker go: its phases, and in them the first calls of its compiled steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from autofit.protocol.messages import Phase

T = TypeVar("T")

FIRST_STEPS = "first steps"


class PhaseTimes:
    """The seconds in each phase, and apart from them those of first calls.

    A first call is that of a step with a number of images that it has not run before in this process. It traces, on a
    GPU it also tunes the convolutions of that shape, and it computes. On a GPU it returns when its operations were
    started, as tuning has ended by then.

    Args:
        clock: in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._phase = Phase.START
        self._began = self._since = clock()
        self._spent: dict[str, float] = {}
        self._called: set[tuple[object, ...]] = set()

    def launched(self, at: float) -> None:
        """The process was launched at this time, by the same clock: what went by until it could count is its start."""
        self._spent[Phase.START] = self._spent.get(Phase.START, 0.0) + max(0.0, self._began - at)

    def begin(self, phase: Phase) -> None:
        """A phase begins, and the one before ends."""
        self._add(self._phase)
        self._phase = phase

    @contextmanager
    def call(self, step: str, *sizes: int) -> Iterator[None]:
        """A call of a step with these numbers of images: if it is the first, and succeeds, it counts apart."""
        if (step, *sizes) in self._called:
            yield
            return
        self._add(self._phase)
        yield
        self._called.add((step, *sizes))
        self._add(FIRST_STEPS)

    def timed(self, step: str, function: Callable[[Any], T]) -> Callable[[Any], T]:
        """A function of a batch `(n, …)`, its calls counted as those of a step."""

        def call(batch: Any) -> T:
            with self.call(step, len(batch)):
                return function(batch)

        return call

    def phase_seconds(self) -> dict[Phase, float]:
        """The seconds in each phase until now, without those of first calls."""
        spent = dict(self._spent)  # at once: the heartbeat's thread asks
        spent[self._phase] = spent.get(self._phase, 0.0) + max(0.0, self._clock() - self._since)
        return {phase: spent[phase] for phase in Phase if phase in spent}

    @property
    def first_steps_seconds(self) -> float:
        """The seconds of first calls until now."""
        return self._spent.get(FIRST_STEPS, 0.0)

    def _add(self, kind: str) -> None:
        now = self._clock()
        self._spent[kind] = self._spent.get(kind, 0.0) + now - self._since
        self._since = now
