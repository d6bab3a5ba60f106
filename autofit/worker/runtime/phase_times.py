"""How many seconds a worker spends in each phase, and in the first calls of its compiled steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from autofit.protocol.messages import Phase

T = TypeVar("T")

FIRST_STEPS = "first steps"


class PhaseTimes:
    """The seconds in each phase, and separately those of first calls.

    A first call is the first one in this process of a step with a given number of images. It traces the step, on a GPU
    it also tunes the convolutions of that shape, and it computes. On a GPU it returns when its operations have been
    started; tuning has ended by then.

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
        """Count the time from the launch, by the same clock, to the making of this object as the phase of the start."""
        self._spent[Phase.START] = self._spent.get(Phase.START, 0.0) + max(0.0, self._began - at)

    def begin(self, phase: Phase) -> None:
        """Begin a phase, and end the one before."""
        self._add(self._phase)
        self._phase = phase

    @contextmanager
    def call(self, step: str, *sizes: int) -> Iterator[None]:
        """Time a call of a step with these numbers of images: the first one that succeeds is counted separately."""
        if (step, *sizes) in self._called:
            yield
            return
        self._add(self._phase)
        yield
        self._called.add((step, *sizes))
        self._add(FIRST_STEPS)

    def timed(self, step: str, function: Callable[[Any], T]) -> Callable[[Any], T]:
        """Wrap a function of a batch `(n, …)`, so that its calls are counted as those of a step."""

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
