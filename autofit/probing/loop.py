"""Driving the trials of a probe: a search asks, workers measure, and the answer is one that ran in a fresh process."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from autofit.config.batch_schedule import image_buffer_bytes
from autofit.config.byte_size import format_size
from autofit.errors import AutofitError, InterruptedRunError, StorageError, TrainingFailedError, UserError
from autofit.machine.hardware import Hardware
from autofit.probing.evidence import FAILURES
from autofit.probing.hint import Hint, in_process_of
from autofit.probing.recommend import recommended_batch, speaks_for
from autofit.probing.records import MemoryModelRecord, ProbeReport, Workload
from autofit.probing.search import BatchSearch, NextTrial
from autofit.process.launch import Launcher
from autofit.process.monitor import MonitoredWorker, View, WorkerExit, monitored
from autofit.protocol.job import Event, Job, ModelSource, TrialsJob
from autofit.protocol.messages import LEAST_ALLOCATOR_BYTES, MemoryBudget, Request, Trial, Verdict
from autofit.protocol.payload import Payload
from autofit.storage.run_directory import AttemptDirectory

FIRST_DEADLINE_SECONDS = 900.0
LEAST_DEADLINE_SECONDS = 120.0
SLOWER_THAN_PREDICTED = 60
"""A trial runs some ten steps, a validation and a save; so many times a predicted step, and it is taken for stuck."""

SCOUTS_BUFFERED = 16
"""The images at once whose buffers the first worker leaves room for: larger scouts are well below the limit anyway."""

SMALL_SEARCH = 32
"""Up to this `max_batch` a search is over before a second worker has started."""

BARE_PROCESS_BYTES = 700 * 10**6
"""What an idle worker takes of the host's memory: TensorFlow 2.21 has 660 MB resident after its import."""

STEPS = 2
STEPS_OF_A_KNOWN_SIZE = 1
"""Whole steps in a trial, at least: a size that a profile knows from this very machine was timed when it was found."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """What is probed, and with what.

    Attributes:
        source: the network.
        workload: the same in words, for the report.
        memory: the limit; a trial's own budget follows from it.
        machine: where it runs, for the report.
        limited_by: which limit it is, in a few words.
        max_batch: the largest size of interest.
        folder: takes the workers' files.
        hint: what a saved profile says.
        payload: a model function, where the network is one.
        import_paths: where a worker may look for a user's own module.
    """

    source: ModelSource
    workload: Workload
    memory: MemoryBudget
    machine: Hardware
    limited_by: str
    max_batch: int
    folder: Path
    hint: Hint | None = None
    payload: Payload | None = None
    import_paths: Sequence[str] = ()


@dataclass(slots=True)
class _Started:
    """A worker, what it says, each thing once, and how many sizes it was asked for."""

    worker: MonitoredWorker
    events: Iterator[Event]
    close: Callable[[], None]
    asked: int = 0


@dataclass
class Prober:
    """One probe: its search, the worker that is measuring now, one that is ready to, and the trials so far."""

    request: ProbeRequest
    launcher: Launcher
    view: View
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _workers: int = 0
    _measuring: _Started | None = None
    _reserve: _Started | None = None
    _trials: list[Trial] = field(default_factory=list)
    _rest_given: dict[int, int] = field(default_factory=dict)
    _hint: Hint | None = None
    _bare_bytes: int = 0

    def run(self) -> ProbeReport:
        """Find the largest feasible batch and the recommended one.

        Raises:
            UserError: the model cannot be built as asked.
            TrainingFailedError: a trial failed for a reason that is not memory.
            InterruptedRunError: Ctrl-C.
        """
        began = self.clock()
        try:
            self._start()
            search = self._search()
        finally:
            with contextlib.ExitStack() as ends:  # an interrupt while one ends must not keep the other alive
                ends.callback(self._stop, self._measuring)
                ends.callback(self._stop, self._reserve)
        return self._report(search, self.clock() - began)

    def _start(self) -> None:
        """Start what will measure, and read the profile as it is meant in such a process."""
        self._measuring = self._start_worker()
        if self._has_use_for_two():
            self._reserve = self._start_worker()  # imports while the first one measures
        self._bare_bytes = _heard(self._measuring, lambda event: event.baseline_rss_bytes) or 0
        if hint := self.request.hint:
            self._hint = in_process_of(hint, self._bare_bytes, self.request.memory.limit_bytes)

    def _search(self) -> BatchSearch:
        search = BatchSearch(
            self.request.memory.limit_bytes,
            self.request.max_batch,
            saved=self._hint.trials if self._hint else (),
            expected=min(self._hint.answer, self.request.max_batch) if self._hint else 0,
        )
        while (ask := search.ask()) is not None:
            held = not search.hint_failed
            search.tell(self._trial(ask, hinted=held))
            if held and search.hint_failed:
                self.view.message("the saved profile does not hold on this machine now: measuring anew")
        return search

    def _has_use_for_two(self) -> bool:
        """Whether a second process will be needed, and the host has room for it beside one that is full."""
        request = self.request
        free_bytes = request.machine.host_available_bytes
        if request.memory.device == "cpu":
            free_bytes -= request.memory.limit_bytes
        is_needed = self.launcher.isolated and request.hint is None and request.max_batch > SMALL_SEARCH
        return is_needed and free_bytes > 2 * BARE_PROCESS_BYTES

    def _trial(self, ask: NextTrial, *, hinted: bool) -> Trial:
        """Measure one size, in the worker there is or in a fresh one; one that has run out is not used again."""
        budget = self._budget(ask, hinted=hinted)
        if budget.tensors_bytes < LEAST_ALLOCATOR_BYTES:
            trial = Trial(batch_size=ask.size, verdict=Verdict.HOST_OOM, cause="the images alone leave no room")
        else:
            trial = self._within_the_limit(self._ask_worker(ask, budget), ask)
        if trial.verdict is not Verdict.FITS:
            self._done_measuring()
        self._trials.append(trial)
        return trial

    def _ask_worker(self, ask: NextTrial, budget: MemoryBudget) -> Trial:
        measuring = self._worker(fresh=ask.fresh)
        if (
            not measuring.asked and budget.non_allocator_bytes is not None
        ):  # a process has one budget, that of its first size
            self._rest_given[ask.size] = budget.non_allocator_bytes
        measuring.worker.trial_deadline_seconds = self._deadline_seconds(ask.size)
        measuring.worker.send(Request(trial=ask.size, steps=self._steps(ask.size), memory=budget))
        measuring.asked += 1
        return _heard(measuring, lambda event: event.trial) or _trial_of_an_end(ask.size, measuring.worker.ended)

    def _steps(self, size: int) -> int:
        saved = self._hint.trials if self._hint and self._hint.answer == size else ()
        is_timed = any(speaks_for(trial, size) and trial.images_per_second > 0 for trial in saved)
        return STEPS_OF_A_KNOWN_SIZE if is_timed else STEPS

    def _worker(self, *, fresh: bool) -> _Started:
        """The worker to ask next; the one in reserve before a new one."""
        if self._measuring is not None and fresh and self._measuring.asked:
            self._done_measuring()
        if self._measuring is None:
            self._measuring, self._reserve = self._reserve or self._start_worker(), None
        return self._measuring

    def _budget(self, ask: NextTrial, *, hinted: bool) -> MemoryBudget:
        """What a process may use that has this size to run: on a CPU the images' share depends on it.

        What lies outside the allocator is what was measured, or what a profile says, or for the worker to estimate.
        """
        memory = self.request.memory
        if memory.device == "gpu":
            return memory
        size = ask.size if ask.fresh else max(ask.size, min(SCOUTS_BUFFERED, self.request.max_batch))
        buffer_bytes = image_buffer_bytes(size, self.request.source.spec.image_size)
        non_allocator_bytes = self._rest_bytes(hinted=hinted) or None
        return memory.model_copy(update={"non_allocator_bytes": non_allocator_bytes, "buffer_bytes": buffer_bytes})

    def _rest_bytes(self, *, hinted: bool) -> int:
        """What a worker may have resident outside the allocator and the image buffers; 0 where none has said.

        The most that was measured, and as much more as that differed from trial to trial.
        """
        size = self.request.source.spec.image_size
        measured = [
            t.non_allocator_bytes - image_buffer_bytes(t.batch_size, size)
            for t in self._trials
            if t.non_allocator_bytes
        ]
        if not measured:
            saved = self._hint.non_allocator_bytes if self._hint and hinted else 0
            return saved if saved < self.request.memory.limit_bytes - LEAST_ALLOCATOR_BYTES else 0  # nonsense
        return max(0, 2 * max(measured) - min(measured))

    def _within_the_limit(self, trial: Trial, ask: NextTrial) -> Trial:
        """On a CPU the limit is on resident memory: a size that grew over it does not fit, whatever the allocator says.

        Only a fresh process shows it: one that has run other trials still holds what they touched.
        """
        memory = self.request.memory
        counts = memory.device == "cpu" and memory.is_given and ask.fresh and trial.verdict is Verdict.FITS
        if counts and max(trial.host_bytes, trial.memory_bytes) > memory.limit_bytes:
            return trial.model_copy(update={"verdict": Verdict.HOST_OOM, "cause": "resident memory over the limit"})
        return trial

    def _deadline_seconds(self, size: int) -> float:
        slowest = max((t.step_seconds / t.batch_size for t in self._trials if t.step_seconds), default=0.0)
        if slowest == 0:
            return FIRST_DEADLINE_SECONDS
        return LEAST_DEADLINE_SECONDS + SLOWER_THAN_PREDICTED * slowest * size

    def _start_worker(self) -> _Started:
        self._workers += 1
        folder = self.request.folder / f"{self._workers:04d}"
        folder.mkdir(parents=True)
        life = contextlib.ExitStack()
        worker = life.enter_context(
            monitored(
                self._job(),
                AttemptDirectory(folder),
                self.launcher,
                view=self.view,
                payload=self.request.payload,
                clock=self.clock,
                sleep=self.sleep,
            )
        )
        return _Started(worker, worker.events(), life.close)

    def _job(self) -> Job:
        request = self.request
        return Job(
            attempt=self._workers,
            source=request.source,
            memory=request.memory,
            import_paths=list(request.import_paths),
            isolated=self.launcher.isolated,
            work=TrialsJob(),
        )

    def _done_measuring(self) -> None:
        """End the worker that is measuring: the next size gets another."""
        self._stop(self._measuring)
        self._measuring = None

    def _stop(self, started: _Started | None) -> None:
        if started is not None:
            started.close()

    # The report -----------------------------------------------------------------------------------------------------

    def _report(self, search: BatchSearch, wall_seconds: float) -> ProbeReport:
        holds = None if search.hint_failed else self._hint
        trials = [*(holds.trials if holds else ()), *self._trials]
        verified = [t for t in self._trials if t.fresh and t.batch_size == search.answer]
        return ProbeReport(
            workload=self.request.workload,
            hardware=self.request.machine.model_dump(mode="json", exclude={"other_gpu_processes"}),
            memory_limit_bytes=self.request.memory.limit_bytes,
            allocator_limit_bytes=max((trial.allocator_bytes for trial in verified), default=0),
            limited_by=self.request.limited_by,
            other_gpu_processes=_held_by_others(self.request.machine),
            max_batch=self.request.max_batch,
            largest_feasible_batch=search.answer,
            recommended_batch=recommended_batch(trials, search.answer),
            non_allocator_bytes=self._rest_given.get(search.answer) or self._rest_bytes(hinted=holds is not None),
            baseline_rss_bytes=self._bare_bytes,
            memory_model=_memory_model(search),
            trials=trials,
            source="profile" if holds else "measured",
            wall_seconds=wall_seconds,
        )


def _memory_model(search: BatchSearch) -> MemoryModelRecord | None:
    model = search.model
    if model is None:
        return None
    return MemoryModelRecord(
        **dataclasses.asdict(model),
        headroom_bytes=search.headroom_bytes(search.answer),
        fragmentation=search.fragmentation,
    )


def _held_by_others(machine: Hardware) -> list[str]:
    """Who else has memory of the GPU, in words."""
    sizes = ((p, f", {format_size(p.bytes)}" if p.bytes else "") for p in machine.other_gpu_processes)
    return [f"{process.name} (pid {process.pid}{size})" for process, size in sizes]


def _heard(measuring: _Started, what: Callable[[Event], T | None]) -> T | None:
    """The next thing of a kind that a worker says; None where it has ended without.

    Raises:
        InterruptedRunError: it was asked to leave meanwhile, by Ctrl-C.
    """
    found = next((value for event in measuring.events if (value := what(event))), None)
    if measuring.worker.is_stopping:
        raise InterruptedRunError("the probe was stopped")
    return found


def _trial_of_an_end(size: int, ended: WorkerExit | None) -> Trial:
    """A worker that ended instead of answering has given its verdict by the way it ended."""
    if ended is not None and ended.diagnosis.verdict in FAILURES:
        return Trial(batch_size=size, verdict=ended.diagnosis.verdict, cause=ended.diagnosis.cause)
    raise _error_of_an_end(ended)


def _error_of_an_end(ended: WorkerExit | None) -> AutofitError:
    verdict = ended.diagnosis.verdict if ended else Verdict.CRASHED
    cause = (ended.diagnosis.cause if ended else "") or "the worker ended without an answer"
    if verdict is Verdict.USER_ERROR:
        return UserError(cause)
    if verdict is Verdict.STORAGE:
        return StorageError(cause)
    if verdict is Verdict.INTERRUPTED:
        return InterruptedRunError("the probe was stopped")
    return TrainingFailedError(f"a trial ended for a reason that is not memory: {cause}")
