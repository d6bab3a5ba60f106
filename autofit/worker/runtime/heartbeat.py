"""The worker's heartbeat (`progress.jsonl`), and its events (`events.jsonl`), none of which may be lost."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import psutil

from autofit.machine.cgroups import MemoryLeft, memory_left_reader, oom_kill_counter
from autofit.machine.memory_policy import stop_below_bytes
from autofit.protocol.job import Event
from autofit.protocol.messages import MemorySample, Phase, Progress
from autofit.storage.json_bounds import LINE, MAX_RECORD_BYTES
from autofit.storage.run_directory import AttemptDirectory
from autofit.storage.safe_files import bounded_lines
from autofit.worker.runtime.memory import children_bytes
from autofit.worker.runtime.phase_times import PhaseTimes

LINE_EVERY_SECONDS = 0.25
FRESH_SECONDS = 0.1
SAMPLE_BYTES = 128
CHILDREN_EVERY_SAMPLES = 20
"""Finding the children means listing all processes of the machine, which takes too long for each sample."""


class Heartbeat:
    """Reports the progress of the work, at most four times a second, from a separate thread.

    The work only sets the latest state. A line is written when the state has changed: a worker that hangs writes none.
    The sample of the memory in use is overwritten four times a second, also while the work waits in the allocator: the
    parent finds it if the worker dies suddenly. Nothing stops the heartbeat, not even a full disk: the parent would
    take its silence for a hang.

    Attributes:
        host_bytes: resident memory of this process and its children.
        stop_below_bytes: the worker is to stop when the host has less memory left than this; derived from what the host
            had left at the start.
        device_bytes: a function that returns the bytes in use in the device's allocator.
        times: the seconds spent in each phase.
    """

    def __init__(self, attempt: AttemptDirectory, read_memory_left: Callable[[], MemoryLeft] | None = None) -> None:
        self._progress = attempt.progress.open("ab")
        self._events = attempt.events.open("ab")
        self._state: dict[str, Any] = {"phase": Phase.START}
        self.times = PhaseTimes()
        self._sample = MemorySample()
        self._sample_file = attempt.memory.open("wb", buffering=0)
        self._me = psutil.Process()
        self._children_bytes = 0
        self._samples = 0
        self._news = threading.Event()
        self._closing = threading.Event()
        self.device_bytes: Callable[[], int] = lambda: 0
        self.host_bytes = 0
        self._read_memory_left = read_memory_left or memory_left_reader()
        self._oom_kills = oom_kill_counter()
        self._asked_at = float("-inf")
        left = self._read_left()
        self.stop_below_bytes = stop_below_bytes(left.bytes if left else 0)
        self._news.set()
        self._thread = threading.Thread(target=self._write_lines, name="autofit-heartbeat", daemon=True)
        self._thread.start()

    def phase(self, phase: Phase, **state: Any) -> None:
        """Announce the phase that begins now."""
        self.beat(phase=phase, **state)

    def beat(self, **state: Any) -> None:
        """Set those fields of `Progress` that have changed.

        The values of `metrics` may be tensors. They are read from the device only when a line is written.
        """
        if state.get("phase", self._state["phase"]) != self._state["phase"]:
            self.times.begin(state["phase"])
        self._state = {**self._state, **state}
        self._news.set()

    @property
    def epoch(self) -> int:
        """The epoch the work is in, from zero."""
        return int(self._state.get("epoch", 0))

    @property
    def step(self) -> int:
        """The step of the epoch, from zero."""
        return int(self._state.get("step", 0))

    @property
    def current_phase(self) -> Phase:
        """The last phase that was announced."""
        return Phase(self._state["phase"])

    @property
    def micro_batch_size(self) -> int:
        """The last micro-batch size that was set."""
        return int(self._state.get("micro_batch_size", 0))

    def memory_left(self) -> MemoryLeft | None:
        """The memory that the host has left; None if the system gives no figure.

        It is read anew unless the last call and the last reading were less than `FRESH_SECONDS` ago. After a longer
        step, even the heartbeat's newest reading may be from before the step took its memory. A reading takes 0.1 to
        0.4 ms.
        """
        now = time.monotonic()
        is_fresh = now - self._asked_at < FRESH_SECONDS and now - self._read_at < FRESH_SECONDS
        self._asked_at = now
        return self._memory_left if is_fresh else self._read_left()

    def event(self, event: Event) -> None:
        """Write an event at once: none may be lost.

        Raises:
            OSError: it cannot be written.
        """
        self._events.write(_line(event))
        self._events.flush()

    def _write_lines(self) -> None:
        closing = False
        while not closing:
            closing = self._closing.is_set()
            self._read_left()
            with contextlib.suppress(Exception):  # a full disk, or a device that gives no figure just now
                self._take_sample()
            if self._news.is_set():
                self._news.clear()
                self._write_line()
            self._closing.wait(LINE_EVERY_SECONDS)

    def _write_line(self) -> None:
        state = {**self._state, "metrics": _numbers(self._state.get("metrics", {}))}
        memory = self._sample.model_dump(exclude={"oom_kills", "left_share"})
        spent = {phase: round(seconds, 3) for phase, seconds in self.times.phase_seconds().items()}
        line = Progress(
            time=time.time(),
            monotonic_seconds=time.monotonic(),
            phase_seconds=spent,
            first_steps_seconds=round(self.times.first_steps_seconds, 3),
            **memory,
            **state,
        )
        with contextlib.suppress(OSError):
            self._progress.write(line.model_dump_json().encode() + b"\n")
            self._progress.flush()

    def _read_left(self) -> MemoryLeft | None:
        left = None
        with contextlib.suppress(Exception):  # whatever a system without these figures raises: then there is no guard
            left = self._read_memory_left()
        self._memory_left, self._read_at = left, time.monotonic()
        return left

    def _take_sample(self) -> None:
        if self._samples % CHILDREN_EVERY_SAMPLES == 0:
            self._children_bytes = children_bytes(self._me)
        self._samples += 1
        self.host_bytes = int(self._me.memory_info().rss) + self._children_bytes
        left = self._memory_left
        self._sample = MemorySample(
            device_bytes=self.device_bytes(),
            host_bytes=self.host_bytes,
            oom_kills=self._oom_kills(),
            left_share=round(left.share, 3) if left else None,
        )
        os.pwrite(self._sample_file.fileno(), self._sample.model_dump_json().encode().ljust(SAMPLE_BYTES), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._news.set()  # the last line says how long the last phase took
        self._closing.set()
        self._thread.join()
        for file in (self._sample_file, self._progress, self._events):
            with contextlib.suppress(OSError):  # what a full disk did not take
                file.close()


def was_written(event: Event, attempts: Iterable[AttemptDirectory]) -> bool:
    """Whether one of these attempts has written just this event, as far as their files can be read."""
    wanted = _line(event)
    for attempt in attempts:
        with contextlib.suppress(OSError):  # it does not exist, or is no regular file
            if wanted in bounded_lines(attempt.events, LINE.size_bytes, MAX_RECORD_BYTES):
                return True
    return False


def _line(event: Event) -> bytes:
    return event.model_dump_json(exclude_defaults=True).encode() + b"\n"


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The values of metrics, read from the device; none if the device fails just now, which the work itself reports."""
    with contextlib.suppress(Exception):
        return {name: float(value) for name, value in metrics.items()}
    return {}
