"""The conditions under which a worker stops before its work is done."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Literal

from autofit.config.byte_size import format_size
from autofit.machine.cgroups import MemoryLeft
from autofit.machine.memory_daemons import daemon_cause
from autofit.protocol.job import MINUTES_OVER, Event
from autofit.protocol.messages import OVER_THE_LIMIT, MemoryBudget
from autofit.worker.runtime.control_pipe import Requests
from autofit.worker.runtime.exceptions import StopRequested
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.memory import arena_resident_bytes, peak_bytes, resident_bytes

PARENT_GONE_GRACE_SECONDS = 20.0
"""How long a step and a commit may take after the parent is gone. A process that resumes the run waits for longer."""

Reason = tuple[Literal["interrupted", "yielded", "host_oom"], str]


class StopConditions:
    """Decides whether the worker stops: on request, at the time limit, over the memory limit, or short of host memory.

    Args:
        requests: the parent's. Their `grace_seconds` is set: the worker has something to commit from now on.
        heartbeat: measures the memory.
        memory: the budget of the worker.
        device: TensorFlow's name of the device whose memory is measured.
        stop_at: the time limit, by `clock`; None for none.
        clock: in seconds, the same in the parent and the worker.
    """

    def __init__(
        self,
        requests: Requests,
        heartbeat: Heartbeat,
        memory: MemoryBudget,
        device: str,
        stop_at: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._requests = requests
        self._requests.grace_seconds = PARENT_GONE_GRACE_SECONDS
        self._heartbeat = heartbeat
        self._memory = memory
        self._device = device
        self._stop_at, self._clock = stop_at, clock
        self._reason: Reason | None = None
        self._last_left: MemoryLeft | None = None
        self._taken = (0, 0)

    def is_met(self) -> bool:
        """Whether there is a reason to stop now."""
        if self._reason is None:
            self._reason = self._first_reason()
        return self._reason is not None

    @property
    def ends_run(self) -> bool:
        """Whether the reason found ends the run until its user resumes it: no other attempt follows by itself."""
        return self._reason is not None and self._reason[0] == "interrupted"

    def stop(self) -> None:
        """Raise StopRequested, with the reason found."""
        raise StopRequested(*(self._reason or ("interrupted", "asked to stop")))

    def stop_if_met(self) -> None:
        """Stop if a condition is met, without saving first.

        Raises:
            StopRequested: a condition is met.
        """
        if self.is_met():
            self.stop()

    def measure_non_allocator_bytes(self) -> None:
        """Report what this process takes outside the allocator, in bytes, for the next attempt's budget.

        The figure includes the images that are loaded at this moment; this surplus is room to grow. On a GPU nothing is
        reported: the budget is the device's memory, of which the process takes nothing outside the allocator.
        """
        if self._memory.device == "gpu":
            return
        outside = resident_bytes() - (arena_resident_bytes() or peak_bytes(self._device))
        self._heartbeat.event(Event(non_allocator_bytes=max(outside, 1)))

    def take_commit(self) -> bool:
        """Whether a checkpoint was asked for since the last call."""
        is_asked, self._requests.commit_is_asked = self._requests.commit_is_asked, False
        return is_asked

    def _first_reason(self) -> Reason | None:
        asked = self._requested() or self._signalled()
        return asked or self._out_of_time() or self._over_the_limit() or self._short_of_memory()

    def _signalled(self) -> Reason | None:
        """Stop on a signal; where memory is short, it counts as that of a daemon, unless the parent has stopped too.

        The parent knows better whether it was signalled itself: then it counts the run as interrupted in any case.
        """
        name = self._requests.stop_signal
        if not name:
            return None
        left = self._heartbeat.memory_left()
        if left is not None and (cause := daemon_cause(name, left.share)):
            return "host_oom", cause
        return "interrupted", f"asked to stop ({name})"

    def _requested(self) -> Reason | None:
        try:
            request = self._requests.get_nowait()
        except queue.Empty:
            return None
        if request is None:
            return "interrupted", "the supervising process ended"
        if request.commit:
            self._requests.commit_is_asked = True
            return None
        return request.leave or "interrupted", "asked to stop"

    def _out_of_time(self) -> Reason | None:
        if self._stop_at is None or self._clock() < self._stop_at:
            return None
        return "interrupted", MINUTES_OVER

    def _over_the_limit(self) -> Reason | None:
        limited = self._memory.device == "cpu" and self._memory.is_given
        if not limited or self._heartbeat.host_bytes <= self._memory.limit_bytes:
            return None
        self.measure_non_allocator_bytes()
        return "yielded", OVER_THE_LIMIT

    def _short_of_memory(self) -> Reason | None:
        """Stop before the kernel kills the worker, which would lose what is not committed.

        What the process takes outside the allocator is not reported here: the growth ends with the process.
        """
        left = self._heartbeat.memory_left()
        if left is None or left.bytes - self._growth_bytes(left) >= self._heartbeat.stop_below_bytes:
            return None
        return "yielded", f"the machine has {format_size(left.bytes)} of memory left ({left.of})"

    def _growth_bytes(self, left: MemoryLeft) -> int:
        """How much memory the next step is expected to take: the lesser of what the last two steps took.

        A first step takes more than the later ones, which use its memory again.
        """
        if left is not self._last_left:  # a new reading
            taken = self._last_left.bytes - left.bytes if self._last_left else 0
            self._taken = (self._taken[1], max(taken, 0))
            self._last_left = left
        return min(self._taken)
