"""The retry policy: after an attempt that failed, the sizes of the next one, or the error that ends the run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from autofit.config.batch_schedule import shrink
from autofit.config.rungs import KEPT, Rung
from autofit.errors import DoesNotFitError, InterruptedRunError, StorageError, TrainingFailedError, UserError
from autofit.process.exit_classifier import ExitDiagnosis
from autofit.protocol.messages import OUT_OF_MEMORY, Verdict
from autofit.runs.what_would_help import advice, tried_words

MOST_ATTEMPTS_WITHOUT_PROGRESS = 3
"""Attempts that ran out of memory do not count: each is followed by a smaller one, down to one image at a time."""

NO_BACKWARD_PASS = advice("head")
"""What would help where the backbone is frozen."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes that may change from attempt to attempt.

    `buffer_bytes` is for decoded images; `non_allocator_bytes` is what the worker measured outside the allocator.
    `rung` is the one of the ladder.
    """

    micro_batch_size: int
    buffer_bytes: int
    non_allocator_bytes: int | None = None
    rung: Rung = KEPT


@dataclass(frozen=True, slots=True)
class AttemptSummary:
    """One attempt as the policy sees it.

    Attributes:
        diagnosis: why it ended.
        sizes: its sizes at its end.
        progressed: it has moved a checkpoint on, or added rows to the cache.
        reported: the reason is known and would come again: an exception in Python, or a GPU that no longer answers.
        short_lived: it had trained for a shorter time than its start took.
    """

    diagnosis: ExitDiagnosis
    sizes: Sizes
    progressed: bool
    reported: bool
    short_lived: bool


def next_sizes(
    past: Sequence[AttemptSummary],
    batch_bytes: int,
    fits_now: int | None = None,
    saving: Rung | None = None,
    helps: str = NO_BACKWARD_PASS,
) -> Sizes:
    """The sizes of the next attempt.

    Args:
        past: the attempts so far, at least one.
        batch_bytes: host memory that the images of one batch take.
        fits_now: how many images at once the free memory of the device, or of the host, holds, where others took some
            of it; None if nothing new is known.
        saving: the rung that takes less memory than the last attempt's, where not even one image fits; None if there is
            none.
        helps: the options that would help where nothing fits.

    Raises:
        AutofitError: another attempt would be of no use; the class and the message say why.
    """
    last = past[-1]
    _raise_if_final(last.diagnosis.verdict, last.diagnosis.cause, reported=last.reported)
    stalled = _stalled(past)
    _raise_if_ambiguous_to_the_last(stalled)
    if _has_nothing_fit(stalled):
        if saving is None or last.diagnosis.is_limited:
            raise _nothing_fits(stalled, helps)
        return replace(last.sizes, rung=saving)
    _raise_if_stuck(stalled)
    _raise_if_always_short(past, batch_bytes)
    return _smaller(last, batch_bytes, fits_now, again=len(stalled) > 1)


def _raise_if_final(verdict: Verdict, cause: str, *, reported: bool) -> None:
    if verdict is Verdict.USER_ERROR:
        raise UserError(cause)
    if verdict is Verdict.STORAGE:
        raise StorageError(cause)
    if verdict is Verdict.INTERRUPTED:
        raise InterruptedRunError(cause)
    if verdict is Verdict.CRASHED and reported:
        raise TrainingFailedError(cause)


def _stalled(past: Sequence[AttemptSummary]) -> list[AttemptSummary]:
    """The latest attempts in a row without progress, the latest first."""
    return list(takewhile(lambda attempt: not attempt.progressed, reversed(past)))


def _raise_if_ambiguous_to_the_last(stalled: Sequence[AttemptSummary]) -> None:
    """Raise if a crash that looked like memory comes with a single image too: it has another cause."""
    if len(stalled) > 1 and stalled[0].diagnosis.ambiguous and stalled[0].sizes.micro_batch_size <= 1:
        cause = stalled[0].diagnosis.cause
        raise TrainingFailedError(f"the worker crashed with a single image as well ({cause}): this is not memory")


def _has_nothing_fit(stalled: Sequence[AttemptSummary]) -> bool:
    """Whether one image at a time ran out twice: the first time may come from larger micro-batches before it.

    On a rung to which the attempts have climbed they begin with one image, so there once is enough.
    """
    has_climbed = any(one.sizes.rung != stalled[0].sizes.rung for one in stalled)
    return len(_out_with_one(stalled)) > (0 if has_climbed else 1)


def _out_with_one(stalled: Sequence[AttemptSummary]) -> list[AttemptSummary]:
    """The attempts on the last one's rung that ran out of memory with one image at a time, the latest first."""
    rung = stalled[0].sizes.rung if stalled else None
    return [
        one
        for one in stalled
        if one.sizes.rung == rung and one.diagnosis.verdict in OUT_OF_MEMORY and one.sizes.micro_batch_size <= 1
    ]


def _nothing_fits(stalled: Sequence[AttemptSummary], helps: str) -> DoesNotFitError:
    diagnosis = _out_with_one(stalled)[0].diagnosis
    if diagnosis.is_limited:
        return DoesNotFitError(f"not even one image at a time fits: {diagnosis.cause}")
    tried = {one.sizes.rung for one in stalled}
    return DoesNotFitError(f"not even one image at a time fits ({diagnosis.cause}){tried_words(tried)}: {helps}")


def _raise_if_stuck(stalled: Sequence[AttemptSummary]) -> None:
    """Raise after several attempts without progress for reasons that are not memory."""
    unchanged = [one.diagnosis for one in stalled if one.diagnosis.verdict not in OUT_OF_MEMORY]
    if len(unchanged) < MOST_ATTEMPTS_WITHOUT_PROGRESS:
        return
    if all(diagnosis.verdict is Verdict.YIELDED for diagnosis in unchanged):
        raise _never_enough(unchanged[0].cause, len(unchanged))
    raise TrainingFailedError(f"{len(unchanged)} attempts ended without progress, the last one: {unchanged[0].cause}")


def _raise_if_always_short(past: Sequence[AttemptSummary], batch_bytes: int) -> None:
    """Raise if memory is short soon after each start, even with the smallest sizes: each step would need a start."""
    short = list(takewhile(lambda attempt: _is_short_at_once(attempt, batch_bytes), reversed(past)))
    if len(short) >= MOST_ATTEMPTS_WITHOUT_PROGRESS:
        raise _never_enough(short[0].diagnosis.cause, len(short))


def _is_short_at_once(attempt: AttemptSummary, batch_bytes: int) -> bool:
    sizes = attempt.sizes
    is_smallest = sizes.micro_batch_size <= 1 and sizes.buffer_bytes <= batch_bytes
    return attempt.diagnosis.verdict is Verdict.YIELDED and attempt.short_lived and is_smallest


def _never_enough(cause: str, times: int) -> DoesNotFitError:
    return DoesNotFitError(
        f"{cause}, {times} times: free memory and resume, or start anew with smaller images or a higher memory_limit"
    )


def _smaller(last: AttemptSummary, batch_bytes: int, fits_now: int | None, *, again: bool) -> Sizes:
    """Smaller sizes: device memory shrinks the micro-batch, host memory the buffers too, any other reason nothing."""
    sizes = last.sizes
    if last.diagnosis.verdict is Verdict.DEVICE_OOM:
        return replace(sizes, micro_batch_size=_after_oom(sizes.micro_batch_size, fits_now))
    if last.diagnosis.verdict is Verdict.HOST_OOM:
        return replace(
            sizes,
            micro_batch_size=_after_oom(sizes.micro_batch_size, fits_now),
            buffer_bytes=max(1, sizes.buffer_bytes // 2),
        )
    if last.diagnosis.verdict is Verdict.YIELDED:
        return _after_yielding(last, batch_bytes, fits_now, again=again)
    return sizes


def _after_oom(size: int, fits_now: int | None) -> int:
    """The size that is known to fit what is free now, if that explains why this one did not; else half of this one."""
    return fits_now if fits_now is not None and fits_now < size else shrink(size)


def _after_yielding(last: AttemptSummary, batch_bytes: int, fits_now: int | None, *, again: bool) -> Sizes:
    """Fewer images are decoded ahead first, down to one batch: that costs least.

    The micro-batch shrinks if no more images can be given up, or if this is not the first attempt in a row without
    progress. It stays after an attempt that has trained for longer than its start took: then something grows, such as a
    leak, and a new start cures that. Where others took the memory, no new start brings it back: then the micro-batch
    shrinks at once to what is left.
    """
    sizes = last.sizes
    buffer_bytes = min(sizes.buffer_bytes, max(batch_bytes, sizes.buffer_bytes // 2))
    is_smallest = buffer_bytes == sizes.buffer_bytes
    if fits_now is not None and fits_now < sizes.micro_batch_size:
        return replace(sizes, micro_batch_size=fits_now, buffer_bytes=buffer_bytes)
    shrinks = again or (is_smallest and last.short_lived)
    micro = shrink(sizes.micro_batch_size) if shrinks else sizes.micro_batch_size
    return replace(sizes, micro_batch_size=micro, buffer_bytes=buffer_bytes)
