"""The attempt loop: launch a worker, monitor it, classify its exit, and start the next one from the last checkpoint.

A run is one or more attempts. After each, the pure function `next_sizes` decides from the summaries of all attempts
whether there is another one, and with which sizes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from autofit.config.batch_schedule import batch_image_bytes
from autofit.errors import AutofitError, DoesNotFitError, InterruptedRunError
from autofit.process.launch import Launcher
from autofit.process.monitor import PATIENCE, Patience, View, WorkerExit, monitored
from autofit.protocol.cache_job import CacheJob
from autofit.protocol.job import MINUTES_OVER, Job, StageTime, TrainingPlan, TrainJob
from autofit.protocol.messages import OUT_OF_MEMORY, MemoryBudget, StageName, Verdict
from autofit.protocol.payload import Payload
from autofit.runs.attempt_notes import attempt_record, failure_words, note_oom
from autofit.runs.attempt_summary import summarize
from autofit.runs.collect_result import Committed, committed, has_model_of_stage
from autofit.runs.model_source import rung_of, source_of_run
from autofit.runs.next_attempt import SHORT_OF, following_sizes, size_that_held, trains_on
from autofit.runs.retry_policy import AttemptSummary, Sizes
from autofit.runs.run_record import RunRecord
from autofit.runs.squeeze import Squeeze
from autofit.runs.stage_decision import (
    above_the_cut_instead,
    stage_time,
    with_rung,
    with_seconds_between,
    with_stage_decided,
    with_start,
)
from autofit.runs.stage_probe import StageStart, model_kept
from autofit.runs.stages import chosen_rung, next_stage, plan_of_stage, source_of_stage, stages_of
from autofit.runs.time_budget import TimeBudget
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import AttemptDirectory, RunDirectory, writing_in
from autofit.storage.safe_files import remove_unfinished

NOTHING_SAVED = 0, -1
"""The epoch and the position in it of a run without a checkpoint."""


class BeginStage(Protocol):
    """Determines what the attempts of a stage begin with."""

    def __call__(self, record: RunRecord, stage: StageName, plan: TrainingPlan, *, is_begun: bool) -> StageStart:
        """What a stage begins with or, if a part of it is committed (`is_begun`), goes on with.

        Raises:
            AutofitError: the stage cannot begin.
        """


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
        squeezed: Callable[[StageName], Squeeze | None] = lambda _: None,
        begin_stage: BeginStage | None = None,
        budget: TimeBudget | None = None,
        stop_at: float | None = None,
    ) -> None:
        """Prepare the attempts of a run.

        After memory ran short in a stage, `squeezed` tells how much of it other programs took; None if none did.
        `begin_stage` tells what the attempts of a stage begin with, by default the sizes of its plan. `budget` is the
        run's time budget, and `stop_at` when to save and stop, both by `clock`.
        """
        self._files, self._record, self._memory, self._launcher = files, record, memory, launcher
        self._view, self._payload, self._lock_fd = view, payload, lock_fd
        self._import_paths, self._cache = list(import_paths), cache
        self._patience, self._clock, self._sleep = patience, clock, sleep
        self._squeezed, self._begin_stage = squeezed, begin_stage or self._as_planned
        self._time_budget, self._stop_at = budget, stop_at
        self._store = CheckpointStore(files.checkpoints)
        self._past: list[AttemptSummary] = []
        self._completed: set[StageName] = set()  # by an attempt of this session
        self._batch_bytes = batch_image_bytes(record.plan.schedule.largest, record.options.image_size)

    def run(self) -> AutofitError | None:
        """Make attempts until the run is finished; returns None, or the error that has ended the run before.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed twice; the worker has ended.
        """
        self._remove_unfinished(self._files.attempts())
        try:
            sizes = self._sizes_of_next_stage()
            while sizes is not None:
                sizes = self._next(sizes)
        except DoesNotFitError as error:
            return self._without_fine_tuning(error)
        except AutofitError as error:
            return error
        return None

    def _without_fine_tuning(self, error: DoesNotFitError) -> AutofitError | None:
        """Finish the run with its model, if only a refit does not fit, or if nothing of fine-tuning is committed.

        Returns:
            None if the run is finished so; else the error.
        """
        state = committed(self._store)
        kept = model_kept(self._record.plan, self._stage()[0], state.stage, state.stages) if state else ""
        if state is None or not kept:
            return error
        is_there = has_model_of_stage(self._files, state.stages[-1].name)
        if not is_there and (state.stage == "refit" or not self._saves_model(state)):
            return error
        self._view.message(f"{error.why}: {kept} is kept")
        return None

    def _saves_model(self, state: Committed) -> bool:
        """Let a worker save the model of the last finished stage, whose worker ended before that; whether it could."""
        stage = state.stages[-1].name
        plan = plan_of_stage(self._record.plan, stage, state.stages, state.best_epoch)
        sizes = Sizes(plan.micro_batch_size, self._memory.buffer_bytes)
        worker_exit = self._attempt(*self._files.new_attempt(), sizes, stage, plan)
        return worker_exit.diagnosis.verdict is Verdict.COMPLETED

    def _next(self, sizes: Sizes) -> Sizes | None:
        """Make one attempt; returns the sizes of the next one, or None if the run is finished.

        Raises:
            AutofitError: another attempt would be useless.
        """
        number, directory = self._files.new_attempt()
        before, (stage, plan) = self._cursor(), self._stage()
        worker_exit = self._attempt(number, directory, sizes, stage, plan)
        summary = summarize(worker_exit, sizes, committed=self._cursor() > before)
        self._past.append(summary)
        if summary.diagnosis.verdict is Verdict.COMPLETED:
            self._completed.add(stage)
            return self._sizes_after(stage)
        squeeze = self._squeezed(stage) if summary.diagnosis.verdict in SHORT_OF[self._memory.device] else None
        following = following_sizes(self._record, stage, self._memory, self._past, self._batch_bytes, squeeze)
        if summary.diagnosis.verdict in OUT_OF_MEMORY:
            note_oom(number, directory, worker_exit, summary.sizes, following)
        if self._stage()[0] != stage:  # it failed after its stage was committed: the next stage has its own sizes
            verdict = summary.diagnosis.verdict.value
            self._view.message(f"attempt {number} ended ({verdict}) after its stage was finished")
            return self._sizes_after(stage) or following  # if none follows, its model is still to be saved
        is_begun = self._cursor() != NOTHING_SAVED
        self._view.message(failure_words(number, summary, following, squeeze, is_begun=is_begun))
        if squeeze is not None:
            self._memory = self._memory.model_copy(update={"limit_bytes": squeeze.limit_bytes})
        if following.rung != summary.sizes.rung:
            self._record = with_rung(self._record, self._files, stage, following.rung)
        return following

    def _sizes_after(self, stage: StageName) -> Sizes | None:
        """The sizes of the stage that follows; None if there is none."""
        if self._record.plan.epochs_by_budget == "open":
            self._decide_stage(is_probed=False)
        is_last = stage == stages_of(self._record.plan)[-1] and self._record.plan.epochs_by_budget == "no"
        if is_last or self._is_over():
            return None
        self._past.clear()
        return self._sizes_of_next_stage(is_first=False)

    def _sizes_of_next_stage(self, *, is_first: bool = True) -> Sizes | None:
        """The sizes of the next stage; None if no stage is left, perhaps by a decision of the time budget.

        The time budget decides twice: before the stage is probed, and finally by what the probe has measured. The first
        stage of a session (`is_first`) is never skipped: if all stages are finished, the model may have to be saved.
        """
        self._decide_stage(is_probed=False)
        if not is_first and self._is_over():
            return None
        sizes = self._sizes_of_what_fits()
        self._decide_stage(is_probed=True)
        return None if not is_first and self._is_over() else sizes

    def _sizes_of_what_fits(self) -> Sizes:
        """The sizes of the next stage; if a time budget had chosen all layers and these do not fit, of the upper ones.

        Raises:
            DoesNotFitError: not even one image at a time fits.
        """
        try:
            return self._first_sizes()
        except DoesNotFitError as error:
            smaller = above_the_cut_instead(self._record, self._files)
            if smaller is None:
                raise
            self._view.message(f"{error.why}: the upper layers are fine-tuned instead of all")
            self._record = smaller
            return self._first_sizes()

    def _decide_stage(self, *, is_probed: bool) -> None:
        """Decide about the next stage by the time budget, if there is one, and show the decision."""
        state = committed(self._store)
        has_ended = state is not None and self._stage_after(state) != state.stage
        if self._time_budget is not None and state is not None and has_ended:
            known = self._record, self._files, state.stages, self._time_budget, self._clock()
            self._record, words = with_stage_decided(*known, is_probed=is_probed, best_epoch=state.best_epoch)
            if words:
                self._view.message(words)

    def _stage(self) -> tuple[StageName, TrainingPlan]:
        """The stage of the next attempt, and its plan; if all are finished, the last one, to save its model."""
        state = committed(self._store) or Committed()
        stage = self._stage_after(state) or state.stages[-1].name
        return stage, plan_of_stage(self._record.plan, stage, state.stages, state.best_epoch)

    def _stage_before(self, stage: StageName) -> StageName | None:
        """The stage that was finished last before this one; None if there is none."""
        finished = (committed(self._store) or Committed()).stages
        return next((record.name for record in reversed(finished) if record.name != stage), None)

    def _is_over(self) -> bool:
        """Whether no stage is left to be trained."""
        return self._stage_after(committed(self._store) or Committed()) is None

    def _stage_after(self, state: Committed) -> StageName | None:
        """The stage that is not finished yet, or whose callbacks were not told of its end; None if there is none.

        What they do then may change the model, with which the next stage begins.
        """
        if trains_on(self._record, state):
            return "training"
        finished = [stage.name for stage in state.stages]
        has_callbacks = self._payload is not None and bool(self._payload.callbacks)
        is_told = state.callbacks_ended or state.stage in self._completed or not has_callbacks
        if state.stage in finished and not is_told:
            return state.stage
        following = next_stage(self._record.plan, state.stages, state.best_epoch)
        return state.stage if following == "training" else following  # a head is one still if nothing follows

    def _first_sizes(self) -> Sizes:
        """The sizes of the plan, or the smaller ones of an earlier attempt at the same work."""
        state, (stage, plan) = committed(self._store), self._stage()
        begun = state if state is not None and state.stage == stage else None
        if state is not None and self._stop_at is not None and self._clock() >= self._stop_at:
            raise InterruptedRunError(MINUTES_OVER)
        began = self._clock()
        try:
            start = self._begin_stage(self._record, stage, plan, is_begun=begun is not None)
        finally:
            self._record = with_seconds_between(self._record, self._files, self._clock() - began)
        self._memory = start.memory
        self._record = with_start(self._record, self._files, stage, start)
        return Sizes(
            micro_batch_size=size_that_held(state, stage) or start.micro_batch_size,
            buffer_bytes=self._memory.buffer_bytes,
            non_allocator_bytes=self._memory.non_allocator_bytes,
            rung=chosen_rung(self._record.plan, stage) or rung_of(self._record.options),
        )

    def _as_planned(self, record: RunRecord, stage: StageName, plan: TrainingPlan, *, is_begun: bool) -> StageStart:
        del record, stage, is_begun
        return StageStart(plan.micro_batch_size, self._memory)

    def _attempt(
        self, number: int, directory: AttemptDirectory, sizes: Sizes, stage: StageName, plan: TrainingPlan
    ) -> WorkerExit:
        with monitored(
            self._job(number, sizes, stage, plan),
            directory,
            self._launcher,
            view=self._view,
            payload=self._payload,
            lock_fd=self._lock_fd,
            epochs=0 if plan.epochs_by_budget == "open" else plan.epochs,
            patience=self._patience,
            clock=self._clock,
            sleep=self._sleep,
        ) as worker:
            worker_exit = worker.run()
        self._remove_unfinished([directory])
        with writing_in(self._files.path):  # on a full disk the worker itself could not report the error
            attempt_record(worker_exit, sizes, stage, plan).save(directory.record)
        return worker_exit

    def _remove_unfinished(self, attempts: Sequence[AttemptDirectory]) -> None:
        """Remove the temporary files of workers that were killed while they wrote; no worker is alive now."""
        for folder in [self._files.path, *(attempt.path for attempt in attempts)]:
            remove_unfinished(folder)

    def _job(self, number: int, sizes: Sizes, stage: StageName, plan: TrainingPlan) -> Job:
        record = self._record
        source = source_of_run(record, stage)
        return Job(
            attempt=number,
            source=source_of_stage(source, record.plan, stage, record.data),
            memory=self._budget(sizes),
            import_paths=self._import_paths,
            isolated=self._launcher.isolated,
            deterministic=record.plan.deterministic,
            work=TrainJob(
                run_dir=str(self._files.path),
                data_root=record.data.root,
                class_names=record.data.class_names,
                plan=plan,
                stage=stage,
                after=self._stage_before(stage),
                micro_batch_size=sizes.micro_batch_size,
                launched_at=self._clock(),
                stop_at=self._stop_at,
                time=self._stage_time(stage),
                cache=self._cache_job(),
            ),
        )

    def _stage_time(self, stage: StageName) -> StageTime | None:
        """The times that a worker of the stage gets by the time budget; None without a budget."""
        if self._time_budget is None:
            return None
        return stage_time(self._record, self._files, stage, self._time_budget)

    def _budget(self, sizes: Sizes) -> MemoryBudget:
        """The memory budget of an attempt; if its image buffers have shrunk, without memory for additional threads."""
        is_short = sizes.buffer_bytes < self._memory.buffer_bytes
        return self._memory.model_copy(
            update={
                "non_allocator_bytes": sizes.non_allocator_bytes,
                "buffer_bytes": sizes.buffer_bytes,
                "threads_bytes": 0 if is_short else self._memory.threads_bytes,
            }
        )

    def _cache_job(self) -> CacheJob | None:
        """The cache as planned; after a failed attempt without saved sizes, since such a size may have ended it."""
        if self._cache is None or not self._past:
            return self._cache
        return self._cache.model_copy(update={"first_size": None, "first_peak_bytes": 0, "early_images": 0})

    def _cursor(self) -> tuple[int, int]:
        """The epoch and the position in it that the newest checkpoint has."""
        state = committed(self._store)
        return (state.epoch, state.position) if state else NOTHING_SAVED
