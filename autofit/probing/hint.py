"""What a saved profile tells a probe before it begins, and how that reads in the process of today. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from autofit.probing.memory_model import fit
from autofit.protocol.messages import Trial, Verdict

BOUND_BY_MEMORY = 0.95  # of the limit: an answer that takes less was bound by `max_batch`, and is no nearer to it now

NOT_WORTH_MOVING = 0.01  # of the limit: a size that was run has its time too, and a new one must be timed anew


@dataclass(frozen=True, slots=True)
class Hint:
    """Never an answer, only where to look for it.

    Attributes:
        trials: what was measured then, each with `saved` set; they carry the memory line and the speeds.
        answer: the size to verify first, where the profile is of just this machine, workload and limit; else 0, and
            the line through the trials says which.
        non_allocator_bytes: on a CPU, what a process took outside the allocator and the image buffers; 0 where it was
            not measured.
        origin: where it comes from, in a few words, for the person who reads the report.
        baseline_rss_bytes: the resident size of the process after it had imported TensorFlow and before it did
            anything else, a part of `non_allocator_bytes`; 0 where it was not measured.
    """

    trials: tuple[Trial, ...]
    answer: int
    non_allocator_bytes: int
    origin: str
    baseline_rss_bytes: int = 0


def in_process_of(hint: Hint, baseline_rss_bytes: int, limit_bytes: int) -> Hint:
    """The hint as it reads where a process has so many bytes resident once TensorFlow is imported.

    How many pages of its libraries are resident differs by 0.1 GB between two installations of the same versions, and
    by the kernel's mood; what a training adds to them does not. So all that was resident beside the tensors moves by
    the difference, and the answer by the images which that makes.
    """
    more_bytes = baseline_rss_bytes - hint.baseline_rss_bytes
    if not (baseline_rss_bytes and hint.baseline_rss_bytes and hint.non_allocator_bytes and more_bytes):
        return hint
    return replace(
        hint,
        trials=tuple(_with_more(trial, more_bytes) for trial in hint.trials),
        answer=_moved(hint, more_bytes, limit_bytes),
        non_allocator_bytes=max(0, hint.non_allocator_bytes + more_bytes),
        baseline_rss_bytes=baseline_rss_bytes,
    )


def _with_more(trial: Trial, bytes_: int) -> Trial:
    moved = {"non_allocator_bytes": trial.non_allocator_bytes, "host_bytes": trial.host_bytes}
    return trial.model_copy(update={name: max(0, was + bytes_) for name, was in moved.items() if was})


def _moved(hint: Hint, more_bytes: int, limit_bytes: int) -> int:
    """The answer, less the images that take `more_bytes`; as it is where they are few, or memory did not bind it."""
    if abs(more_bytes) < NOT_WORTH_MOVING * limit_bytes:
        return hint.answer
    points = [(t.batch_size, t.memory_bytes) for t in hint.trials if t.verdict is Verdict.FITS and t.memory_bytes]
    if not hint.answer or not points:
        return hint.answer
    line = fit(points)
    if line.predict(hint.answer) < BOUND_BY_MEMORY * limit_bytes:
        return hint.answer
    return max(1, hint.answer - round(more_bytes / max(line.bytes_per_image, 1.0)))
