"""Notices that TensorFlow's allocator waits for memory that nothing will free.

When an allocation fails, TensorFlow's allocator waits 10 s for other operations to free something before it raises
(`BFCAllocator::AllocateRaw`, `kMaxMillisToWait`). On a CPU those operations are threads of this process: while all of
them sleep, nothing will be freed, and a probe need not wait (docs/decisions/0012).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOOK_EVERY_SECONDS = 0.1
ASLEEP_FOR_SECONDS = 1.0
"""Well over the longest wait between two operations of a step, well under the 10 s that the allocator waits."""

AWAKE_SHARE = 0.05
"""A process that uses a smaller share of processor time counts as asleep: the heartbeat and this watcher use some."""

TASKS = Path("/proc/self/task")


@contextmanager
def stall_watch(on_stall: Callable[[], object]) -> Iterator[None]:
    """Call `on_stall`, once and from a thread of its own, if the process falls asleep while the block runs."""
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(over, on_stall), name="autofit-stall", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _watch(over: threading.Event, on_stall: Callable[[], object]) -> None:
    since, used = time.monotonic(), time.process_time()
    while not over.wait(LOOK_EVERY_SECONDS):
        now = time.monotonic()
        if _any_thread_runs() or time.process_time() - used > AWAKE_SHARE * max(now - since, LOOK_EVERY_SECONDS):
            since, used = now, time.process_time()
        elif now - since >= ASLEEP_FOR_SECONDS:
            on_stall()
            return


def _any_thread_runs() -> bool:
    """Whether another thread of this process runs, is ready to run, or waits for a disk (proc(5), stat)."""
    own = threading.get_native_id()
    states = [_state(task) for task in TASKS.iterdir() if task.name != str(own)] if TASKS.is_dir() else []
    return not states or any(state in {"R", "D"} for state in states)


def _state(task: Path) -> str:
    """A thread's state: the letter after the thread's name, which is in parentheses and may hold any characters."""
    try:
        return (task / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):  # it has just ended
        return ""
