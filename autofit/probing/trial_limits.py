"""The memory budget and the time limit of a trial, from the trials before it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from autofit.config.batch_schedule import image_buffer_bytes
from autofit.probing.hint import ProfileHint
from autofit.probing.recommend import is_timed_by
from autofit.probing.search import NextTrial
from autofit.protocol.messages import LEAST_ALLOCATOR_BYTES, MemoryBudget, Trial, Verdict

FIRST_DEADLINE_SECONDS = 900.0
MIN_DEADLINE_SECONDS = 120.0
DEADLINE_STEPS = 60
"""A trial runs some ten steps, a validation and a save; if it takes the time of this many steps, it counts as stuck."""

DEADLINE_FIRST_STEPS = 3
"""The time that a trial is given for its first steps, which trace and on a GPU tune and compile kernels: so many times
the longest that an earlier trial took for them."""

MIN_STEPS = 2
MIN_STEPS_OF_A_TIMED_SIZE = 1
"""The least number of whole steps in a trial; it is smaller for a size that was timed for the profile of this very
machine."""

STEPS_ON_A_RUNG = 12
"""The same for a candidate on a rung where activations are recomputed, on a CPU: there the peak depends on the order of
operations, which is not the same in each step (docs/decisions/0057)."""

SPARE_SHARE = 0.05
"""There a candidate also has less room by this share of what the limit leaves beside TensorFlow, for steps whose peak
is higher than those of the trial: of sizes that had held for twelve steps in all of it, some ran out in twenty."""

LEAST_MARGIN_BYTES = 16 * 10**6
"""By so much more does a process grow in twenty steps than it had after its first one, or than another like it: up to
12 MB in MobileNetV2, all layers, under 2 GB (2026-11-30)."""


def trial_budget(
    memory: MemoryBudget, image_size: tuple[int, int], buffered_images: int, non_allocator_bytes: int, spare: int = 0
) -> MemoryBudget:
    """The budget of a process that runs a trial: on a CPU the image buffers take a part of the limit.

    Args:
        memory: the memory limit of the probe.
        image_size: height and width of an image.
        buffered_images: the images whose buffers the process must hold.
        non_allocator_bytes: the memory outside the allocator and the image buffers; 0 if the worker is to estimate it.
        spare: what the trial is to leave free, in bytes.
    """
    if memory.device == "gpu":
        return memory
    buffer_bytes = image_buffer_bytes(buffered_images, image_size) + spare
    return memory.model_copy(update={"non_allocator_bytes": non_allocator_bytes or None, "buffer_bytes": buffer_bytes})


def spare_bytes(segments: int, memory: MemoryBudget, baseline_rss_bytes: int) -> int:
    """What a candidate leaves free of the limit, for steps whose peak is higher than those of the trial.

    Args:
        segments: the number of segments whose activations are recomputed; 0 if they are kept.
        memory: the memory limit of the probe.
        baseline_rss_bytes: the resident memory of a worker after its imports.
    """
    return round(SPARE_SHARE * max(0, memory.limit_bytes - baseline_rss_bytes)) if _peaks_vary(segments, memory) else 0


def measured_non_allocator_bytes(trials: Sequence[Trial], image_size: tuple[int, int]) -> int | None:
    """The budget for a worker's resident memory outside the allocator and the image buffers; None if not measured.

    It is the most that was measured, plus a margin: the difference between the most and the least, but at least
    `LEAST_MARGIN_BYTES`. Trials that ran out of memory count only if none fits, and then without this least, since they
    end before a process has reached its full size.
    """
    measuring = [trial for trial in trials if trial.non_allocator_bytes]
    fitting = [trial for trial in measuring if trial.verdict is Verdict.FITS]
    counted = fitting or measuring
    measured = [t.non_allocator_bytes - image_buffer_bytes(t.batch_size, image_size) for t in counted]
    if not measured:
        return None
    margin = max(max(measured) - min(measured), LEAST_MARGIN_BYTES if fitting else 0)
    return max(0, max(measured) + margin)


def saved_non_allocator_bytes(hint: ProfileHint, limit_bytes: int) -> int:
    """That budget by a saved profile; 0 if it has none, or one that leaves no room for tensors and so is wrong."""
    saved = hint.non_allocator_bytes
    return saved if saved < limit_bytes - LEAST_ALLOCATOR_BYTES else 0


def within_memory_limit(trial: Trial, memory: MemoryBudget, *, fresh: bool) -> Trial:
    """The trial, changed to one that does not fit if its process exceeded the given limit on resident memory on a CPU.

    Only fresh processes are judged: others still hold memory that earlier trials have touched.
    """
    applies = memory.device == "cpu" and memory.is_given and fresh and trial.verdict is Verdict.FITS
    if applies and max(trial.host_bytes, trial.memory_bytes) > memory.limit_bytes:
        return trial.model_copy(update={"verdict": Verdict.HOST_OOM, "cause": "resident memory over the limit"})
    return trial


def has_fitted_within(memory: MemoryBudget, size: int, trials: Sequence[Trial]) -> bool:
    """Whether a size has fitted in a fresh process, in no more than a budget that was measured since.

    The first process of a probe begins with an estimate of what it takes outside its allocator. A training gets what
    was measured by then, and so less for tensors if the estimate was too low. That let four images of all of
    DenseNet121 fit under 2 GB, which ran out of memory where the 1.3 GB that it takes otherwise were left free.
    """
    if memory.device == "gpu" or not memory.non_allocator_bytes:
        return True
    fitted = [trial for trial in trials if trial.batch_size == size and trial.fresh and trial.verdict is Verdict.FITS]
    return any(
        trial.peak_bytes <= memory.tensors_bytes
        and within_memory_limit(trial, memory, fresh=True).verdict is Verdict.FITS
        for trial in fitted
    )


def deadline_seconds(trials: Sequence[Trial], size: int) -> float:
    """The time after which a trial of this size counts as stuck."""
    slowest_per_image = max((t.step_seconds / t.batch_size for t in trials if t.step_seconds), default=0.0)
    if slowest_per_image == 0:
        return FIRST_DEADLINE_SECONDS
    first_steps_seconds = max(trial.first_steps_seconds for trial in trials)
    steps_seconds = DEADLINE_STEPS * slowest_per_image * size
    return MIN_DEADLINE_SECONDS + DEADLINE_FIRST_STEPS * first_steps_seconds + steps_seconds


def min_steps(hint: ProfileHint | None, asked: NextTrial, segments: int, memory: MemoryBudget) -> int:
    """The fewest whole steps that a trial runs; `segments` as in `spare_bytes`."""
    if asked.fresh and _peaks_vary(segments, memory):
        return STEPS_ON_A_RUNG
    saved = hint.trials if hint and hint.expected_batch == asked.size else ()
    is_timed = any(is_timed_by(asked.size, trial) and trial.images_per_second > 0 for trial in saved)
    return MIN_STEPS_OF_A_TIMED_SIZE if is_timed else MIN_STEPS


def _peaks_vary(segments: int, memory: MemoryBudget) -> bool:
    return memory.device == "cpu" and segments > 1
