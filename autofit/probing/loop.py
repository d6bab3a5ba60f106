"""Drives the trials of a probe: a search asks for sizes, and workers measure them."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from autofit.config.byte_size import format_size
from autofit.machine.hardware import Hardware
from autofit.probing.gpu_search import GpuSearch
from autofit.probing.halving_search import HalvingSearch
from autofit.probing.hint import ProfileHint, adjusted_to_process, trials_within
from autofit.probing.ladder import cannot_be_built
from autofit.probing.line_search import LineSearch
from autofit.probing.recommend import recommended_batch
from autofit.probing.records import MemoryModelRecord, ProbeReport
from autofit.probing.request import ProbeRequest
from autofit.probing.search import FIRST_SIZE, BatchSearch, NextTrial
from autofit.probing.time_spent import start_seconds, time_spent
from autofit.probing.trial_limits import (
    deadline_seconds,
    has_fitted_within,
    measured_non_allocator_bytes,
    min_steps,
    saved_non_allocator_bytes,
    spare_bytes,
    trial_budget,
    within_memory_limit,
)
from autofit.probing.trial_worker import TrialWorker
from autofit.process.launch import Launcher
from autofit.process.monitor import View, monitored
from autofit.protocol.job import Job, TrialsJob
from autofit.protocol.messages import (
    LEAST_ALLOCATOR_BYTES,
    MOST_WHILE_BUILDING,
    MemoryBudget,
    Request,
    Trial,
    Verdict,
)
from autofit.storage.run_directory import AttemptDirectory

EXPLORATORY_IMAGES_BUFFERED = 16
"""How many images the first worker has buffers for. Larger exploratory trials do not need their share of the budget:
they are far below the limit."""

SMALL_SEARCH = 32
"""With a `max_batch` up to this, a search is over before a second worker would have started."""

ROOMIER = 1.1
"""A size that ran out of memory is tried once more if a new process would have more room for tensors by this factor."""

IDLE_WORKER_BYTES = 700 * 10**6
"""The host's memory that an idle worker takes: TensorFlow 2.21 has 660 MB resident after its import."""


@dataclass
class Prober:
    """One probe: the worker that measures, an idle worker on standby, and the trials so far."""

    request: ProbeRequest
    launcher: Launcher
    view: View
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _workers_started: int = 0
    _measuring: TrialWorker | None = None
    _standby: TrialWorker | None = None
    _trials: list[Trial] = field(default_factory=list)
    _non_allocator_bytes_given: dict[int, int] = field(default_factory=dict)  # of each process, by its first size
    _hint: ProfileHint | None = None
    _baseline_rss_bytes: int = 0
    _process_starts_seconds: float = 0.0

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
            with contextlib.ExitStack() as closing:  # both workers end, even if an interrupt comes while one ends
                for worker in (self._measuring, self._standby):
                    if worker is not None:
                        closing.callback(worker.close)
        return self._report(search, self.clock() - began)

    def _start(self) -> None:
        """Start the workers, and adjust the profile's hint to the memory that such a process takes today."""
        began = self.clock()
        self._measuring = self._start_worker()
        if self._needs_standby():
            self._standby = self._start_worker()  # imports TensorFlow while the first one measures
        self._baseline_rss_bytes = self._measuring.baseline_rss_bytes()
        self._process_starts_seconds += self.clock() - began
        if hint := self.request.hint:
            self._hint = adjusted_to_process(hint, self._baseline_rss_bytes, self.request.memory.limit_bytes)

    def _needs_standby(self) -> bool:
        """Whether a second process will be needed, and the host has memory for it beside the one that measures."""
        request = self.request
        free_bytes = request.machine.host_available_bytes
        if request.memory.device == "cpu":
            free_bytes -= request.memory.limit_bytes
        has_candidate = request.hint is None and request.max_batch > SMALL_SEARCH and not request.only_line
        is_needed = self.launcher.isolated and has_candidate
        return is_needed and free_bytes > 2 * IDLE_WORKER_BYTES

    # The trials -----------------------------------------------------------------------------------------------------

    def _search(self) -> BatchSearch:
        search = self._kind_of_search()(
            self.request.memory.limit_bytes - self._spare_bytes,
            self.request.max_batch,
            saved=self._hint.trials if self._hint else (),
            expected=min(self._hint.expected_batch, self.request.max_batch) if self._hint else 0,
            first=1 if self.request.start.from_one else FIRST_SIZE,
        )
        while (asked := self._next(search)) is not None:
            uses_hint = not search.hint_failed
            search.tell(self._trial(asked, uses_hint=uses_hint))
            if uses_hint and search.hint_failed:
                self.view.message("the saved profile does not hold on this machine now: measuring anew")
            if self._never_builds(asked):
                break
        return search

    def _next(self, search: BatchSearch) -> NextTrial | None:
        """The next trial of a search, which verifies an answer once more if it had more room than a training has."""
        asked, size = search.ask(), search.answer
        if asked is not None or not size or size in self._non_allocator_bytes_given:
            return asked
        budget = self._budget(NextTrial(size, fresh=True), uses_hint=False)
        if has_fitted_within(budget, size, self._trials) or not search.doubt(size):
            return None
        self._trials = list(search.trials)
        return search.ask()

    def _never_builds(self, last: NextTrial) -> bool:
        """Whether the weights alone did not fit repeatedly, and no smaller size would leave clearly more room."""
        if len(self._trials) < MOST_WHILE_BUILDING or not cannot_be_built(self._trials):
            return False
        least, had = (self._budget(asked, uses_hint=False) for asked in (NextTrial(1, fresh=True), last))
        return least.tensors_bytes <= ROOMIER * had.tensors_bytes

    def _kind_of_search(self) -> type[BatchSearch]:
        if self.request.only_line:
            return LineSearch
        gradual = GpuSearch if self._is_gpu else BatchSearch
        is_likely_to_fit = self.request.from_above and not self.request.start.from_one
        return HalvingSearch if is_likely_to_fit else gradual

    def _trial(self, asked: NextTrial, *, uses_hint: bool) -> Trial:
        """Measure one size, in the current worker or a fresh one, and a second time if its budget was too small."""
        budget = self._budget(asked, uses_hint=uses_hint)
        trial = self._tried(asked, budget)
        if measured := self._budget_if_it_was_short(budget, trial):
            trial = self._tried(asked, measured)
        self._trials.append(trial)
        return trial

    def _tried(self, asked: NextTrial, budget: MemoryBudget) -> Trial:
        """Measure one size under a budget, and end a worker whose allocator is not usable after an out-of-memory."""
        if budget.tensors_bytes < LEAST_ALLOCATOR_BYTES:
            cause = "its images take all the memory"
            trial = Trial(batch_size=asked.size, verdict=Verdict.HOST_OOM, cause=cause)
        else:
            trial = within_memory_limit(self._measure(asked, budget), self.request.memory, fresh=asked.fresh)
        if trial.verdict is not Verdict.FITS and not trial.worker_stays:
            self._close_measuring()
        return trial

    def _budget_if_it_was_short(self, budget: MemoryBudget, trial: Trial) -> MemoryBudget | None:
        """A budget with clearly more room for tensors than a trial that ran out of memory had; None if there is none.

        The first budget is estimated, and a process keeps the budget of its first trial. A size that ran out of memory
        under less than what is measured by then says nothing about the limit.
        """
        if trial.verdict is not Verdict.DEVICE_OOM or not trial.allocator_bytes:
            return None
        better = budget
        if budget.non_allocator_bytes is None:
            measured = measured_non_allocator_bytes([trial], self.request.source.spec.image_size)
            if measured is None:
                return None
            better = budget.model_copy(update={"non_allocator_bytes": measured})
        return better if better.tensors_bytes > ROOMIER * trial.allocator_bytes else None

    def _measure(self, asked: NextTrial, budget: MemoryBudget) -> Trial:
        began, worker = self.clock(), self._worker_for(asked)
        is_first = not worker.asked
        if is_first and budget.non_allocator_bytes is not None:  # a process keeps the budget of its first trial
            self._non_allocator_bytes_given[asked.size] = budget.non_allocator_bytes
        request = Request(
            trial=asked.size,
            steps=min_steps(self._hint, asked, self.request.source.spec.segments, self.request.memory),
            partial_batch=asked.fresh or not self._is_gpu,  # a GPU tunes for one more shape: only for the answer
            memory=budget,
        )
        trial = worker.run(request, deadline_seconds(self._trials, asked.size))
        if is_first:
            self._process_starts_seconds += start_seconds(self.clock() - began, trial)
        return self._beside_others(trial) if self._is_gpu or trial.verdict in self._ended_by_others else trial

    @property
    def _ended_by_others(self) -> frozenset[Verdict]:
        """Verdicts of which a program that takes memory may be the cause: of what it leaves, workers plan with less."""
        given = self.request.memory.is_given
        return frozenset({Verdict.HOST_OOM} if given else {Verdict.HOST_OOM, Verdict.DEVICE_OOM})

    def _beside_others(self, trial: Trial) -> Trial:
        """The trial, with what other processes hold now; on a CPU, with what they took before the memory ran out."""
        others_bytes, cause = self.request.others_bytes(), trial.cause
        if others_bytes and not self._is_gpu:
            cause += f"; another program took {format_size(others_bytes)} of the memory meanwhile"
        return trial.model_copy(update={"other_processes_bytes": others_bytes, "cause": cause})

    @property
    def _is_gpu(self) -> bool:
        return self.request.memory.device == "gpu"

    def _budget(self, asked: NextTrial, *, uses_hint: bool) -> MemoryBudget:
        """The memory budget of a process whose first trial this is; it has room for later exploratory trials."""
        smallest = 0 if asked.fresh else min(EXPLORATORY_IMAGES_BUFFERED, self.request.max_batch)
        return trial_budget(
            self.request.memory,
            self.request.source.spec.image_size,
            max(asked.size, smallest),
            self._non_allocator_bytes(uses_hint=uses_hint),
            self._spare_bytes if asked.fresh and asked.size > 1 else 0,
        )

    @property
    def _spare_bytes(self) -> int:
        return spare_bytes(self.request.source.spec.segments, self.request.memory, self._baseline_rss_bytes)

    def _non_allocator_bytes(self, *, uses_hint: bool) -> int:
        """The memory outside the allocator and the image buffers: as measured, else by the profile or the last rung."""
        measured = measured_non_allocator_bytes(self._trials, self.request.source.spec.image_size)
        if measured is not None:
            return measured
        hint = self._hint if uses_hint else None
        saved = saved_non_allocator_bytes(hint, self.request.memory.limit_bytes) if hint else 0
        return saved or self.request.start.non_allocator_bytes

    # The workers ----------------------------------------------------------------------------------------------------

    def _worker_for(self, asked: NextTrial) -> TrialWorker:
        """The worker for the next trial: the current one, else the one on standby, else a new one."""
        if self._measuring is not None and asked.fresh and self._measuring.asked:
            self._close_measuring()
        if self._measuring is None:
            self._measuring, self._standby = self._standby or self._start_worker(), None
        return self._measuring

    def _close_measuring(self) -> None:
        """Stop the worker that measures; the next size gets another one."""
        if self._measuring is not None:
            self._measuring.close()
            self._measuring = None

    def _start_worker(self) -> TrialWorker:
        self._workers_started += 1
        folder = self.request.folder / f"{self._workers_started:04d}"
        folder.mkdir(parents=True)
        lifetime = contextlib.ExitStack()
        worker = lifetime.enter_context(
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
        return TrialWorker(worker, worker.events(), lifetime.close)

    def _job(self) -> Job:
        request = self.request
        return Job(
            attempt=self._workers_started,
            source=request.source,
            memory=request.memory,
            import_paths=list(request.import_paths),
            isolated=self.launcher.isolated,
            deterministic=request.deterministic,
            work=TrialsJob(devices=request.devices),
        )

    # The report -----------------------------------------------------------------------------------------------------

    def _report(self, search: BatchSearch, wall_seconds: float) -> ProbeReport:
        hint = None if search.hint_failed else self._hint
        limit_bytes, headroom_bytes = self.request.memory.limit_bytes, search.headroom_bytes(search.answer)
        trials = [*(trials_within(hint, limit_bytes, search.answer) if hint else ()), *self._trials]
        verified = [t for t in self._trials if t.fresh and t.batch_size == search.answer]
        given = self._non_allocator_bytes_given.get(search.answer)
        return ProbeReport(
            workload=self.request.workload,
            hardware=self.request.machine.model_dump(mode="json", exclude={"other_gpu_processes"}),
            memory_limit_bytes=limit_bytes,
            allocator_limit_bytes=max((trial.allocator_bytes for trial in verified), default=0),
            limited_by=self.request.limited_by,
            other_gpu_processes=_other_gpu_processes(self.request.machine),
            max_batch=self.request.max_batch,
            largest_feasible_batch=search.answer,
            recommended_batch=recommended_batch(
                trials,
                search.answer,
                device=self.request.memory.device,
                keep_below_bytes=limit_bytes - headroom_bytes if self._is_gpu else math.inf,
            ),
            non_allocator_bytes=given or self._non_allocator_bytes(uses_hint=hint is not None),
            baseline_rss_bytes=self._baseline_rss_bytes,
            memory_model=_memory_model(search),
            headroom_bytes=headroom_bytes if search.answer and (search.model or self._is_gpu) else 0.0,
            trials=trials,
            source="profile" if hint else "measured",
            time_spent=time_spent(self._trials, self._process_starts_seconds, wall_seconds),
            wall_seconds=wall_seconds,
        )


def _memory_model(search: BatchSearch) -> MemoryModelRecord | None:
    model = search.model
    if model is None:
        return None
    return MemoryModelRecord(**dataclasses.asdict(model), fragmentation=search.fragmentation)


def _other_gpu_processes(machine: Hardware) -> list[str]:
    """The other processes that hold memory of the GPU, as `name (pid 7, 1.2 GB)`."""
    sizes = ((p, f", {format_size(p.bytes)}" if p.bytes else "") for p in machine.other_gpu_processes)
    return [f"{process.name} (pid {process.pid}{size})" for process, size in sizes]
