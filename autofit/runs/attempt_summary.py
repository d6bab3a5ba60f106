"""From the exit of an attempt's worker to what the retry policy needs to know about it. Pure."""

from __future__ import annotations

from dataclasses import replace

from autofit.process.monitor import WorkerExit
from autofit.runs.retry_policy import AttemptSummary, Sizes


def summarize(worker_exit: WorkerExit, sizes: Sizes, *, committed: bool) -> AttemptSummary:
    """Summarize an attempt that was started with these sizes.

    Args:
        worker_exit: how its worker exited.
        sizes: those that it was started with.
        committed: whether it has moved the newest checkpoint on. Rows that it has added to the cache are progress too.
    """
    return AttemptSummary(
        diagnosis=worker_exit.diagnosis,
        sizes=sizes_at_exit(worker_exit, sizes),
        progressed=committed or any(event.kept_rows for event in worker_exit.events),
        reported=_would_come_again(worker_exit),
        short_lived=_is_short_lived(worker_exit),
    )


def _would_come_again(worker_exit: WorkerExit) -> bool:
    """Whether the worker itself named the reason; an error of the GPU comes again, or passes, by what it is."""
    may_pass = worker_exit.diagnosis.may_pass
    return worker_exit.outcome is not None if may_pass is None else not may_pass


def sizes_at_exit(worker_exit: WorkerExit, sizes: Sizes) -> Sizes:
    """The sizes to which an attempt had shrunk when it exited, with the memory that it measured."""
    micro = _micro_batch_size_at_exit(worker_exit) or sizes.micro_batch_size
    measured_bytes = max((event.non_allocator_bytes or 0 for event in worker_exit.events), default=0)
    return replace(
        sizes,
        micro_batch_size=min(micro, sizes.micro_batch_size),
        non_allocator_bytes=measured_bytes or sizes.non_allocator_bytes,
    )


def _micro_batch_size_at_exit(worker_exit: WorkerExit) -> int | None:
    """A training's last reported size. An extraction starts small each time: of it, the smallest after running out."""
    if worker_exit.last is None or worker_exit.last.counts == "batches":
        return worker_exit.last.micro_batch_size if worker_exit.last else None
    return min((event.oom.micro_batch_size_after for event in worker_exit.events if event.oom), default=None)


def _is_short_lived(worker_exit: WorkerExit) -> bool:
    """Whether an attempt had trained for a shorter time than its start took, up to the end of the first step."""
    starts = (event.seconds_to_first_step for event in worker_exit.events)
    start_seconds = next((seconds for seconds in starts if seconds is not None), None)
    return start_seconds is None or worker_exit.wall_seconds < 2 * start_seconds
