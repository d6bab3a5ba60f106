"""Summarizes the exit of an attempt's worker for the retry policy. Pure."""

from __future__ import annotations

from dataclasses import replace

from autofit.process.monitor import WorkerExit
from autofit.protocol.messages import BUILDING
from autofit.runs.retry_policy import AttemptSummary, Sizes


def summarize(worker_exit: WorkerExit, sizes: Sizes, *, committed: bool) -> AttemptSummary:
    """Summarize an attempt that was started with these sizes.

    Args:
        worker_exit: how its worker exited.
        sizes: the sizes that it was started with.
        committed: whether it has saved a newer checkpoint. Rows that it has added to the cache are progress too.
    """
    return AttemptSummary(
        diagnosis=worker_exit.diagnosis,
        sizes=sizes_at_exit(worker_exit, sizes),
        progressed=committed or any(event.kept_rows for event in worker_exit.events),
        reported=_would_come_again(worker_exit),
        short_lived=_is_short_lived(worker_exit),
        most_segments=max((event.most_segments or 0 for event in worker_exit.events), default=0),
        was_building=worker_exit.last is not None and worker_exit.last.phase in BUILDING,
    )


def _would_come_again(worker_exit: WorkerExit) -> bool:
    """Whether the same error would come again: for a GPU's error by its kind, else if the worker itself reported it."""
    may_pass = worker_exit.diagnosis.may_pass
    return worker_exit.outcome is not None if may_pass is None else not may_pass


def sizes_at_exit(worker_exit: WorkerExit, sizes: Sizes) -> Sizes:
    """The sizes that an attempt had when it exited, which may have shrunk, with the memory that it measured."""
    micro = _micro_batch_size_at_exit(worker_exit) or sizes.micro_batch_size
    measured_bytes = max((event.non_allocator_bytes or 0 for event in worker_exit.events), default=0)
    return replace(
        sizes,
        micro_batch_size=min(micro, sizes.micro_batch_size),
        non_allocator_bytes=measured_bytes or sizes.non_allocator_bytes,
    )


def _micro_batch_size_at_exit(worker_exit: WorkerExit) -> int | None:
    """The last micro-batch size that a training reported; of an extraction the smallest after an out-of-memory.

    None if that is unknown. An extraction begins with a small size each time, so its last size tells nothing.
    """
    if worker_exit.last is None or worker_exit.last.counts == "batches":
        return worker_exit.last.micro_batch_size if worker_exit.last else None
    return min((event.oom.micro_batch_size_after for event in worker_exit.events if event.oom), default=None)


def _is_short_lived(worker_exit: WorkerExit) -> bool:
    """Whether an attempt trained for less time than its start took; the start ends with the first step."""
    starts = (event.seconds_to_first_step for event in worker_exit.events)
    start_seconds = next((seconds for seconds in starts if seconds is not None), None)
    return start_seconds is None or worker_exit.wall_seconds < 2 * start_seconds
