"""Driving the trials of a probe: a search asks, a worker measures, and the answer is run again in a fresh process."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from autofit.errors import AutofitError, InterruptedRunError, StorageError, TrainingFailedError, UserError
from autofit.hardware import Hardware
from autofit.probing.recommend import recommended_batch, sizes_to_time
from autofit.probing.records import VERIFIED, MemoryModelRecord, ProbeReport, Workload
from autofit.probing.search import FAILURES, BatchSearch
from autofit.process.job import Event, Job, MemoryBudget, ModelSource, TrialsJob
from autofit.process.launch import Launcher, Payload
from autofit.process.messages import Request, Trial, Verdict
from autofit.process.watch import Ended, View, Watched, watched
from autofit.run_directory import AttemptDirectory

FIRST_DEADLINE_SECONDS = 900.0
LEAST_DEADLINE_SECONDS = 120.0
SLOWER_THAN_PREDICTED = 60
"""A trial runs some ten steps, a validation and a save; so many times a predicted step, and it is taken for stuck."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """What is probed, and with what. `max_batch` bounds the search; `folder` takes the workers' files."""

    source: ModelSource
    workload: Workload
    memory: MemoryBudget
    machine: Hardware
    limited_by: str
    max_batch: int
    folder: Path
    payload: Payload | None = None
    import_paths: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Measuring:
    """The worker that is measuring now, and what it says, each thing once."""

    worker: Watched
    events: Iterator[Event]


@dataclass
class Prober:
    """One probe: its search, the worker that is measuring now, and the trials so far."""

    request: ProbeRequest
    launcher: Launcher
    view: View
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _workers: int = 0
    _measuring: _Measuring | None = None
    _allocator_bytes: int = 0
    _trials: list[Trial] = field(default_factory=list)
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def run(self) -> ProbeReport:
        """Find the largest feasible batch and the recommended one.

        Raises:
            UserError: the model cannot be built as asked.
            TrainingFailedError: a trial failed for a reason that is not memory.
            InterruptedRunError: Ctrl-C.
        """
        began = self.clock()
        try:
            search = BatchSearch(self._limit_bytes(), self.request.max_batch)
            self._search_and_verify(search)
        finally:
            self._stop_worker()
        return self._report(search, self.clock() - began)

    def _report(self, search: BatchSearch, wall_seconds: float) -> ProbeReport:
        model = search.model
        return ProbeReport(
            workload=self.request.workload,
            hardware=self.request.machine.model_dump(mode="json", exclude={"other_gpu_processes"}),
            memory_limit_bytes=self.request.memory.limit_bytes,
            allocator_limit_bytes=self._allocator_bytes,
            limited_by=self.request.limited_by,
            largest_feasible_batch=search.answer,
            recommended_batch=recommended_batch([t for t in self._trials if t.batch_size <= search.answer]),
            memory_model=MemoryModelRecord(**dataclasses.asdict(model)) if model else None,
            trials=self._trials,
            wall_seconds=wall_seconds,
        )

    def _search_and_verify(self, search: BatchSearch) -> None:
        verified = 0
        while search.answer == 0 or search.answer != verified:
            while (size := search.ask()) is not None:
                search.tell(self._trial(size))
            if search.answer == 0:
                return
            for size in sizes_to_time(search.answer, [trial.batch_size for trial in self._trials]):
                search.tell(self._trial(size))
            answer = search.answer
            self._stop_worker()
            trial = self._trial(answer, cause=VERIFIED)
            search.tell(trial)
            verified = answer if trial.verdict is Verdict.FITS else 0

    def _trial(self, size: int, cause: str = "") -> Trial:
        """Measure one size, in the worker there is or in a new one; one that has run out is not used again."""
        measuring = self._measuring or self._start_worker()
        measuring.worker.trial_deadline_seconds = self._deadline_seconds(size)
        measuring.worker.send(Request(trial=size))
        trial = _heard(measuring, lambda event: event.trial) or _trial_of_an_end(size, measuring.worker.ended)
        if cause and trial.verdict is Verdict.FITS:
            trial = self._within_the_limit(trial.model_copy(update={"cause": cause}))
        if trial.verdict is not Verdict.FITS:
            self._stop_worker()
        self._trials.append(trial)
        return trial

    def _within_the_limit(self, trial: Trial) -> Trial:
        """On a CPU the limit is on resident memory: a size that grew over it does not fit, whatever the allocator says.

        Only a fresh process shows it: one that has run larger trials still holds what they touched.
        """
        memory = self.request.memory
        if memory.device == "cpu" and memory.is_given and trial.host_bytes > memory.limit_bytes:
            return trial.model_copy(update={"verdict": Verdict.HOST_OOM, "cause": "resident memory over the limit"})
        return trial

    def _deadline_seconds(self, size: int) -> float:
        slowest = max((t.step_seconds / t.batch_size for t in self._trials if t.step_seconds), default=0.0)
        if slowest == 0:
            return FIRST_DEADLINE_SECONDS
        return LEAST_DEADLINE_SECONDS + SLOWER_THAN_PREDICTED * slowest * size

    def _limit_bytes(self) -> int:
        """The allocator's limit, which the first worker says before its first trial."""
        measuring = self._start_worker()
        limit_bytes = _heard(measuring, lambda event: event.allocator_bytes)
        if limit_bytes is None:
            raise _error_of_an_end(measuring.worker.ended)
        self._allocator_bytes = limit_bytes
        return limit_bytes

    def _start_worker(self) -> _Measuring:
        self._workers += 1
        folder = self.request.folder / f"{self._workers:04d}"
        folder.mkdir(parents=True)
        worker = self._open.enter_context(
            watched(
                self._job(),
                AttemptDirectory(folder),
                self.launcher,
                view=self.view,
                payload=self.request.payload,
                clock=self.clock,
                sleep=self.sleep,
            )
        )
        self._measuring = _Measuring(worker, worker.events())
        return self._measuring

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

    def _stop_worker(self) -> None:
        self._open.close()
        self._measuring = None


def _heard(measuring: _Measuring, what: Callable[[Event], T | None]) -> T | None:
    """The next thing of a kind that a worker says; None where it has ended without.

    Raises:
        InterruptedRunError: it was asked to leave meanwhile, by Ctrl-C.
    """
    found = next((value for event in measuring.events if (value := what(event))), None)
    if measuring.worker.leaving:
        raise InterruptedRunError("the probe was stopped")
    return found


def _trial_of_an_end(size: int, ended: Ended | None) -> Trial:
    """A worker that ended instead of answering has given its verdict by the way it ended."""
    if ended is not None and ended.ending.verdict in FAILURES:
        return Trial(batch_size=size, verdict=ended.ending.verdict, cause=ended.ending.cause)
    raise _error_of_an_end(ended)


def _error_of_an_end(ended: Ended | None) -> AutofitError:
    verdict = ended.ending.verdict if ended else Verdict.CRASHED
    cause = (ended.ending.cause if ended else "") or "the worker ended without an answer"
    if verdict is Verdict.USER_ERROR:
        return UserError(cause)
    if verdict is Verdict.STORAGE:
        return StorageError(cause)
    if verdict is Verdict.INTERRUPTED:
        return InterruptedRunError("the probe was stopped")
    return TrainingFailedError(f"a trial ended for a reason that is not memory: {cause}")
