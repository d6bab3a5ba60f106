"""The retry policy: after an attempt that failed, the sizes of the next one, or the error that ends the run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from autofit.config.batch_schedule import shrink
from autofit.config.rungs import KEPT, Rung
from autofit.errors import DoesNotFitError, InterruptedRunError, StorageError, TrainingFailedError, UserError
from autofit.process.exit_classifier import ExitDiagnosis
from autofit.protocol.messages import MOST_WHILE_BUILDING, OUT_OF_MEMORY, OVER_THE_LIMIT, Verdict
from autofit.runs.what_would_help import NOTHING_GIVEN, advice, tried_words

MOST_ATTEMPTS_WITHOUT_PROGRESS = 3
"""The most attempts in a row without progress. Attempts that ran out of memory do not count here: each is followed by a
smaller one, down to one image at a time."""

NO_BACKWARD_PASS = advice("head")
"""The advice for a frozen backbone."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes that may change from attempt to attempt.

    `buffer_bytes` is for decoded images; `non_allocator_bytes` is the memory outside the allocator, as the worker has
    measured it; `rung` is the rung of the ladder.
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
        sizes: the sizes that it had when it ended.
        progressed: whether it has saved a newer checkpoint, or added rows to the cache.
        reported: whether the reason is known and would occur again: a Python exception, or a GPU that does not answer.
        short_lived: whether it trained for less time than its start took.
        most_segments: the largest number of segments into which its network can be cut; 1 if it cannot, 0 if unknown.
        was_building: whether its network was not yet built when it ended.
    """

    diagnosis: ExitDiagnosis
    sizes: Sizes
    progressed: bool
    reported: bool
    short_lived: bool
    most_segments: int = 0
    was_building: bool = False


def next_sizes(
    past: Sequence[AttemptSummary],
    batch_bytes: int,
    fits_now: int | None = None,
    saving: Rung | None = None,
    helps: str = NO_BACKWARD_PASS,
    for_weights: str = NOTHING_GIVEN.for_weights,
) -> Sizes:
    """The sizes of the next attempt.

    Args:
        past: the attempts so far, at least one.
        batch_bytes: the host memory that the images of one batch take.
        fits_now: the micro-batch size that fits into what other programs have left of the memory; None if they took
            none, or if it is unknown.
        saving: the rung to take if not even one image fits on the last attempt's rung; None if there is none.
        helps: the advice if nothing fits.
        for_weights: the advice if not even the network does.

    Raises:
        AutofitError: another attempt would be useless; the class and the message say why.
    """
    last = past[-1]
    _raise_if_final(last.diagnosis.verdict, last.diagnosis.cause, reported=last.reported)
    stalled = _stalled(past)
    if fits_now is None:
        _raise_if_not_even_built(stalled, for_weights)
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
    """The attempts since the last progress, the latest first."""
    return list(takewhile(lambda attempt: not attempt.progressed, reversed(past)))


def _raise_if_not_even_built(stalled: Sequence[AttemptSummary], for_weights: str) -> None:
    """Raise if the device's memory ran out twice in a row while the network was built: fewer images take no less."""
    out = takewhile(lambda one: one.was_building and one.diagnosis.verdict is Verdict.DEVICE_OOM, stalled)
    diagnoses = [one.diagnosis for one in out]
    if len(diagnoses) < MOST_WHILE_BUILDING:
        return
    helps = "" if diagnoses[0].is_limited else f": {for_weights}"
    why = f"the network itself does not fit, without any image ({diagnoses[0].cause})"
    raise DoesNotFitError(f"{why}{helps}", why)


def _raise_if_ambiguous_to_the_last(stalled: Sequence[AttemptSummary]) -> None:
    """Raise if a crash that was attributed to memory occurs with a single image too: it has another cause."""
    if len(stalled) > 1 and stalled[0].diagnosis.ambiguous and stalled[0].sizes.micro_batch_size <= 1:
        cause = stalled[0].diagnosis.cause
        raise TrainingFailedError(f"the worker crashed with a single image as well ({cause}): this is not memory")


def _has_nothing_fit(stalled: Sequence[AttemptSummary]) -> bool:
    """Whether not even one image at a time fits.

    One image has to run out of memory twice, since the first time may be due to larger micro-batches in the same
    attempt. On a rung that was chosen after an out-of-memory, attempts begin with one image, so once is enough.
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
    why = f"not even one image at a time fits ({diagnosis.cause}){tried_words(tried)}"
    return DoesNotFitError(f"{why}: {helps}", why)


def _raise_if_stuck(stalled: Sequence[AttemptSummary]) -> None:
    """Raise after several attempts without progress that did not run out of memory."""
    unchanged = [one.diagnosis for one in stalled if one.diagnosis.verdict not in OUT_OF_MEMORY]
    if len(unchanged) < MOST_ATTEMPTS_WITHOUT_PROGRESS:
        return
    if all(diagnosis.verdict is Verdict.YIELDED for diagnosis in unchanged):
        raise _never_enough(unchanged[0].cause, len(unchanged))
    raise TrainingFailedError(f"{len(unchanged)} attempts ended without progress, the last one: {unchanged[0].cause}")


def _raise_if_always_short(past: Sequence[AttemptSummary], batch_bytes: int) -> None:
    """Raise if memory is short soon after each start, even with the smallest sizes: each few steps need a start."""
    short = list(takewhile(lambda attempt: _is_short_at_once(attempt, batch_bytes), reversed(past)))
    if len(short) >= MOST_ATTEMPTS_WITHOUT_PROGRESS:
        raise _never_enough(short[0].diagnosis.cause, len(short))


def _is_short_at_once(attempt: AttemptSummary, batch_bytes: int) -> bool:
    sizes = attempt.sizes
    is_smallest = sizes.micro_batch_size <= 1 and sizes.buffer_bytes <= batch_bytes
    return attempt.diagnosis.verdict is Verdict.YIELDED and attempt.short_lived and is_smallest


def _never_enough(cause: str, times: int) -> DoesNotFitError:
    more = "give a higher memory_limit" if cause == OVER_THE_LIMIT else "free memory"
    why = f"{cause}, {times} times"
    return DoesNotFitError(f"{why}: {more} and resume, or start anew with smaller images", why)


def _smaller(last: AttemptSummary, batch_bytes: int, fits_now: int | None, *, again: bool) -> Sizes:
    """The next sizes: lack of device memory shrinks the micro-batch, lack of host memory the image buffers as well.

    After any other verdict the sizes stay.
    """
    sizes = last.sizes
    if last.diagnosis.verdict is Verdict.DEVICE_OOM and last.was_building and fits_now is None:
        return sizes  # weights take no less beside fewer images
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
    """The size that fits into the memory that others have left, if that is smaller; else half of this size."""
    return fits_now if fits_now is not None and fits_now < size else shrink(size)


def _after_yielding(last: AttemptSummary, batch_bytes: int, fits_now: int | None, *, again: bool) -> Sizes:
    """The sizes after an attempt that stopped before the host's memory ran out.

    First fewer images are decoded ahead, down to one batch, since that costs least. The micro-batch shrinks as well if
    this attempt and the one before it made no progress, or if the buffers cannot shrink further and the attempt trained
    for less time than its start took. If it trained for longer, something grows over time, such as a leak, and a new
    start frees that. If other programs took the memory, a new start does not help, so the micro-batch shrinks at once
    to what fits now.
    """
    sizes = last.sizes
    buffer_bytes = min(sizes.buffer_bytes, max(batch_bytes, sizes.buffer_bytes // 2))
    is_smallest = buffer_bytes == sizes.buffer_bytes
    if fits_now is not None and fits_now < sizes.micro_batch_size:
        return replace(sizes, micro_batch_size=fits_now, buffer_bytes=buffer_bytes)
    shrinks = again or (is_smallest and last.short_lived)
    micro = shrink(sizes.micro_batch_size) if shrinks else sizes.micro_batch_size
    return replace(sizes, micro_batch_size=micro, buffer_bytes=buffer_bytes)
