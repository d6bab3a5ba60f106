"""What follows an attempt that failed: the sizes of the next one, or the error that ends the run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from autofit.config.batch_schedule import shrink
from autofit.errors import DoesNotFitError, InterruptedRunError, StorageError, TrainingFailedError, UserError
from autofit.process.exit_classifier import ExitDiagnosis
from autofit.protocol.messages import Verdict

MOST_ATTEMPTS_WITHOUT_PROGRESS = 3
"""Those that ran out of memory do not count: each is followed by a smaller one, down to one image at a time."""

OUT_OF_MEMORY = {Verdict.DEVICE_OOM, Verdict.HOST_OOM}


@dataclass(frozen=True, slots=True)
class Sizes:
    """What changes from attempt to attempt. `non_allocator_bytes` is what the worker measured outside the allocator."""

    micro_batch_size: int
    buffer_bytes: int
    non_allocator_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class AttemptSummary:
    """One attempt as the policy sees it: how it ended, at which size, and whether a checkpoint or the cache moved on.

    `reported` says that the worker itself named the end: an exception in Python, which would come again. `early` says
    that it had not yet trained for as long as its start had taken.
    """

    ending: ExitDiagnosis
    sizes: Sizes
    progressed: bool
    reported: bool
    early: bool


def next_sizes(past: Sequence[AttemptSummary], batch_bytes: int) -> Sizes:
    """The sizes of the next attempt.

    Args:
        past: the attempts so far, of which one at least was made.
        batch_bytes: what the images of a batch take in host memory.

    Raises:
        AutofitError: there is no use in another attempt; the class and the message say why.
    """
    last = past[-1]
    _raise_if_final(last.ending.verdict, last.ending.cause, reported=last.reported)
    stalled = _stalled(past)
    _raise_if_ambiguous_to_the_last(stalled)
    _raise_if_nothing_fits(stalled)
    _raise_if_stuck(stalled)
    _raise_if_always_short(past, batch_bytes)
    return _smaller(last, batch_bytes, again=len(stalled) > 1)


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
    """The attempts in a row, the latest first, that have moved no checkpoint on."""
    return list(takewhile(lambda attempted: not attempted.progressed, reversed(past)))


def _raise_if_ambiguous_to_the_last(stalled: Sequence[AttemptSummary]) -> None:
    """What looked like memory and comes with a single image as well was something else."""
    if len(stalled) > 1 and stalled[0].ending.ambiguous and stalled[0].sizes.micro_batch_size <= 1:
        cause = stalled[0].ending.cause
        raise TrainingFailedError(f"the worker crashed with a single image as well ({cause}): this is not memory")


def _raise_if_nothing_fits(stalled: Sequence[AttemptSummary]) -> None:
    """One image that ran out twice: the first time, the worker may have had larger micro-batches before it."""
    with_one = [one for one in stalled if one.ending.verdict in OUT_OF_MEMORY and one.sizes.micro_batch_size <= 1]
    if len(with_one) > 1:
        raise DoesNotFitError(
            f"not even one image at a time fits ({with_one[0].ending.cause}): "
            "take a smaller image size, a smaller backbone or more memory"
        )


def _raise_if_stuck(stalled: Sequence[AttemptSummary]) -> None:
    """The same end, again and again, without getting anywhere."""
    unchanged = [one.ending for one in stalled if one.ending.verdict not in OUT_OF_MEMORY]
    if len(unchanged) < MOST_ATTEMPTS_WITHOUT_PROGRESS:
        return
    if all(ending.verdict is Verdict.YIELDED for ending in unchanged):
        raise _never_enough(unchanged[0].cause, len(unchanged))
    raise TrainingFailedError(f"{len(unchanged)} attempts ended without progress, the last one: {unchanged[0].cause}")


def _raise_if_always_short(past: Sequence[AttemptSummary], batch_bytes: int) -> None:
    """Step by step, a start for each: with the smallest sizes as well, memory is short as soon as one is made."""
    short = list(takewhile(lambda attempted: _is_short_at_once(attempted, batch_bytes), reversed(past)))
    if len(short) >= MOST_ATTEMPTS_WITHOUT_PROGRESS:
        raise _never_enough(short[0].ending.cause, len(short))


def _is_short_at_once(attempted: AttemptSummary, batch_bytes: int) -> bool:
    sizes = attempted.sizes
    is_smallest = sizes.micro_batch_size <= 1 and sizes.buffer_bytes <= batch_bytes
    return attempted.ending.verdict is Verdict.YIELDED and attempted.early and is_smallest


def _never_enough(cause: str, times: int) -> DoesNotFitError:
    return DoesNotFitError(
        f"{cause}, {times} times: free memory and resume, or start anew with smaller images or a higher memory_limit"
    )


def _smaller(last: AttemptSummary, batch_bytes: int, *, again: bool) -> Sizes:
    """Device memory shrinks the micro-batch, host memory the buffers as well; what is not memory shrinks nothing."""
    sizes = last.sizes
    if last.ending.verdict is Verdict.DEVICE_OOM:
        return replace(sizes, micro_batch_size=shrink(sizes.micro_batch_size))
    if last.ending.verdict is Verdict.HOST_OOM:
        return replace(
            sizes, micro_batch_size=shrink(sizes.micro_batch_size), buffer_bytes=max(1, sizes.buffer_bytes // 2)
        )
    return _after_yielding(last, batch_bytes, again=again) if last.ending.verdict is Verdict.YIELDED else sizes


def _after_yielding(last: AttemptSummary, batch_bytes: int, *, again: bool) -> Sizes:
    """Images that are decoded ahead are given up first, down to one batch: that costs least.

    The micro-batch shrinks where there are none left to give up, or where this is not the first attempt in a row that
    got nowhere. Not after one that has trained for longer than its start took: then something grows, and to start anew
    cures that.
    """
    sizes = last.sizes
    buffer_bytes = min(sizes.buffer_bytes, max(batch_bytes, sizes.buffer_bytes // 2))
    none_left = buffer_bytes == sizes.buffer_bytes
    shrinks = again or (none_left and last.early)
    micro = shrink(sizes.micro_batch_size) if shrinks else sizes.micro_batch_size
    return replace(sizes, micro_batch_size=micro, buffer_bytes=buffer_bytes)
