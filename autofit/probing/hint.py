"""The hint of a saved profile for a probe, and its adjustment to the memory that a process takes today. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from autofit.probing.memory_model import fit
from autofit.probing.recommend import is_timed_by
from autofit.protocol.messages import Trial, Verdict

BOUND_BY_MEMORY = 0.95  # of the limit: a size that takes less memory was limited by `max_batch`, not by memory

NOT_WORTH_MOVING = 0.01  # of the limit: for less, the size of the profile is kept, since it was timed already


@dataclass(frozen=True, slots=True)
class ProfileHint:
    """Where a probe should look for its answer first; never the answer itself.

    Attributes:
        trials: the trials of the profile, each with `saved` set; they carry the memory line and the speeds.
        expected_batch: the size to verify first, if the profile is of exactly this machine, workload and limit. Else 0:
            then the line through the trials predicts it.
        non_allocator_bytes: on a CPU, the memory of a process outside the allocator and the image buffers; 0 if it was
            not measured.
        origin: where the hint comes from, in a few words for the user.
        baseline_rss_bytes: the resident size of the process after it had imported TensorFlow and before it did
            anything else, a part of `non_allocator_bytes`; 0 if it was not measured.
    """

    trials: tuple[Trial, ...]
    expected_batch: int
    non_allocator_bytes: int
    origin: str
    baseline_rss_bytes: int = 0


def adjusted_to_process(hint: ProfileHint, baseline_rss_bytes: int, limit_bytes: int) -> ProfileHint:
    """The hint for a process that has `baseline_rss_bytes` resident once TensorFlow is imported.

    How much of its libraries is resident differs by 0.1 GB between two installations of the same versions, and from one
    start to the next. What a training adds to that does not differ. So the memory outside the allocator changes by the
    difference, and the expected size by as many images as the difference could hold.
    """
    more_bytes = baseline_rss_bytes - hint.baseline_rss_bytes
    if not (baseline_rss_bytes and hint.baseline_rss_bytes and hint.non_allocator_bytes and more_bytes):
        return hint
    return replace(
        hint,
        trials=tuple(_with_more_resident(trial, more_bytes) for trial in hint.trials),
        expected_batch=_adjusted_batch(hint, more_bytes, limit_bytes),
        non_allocator_bytes=max(0, hint.non_allocator_bytes + more_bytes),
        baseline_rss_bytes=baseline_rss_bytes,
    )


def trials_within(hint: ProfileHint, limit_bytes: int, answer: int) -> list[Trial]:
    """The hint's trials that belong in a report about this limit, by the largest size that fits under it.

    Sizes that fitted under another, larger limit do not fit under this one: they were needed for the line only. If the
    profile is of this limit, a size just above the answer tells how fast that is.
    """

    def belongs(trial: Trial) -> bool:
        is_timing = hint.expected_batch > 0 and is_timed_by(answer, trial)
        return trial.verdict is not Verdict.FITS or trial.memory_bytes <= limit_bytes or is_timing

    return [trial for trial in hint.trials if belongs(trial)]


def _with_more_resident(trial: Trial, more_bytes: int) -> Trial:
    measured = {"non_allocator_bytes": trial.non_allocator_bytes, "host_bytes": trial.host_bytes}
    return trial.model_copy(update={name: max(0, was + more_bytes) for name, was in measured.items() if was})


def _adjusted_batch(hint: ProfileHint, more_bytes: int, limit_bytes: int) -> int:
    """The expected size less the images that `more_bytes` could hold; unchanged if few, or if memory is no limit."""
    if abs(more_bytes) < NOT_WORTH_MOVING * limit_bytes:
        return hint.expected_batch
    points = [(t.batch_size, t.memory_bytes) for t in hint.trials if t.verdict is Verdict.FITS and t.memory_bytes]
    if not hint.expected_batch or not points:
        return hint.expected_batch
    line = fit(points)
    if line.predict(hint.expected_batch) < BOUND_BY_MEMORY * limit_bytes:
        return hint.expected_batch
    return max(1, hint.expected_batch - round(more_bytes / max(line.bytes_per_image, 1.0)))
