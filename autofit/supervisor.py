"""The attempt loop: launch, watch, classify, reschedule, resume.

A run is one or more attempts. After each, `next_sizes` decides, from what is known about all of them, whether to go on
and with which sizes. It is pure: the whole policy can be read, and tested, without a process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from autofit.checkpoints import CheckpointStore
from autofit.collect import committed
from autofit.errors import (
    AutofitError,
    DoesNotFitError,
    InterruptedRunError,
    StorageError,
    TrainingFailedError,
    UserError,
)
from autofit.plan import RunRecord, model_source
from autofit.process.job import CacheJob, Event, Job, TrainJob
from autofit.process.launch import Launcher, Payload
from autofit.process.messages import MemoryBudget, OomEvent, Phase, Verdict
from autofit.process.verdict import Ending
from autofit.process.watch import PATIENCE, Ended, Patience, View, watched
from autofit.records import remove_unfinished
from autofit.result import AttemptRecord
from autofit.run_directory import AttemptDirectory, RunDirectory, writing_in
from autofit.schedule import batch_image_bytes, shrink

MOST_ATTEMPTS_WITHOUT_PROGRESS = 3
"""Those that ran out of memory do not count: each is followed by a smaller one, down to one image at a time."""

OUT_OF_MEMORY = {Verdict.DEVICE_OOM, Verdict.HOST_OOM}


@dataclass(frozen=True, slots=True)
class Sizes:
    """What changes from attempt to attempt. `rest_bytes` is what the worker measured outside the allocator."""

    micro_batch_size: int
    buffer_bytes: int
    rest_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Attempted:
    """One attempt as the policy sees it: how it ended, at which size, and whether a checkpoint or the cache moved on.

    `reported` says that the worker itself named the end: an exception in Python, which would come again. `early` says
    that it had not yet trained for as long as its start had taken.
    """

    ending: Ending
    sizes: Sizes
    progressed: bool
    reported: bool
    early: bool


def next_sizes(past: Sequence[Attempted], batch_bytes: int) -> Sizes:
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


def _stalled(past: Sequence[Attempted]) -> list[Attempted]:
    """The attempts in a row, the latest first, that have moved no checkpoint on."""
    return list(takewhile(lambda attempted: not attempted.progressed, reversed(past)))


def _raise_if_ambiguous_to_the_last(stalled: Sequence[Attempted]) -> None:
    """What looked like memory and comes with a single image as well was something else."""
    if len(stalled) > 1 and stalled[0].ending.ambiguous and stalled[0].sizes.micro_batch_size <= 1:
        cause = stalled[0].ending.cause
        raise TrainingFailedError(f"the worker crashed with a single image as well ({cause}): this is not memory")


def _raise_if_nothing_fits(stalled: Sequence[Attempted]) -> None:
    """One image that ran out twice: the first time, the worker may have had larger micro-batches before it."""
    with_one = [one for one in stalled if one.ending.verdict in OUT_OF_MEMORY and one.sizes.micro_batch_size <= 1]
    if len(with_one) > 1:
        raise DoesNotFitError(
            f"not even one image at a time fits ({with_one[0].ending.cause}): "
            "take a smaller image size, a smaller backbone or more memory"
        )


def _raise_if_stuck(stalled: Sequence[Attempted]) -> None:
    """The same end, again and again, without getting anywhere."""
    unchanged = [one.ending for one in stalled if one.ending.verdict not in OUT_OF_MEMORY]
    if len(unchanged) < MOST_ATTEMPTS_WITHOUT_PROGRESS:
        return
    if all(ending.verdict is Verdict.YIELDED for ending in unchanged):
        raise _never_enough(unchanged[0].cause, len(unchanged))
    raise TrainingFailedError(f"{len(unchanged)} attempts ended without progress, the last one: {unchanged[0].cause}")


def _raise_if_always_short(past: Sequence[Attempted], batch_bytes: int) -> None:
    """Step by step, a start for each: with the smallest sizes as well, memory is short as soon as one is made."""
    short = list(takewhile(lambda attempted: _is_short_at_once(attempted, batch_bytes), reversed(past)))
    if len(short) >= MOST_ATTEMPTS_WITHOUT_PROGRESS:
        raise _never_enough(short[0].ending.cause, len(short))


def _is_short_at_once(attempted: Attempted, batch_bytes: int) -> bool:
    sizes = attempted.sizes
    is_smallest = sizes.micro_batch_size <= 1 and sizes.buffer_bytes <= batch_bytes
    return attempted.ending.verdict is Verdict.YIELDED and attempted.early and is_smallest


def _never_enough(cause: str, times: int) -> DoesNotFitError:
    return DoesNotFitError(
        f"{cause}, {times} times: free memory and resume, or start anew with smaller images or a higher memory_limit"
    )


def _smaller(last: Attempted, batch_bytes: int, *, again: bool) -> Sizes:
    """Device memory shrinks the micro-batch, host memory the buffers as well; what is not memory shrinks nothing."""
    sizes = last.sizes
    if last.ending.verdict is Verdict.DEVICE_OOM:
        return replace(sizes, micro_batch_size=shrink(sizes.micro_batch_size))
    if last.ending.verdict is Verdict.HOST_OOM:
        return replace(
            sizes, micro_batch_size=shrink(sizes.micro_batch_size), buffer_bytes=max(1, sizes.buffer_bytes // 2)
        )
    return _after_yielding(last, batch_bytes, again=again) if last.ending.verdict is Verdict.YIELDED else sizes


def _after_yielding(last: Attempted, batch_bytes: int, *, again: bool) -> Sizes:
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


class Supervisor:
    """Drives the attempts of one run to its end."""

    def __init__(  # noqa: PLR0913 - the run, and the seams that tests replace
        self,
        files: RunDirectory,
        record: RunRecord,
        memory: MemoryBudget,
        launcher: Launcher,
        *,
        view: View,
        payload: Payload | None = None,
        lock_fd: int | None = None,
        import_paths: Sequence[str] = (),
        cache: CacheJob | None = None,
        patience: Patience = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._files, self._record, self._memory, self._launcher = files, record, memory, launcher
        self._view, self._payload, self._lock_fd = view, payload, lock_fd
        self._import_paths, self._cache = list(import_paths), cache
        self._patience, self._clock, self._sleep = patience, clock, sleep
        self._store = CheckpointStore(files.checkpoints)
        self._past: list[Attempted] = []
        self._batch_bytes = batch_image_bytes(record.plan.schedule.largest, record.options.image_size)
        minutes = record.options.max_minutes
        self._stop_at = None if minutes is None else time.time() + minutes * 60

    def run(self) -> AutofitError | None:
        """Attempt until the run is done; returns None then, else the reason why it is not.

        Raises:
            KeyboardInterrupt: the second Ctrl-C; the worker is gone.
        """
        self._remove_unfinished(self._files.attempts())
        try:
            sizes: Sizes | None = self._first_sizes()
            while sizes is not None:
                sizes = self._next(sizes)
        except AutofitError as error:
            return error
        return None

    def _next(self, sizes: Sizes) -> Sizes | None:
        """Make one attempt; returns the sizes of the next one, or None where the run is done.

        Raises:
            AutofitError: there is no use in another.
        """
        number, directory = self._files.new_attempt()
        before = self._cursor()
        ended = self._attempt(number, directory, sizes)
        attempted = Attempted(
            ending=ended.ending,
            sizes=_sizes_at_the_end(sizes, ended),
            progressed=self._cursor() > before or any(event.kept_rows for event in ended.events),
            reported=ended.outcome is not None,
            early=_is_early(ended),
        )
        self._past.append(attempted)
        if attempted.ending.verdict is Verdict.COMPLETED:
            return None
        following = next_sizes(self._past, self._batch_bytes)
        if attempted.ending.verdict in OUT_OF_MEMORY:
            _note_oom(number, directory, ended, attempted.sizes, following)
        self._view.message(self._going_on(attempted, following))
        return following

    def _first_sizes(self) -> Sizes:
        """The plan's sizes, or where an earlier attempt had to make them smaller, those."""
        state = committed(self._store)
        micro = (state and state.micro_batch_size) or self._record.plan.micro_batch_size
        return Sizes(micro_batch_size=micro, buffer_bytes=self._memory.buffer_bytes, rest_bytes=self._memory.rest_bytes)

    def _attempt(self, number: int, directory: AttemptDirectory, sizes: Sizes) -> Ended:
        with watched(
            self._job(number, sizes),
            directory,
            self._launcher,
            view=self._view,
            payload=self._payload,
            lock_fd=self._lock_fd,
            epochs=self._record.plan.epochs,
            patience=self._patience,
            clock=self._clock,
            sleep=self._sleep,
        ) as worker:
            ended = worker.run()
        self._remove_unfinished([directory])
        with writing_in(self._files.path):  # on a full disk the worker could not even say so itself
            self._record_of(ended, sizes).save(directory.record)
        return ended

    def _remove_unfinished(self, attempts: Sequence[AttemptDirectory]) -> None:
        """What workers that were killed while they wrote have left; none is alive now."""
        for folder in [self._files.path, *(attempt.path for attempt in attempts)]:
            remove_unfinished(folder)

    def _job(self, number: int, sizes: Sizes) -> Job:
        record = self._record
        return Job(
            attempt=number,
            source=model_source(record.options, len(record.data.class_names)),
            memory=self._budget(sizes),
            import_paths=self._import_paths,
            isolated=self._launcher.isolated,
            work=TrainJob(
                run_dir=str(self._files.path),
                data_root=record.data.root,
                class_names=record.data.class_names,
                plan=record.plan,
                micro_batch_size=sizes.micro_batch_size,
                launched_at=time.time(),
                stop_at=self._stop_at,
                cache=self._cache_job(),
            ),
        )

    def _budget(self, sizes: Sizes) -> MemoryBudget:
        """What an attempt may use; where less is decoded ahead than was planned, nothing is for more threads."""
        is_short = sizes.buffer_bytes < self._memory.buffer_bytes
        return self._memory.model_copy(
            update={
                "rest_bytes": sizes.rest_bytes,
                "buffer_bytes": sizes.buffer_bytes,
                "threads_bytes": 0 if is_short else self._memory.threads_bytes,
            }
        )

    def _cache_job(self) -> CacheJob | None:
        """After an attempt that did not get through an extraction starts small: the size may be what ended it."""
        if self._cache is None or not self._past:
            return self._cache
        return self._cache.model_copy(update={"first_size": None, "first_peak_bytes": 0, "early_images": 0})

    def _cursor(self) -> tuple[int, int]:
        """The committed (epoch, position), before which nothing can be lost."""
        state = committed(self._store)
        return (state.epoch, state.position) if state else (0, -1)

    def _record_of(self, ended: Ended, sizes: Sizes) -> AttemptRecord:
        last = ended.last
        epoch = last.epoch if last else 0
        return AttemptRecord(
            verdict=ended.ending.verdict,
            cause=ended.ending.cause,
            batch_size=self._record.plan.schedule.batch_size(epoch),
            micro_batch_size=_sizes_at_the_end(sizes, ended).micro_batch_size,
            epoch=epoch,
            step=last.step if last else 0,
            wall_seconds=ended.wall_seconds,
        )

    def _going_on(self, attempted: Attempted, sizes: Sizes) -> str:
        cause = attempted.ending.cause or attempted.ending.verdict.value
        fewer = " and fewer decoded ahead" if sizes.buffer_bytes < attempted.sizes.buffer_bytes else ""
        return (
            f"attempt {len(self._past)} ended ({attempted.ending.verdict.value}: {cause}); "
            f"going on from the last checkpoint with {sizes.micro_batch_size} images at once{fewer}"
        )


def _sizes_at_the_end(sizes: Sizes, ended: Ended) -> Sizes:
    """The sizes that an attempt had come down to, and what it measured."""
    micro = _micro_batch_size_at_the_end(ended) or sizes.micro_batch_size
    rest = max((event.rest_bytes or 0 for event in ended.events), default=0)
    return replace(sizes, micro_batch_size=min(micro, sizes.micro_batch_size), rest_bytes=rest or sizes.rest_bytes)


def _micro_batch_size_at_the_end(ended: Ended) -> int | None:
    """Of a training, what it last said; an extraction starts small each time: of it, what running out has left."""
    if ended.last is None or ended.last.counts == "batches":
        return ended.last.micro_batch_size if ended.last else None
    return min((event.oom.micro_batch_size_after for event in ended.events if event.oom), default=None)


def _is_early(ended: Ended) -> bool:
    """Whether an attempt had not yet trained for as long as its start had taken, up to the end of its first step."""
    start_seconds = next((e.seconds_to_first_step for e in ended.events if e.seconds_to_first_step is not None), None)
    return start_seconds is None or ended.wall_seconds < 2 * start_seconds


def _note_oom(number: int, directory: AttemptDirectory, ended: Ended, before: Sizes, after: Sizes) -> None:
    """Write down the out-of-memory that ended an attempt, beside those that the worker got over itself."""
    last = ended.last
    event = OomEvent(
        attempt=number,
        epoch=last.epoch if last else 0,
        step=last.step if last else 0,
        phase=last.phase if last else Phase.START,
        micro_batch_size_before=before.micro_batch_size,
        micro_batch_size_after=after.micro_batch_size,
        seconds_lost=ended.wall_seconds,
    )
    with writing_in(directory.path), directory.events.open("a", encoding="utf-8") as events:
        # the first newline ends a line that a killed worker may have left unfinished
        events.write("\n" + Event(oom=event).model_dump_json(exclude_defaults=True) + "\n")
