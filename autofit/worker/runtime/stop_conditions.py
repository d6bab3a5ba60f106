"""The reasons to leave an attempt before its work is done."""

from __future__ import annotations

import queue
import time
from typing import Literal

from autofit.config.byte_size import format_size
from autofit.machine.cgroups import MemoryLeft
from autofit.protocol.job import Event
from autofit.protocol.messages import MemoryBudget
from autofit.worker.runtime.control_pipe import Requests
from autofit.worker.runtime.exceptions import StopRequested
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.memory import arena_resident_bytes, peak_bytes, resident_bytes

Why = tuple[Literal["interrupted", "yielded"], str]


class StopConditions:
    """Knows whether to leave: asked to, out of time, over the memory limit, or before the host's memory runs out."""

    def __init__(
        self, requests: Requests, heartbeat: Heartbeat, memory: MemoryBudget, device: str, stop_at: float | None
    ) -> None:
        self._requests = requests
        self._heartbeat = heartbeat
        self._memory = memory
        self._device = device
        self._stop_at = stop_at
        self._why: Why | None = None
        self._last_left: MemoryLeft | None = None
        self._taken = (0, 0)

    def is_asked(self) -> bool:
        """Whether there is a reason to leave now."""
        if self._why is None:
            self._why = self._asked() or self._out_of_time() or self._over_the_limit() or self._running_short()
        return self._why is not None

    def leave(self) -> None:
        """Leave for the reason found.

        Raises:
            StopRequested: always.
        """
        raise StopRequested(*(self._why or ("interrupted", "asked to stop")))

    def measure_rest(self) -> int:
        """Measure and note what this process needs outside the allocator, in bytes: the next attempt's budget.

        With the images that are loaded just now: what is too much by them is room to grow.
        """
        rest = resident_bytes() - (arena_resident_bytes() or peak_bytes(self._device))
        self._heartbeat.event(Event(non_allocator_bytes=max(rest, 1)))
        return rest

    def _asked(self) -> Why | None:
        try:
            request = self._requests.get_nowait()
        except queue.Empty:
            return None
        reason = request.leave if request is not None and request.leave else "interrupted"
        return reason, "asked to stop"

    def _out_of_time(self) -> Why | None:
        if self._stop_at is None or time.monotonic() < self._stop_at:
            return None
        return "interrupted", "max_minutes is reached"

    def _over_the_limit(self) -> Why | None:
        limited = self._memory.device == "cpu" and self._memory.is_given
        if not limited or self._heartbeat.host_bytes <= self._memory.limit_bytes:
            return None
        self.measure_rest()
        return "yielded", "the process grew over memory_limit outside the allocator"

    def _running_short(self) -> Why | None:
        """Before the kernel kills what was not committed. The rest is not measured: what has grown is gone with us."""
        left = self._heartbeat.memory_left()
        if left is None or left.bytes - self._growth_bytes(left) >= self._heartbeat.leave_at_bytes:
            return None
        return "yielded", f"the machine has {format_size(left.bytes)} of memory left ({left.of})"

    def _growth_bytes(self, left: MemoryLeft) -> int:
        """What the next step will take, as far as each of the last two did: one alone may have been a first time."""
        if left is not self._last_left:  # a new look
            taken = self._last_left.bytes - left.bytes if self._last_left else 0
            self._taken = (self._taken[1], max(taken, 0))
            self._last_left = left
        return min(self._taken)
