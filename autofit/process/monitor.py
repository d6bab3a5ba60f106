"""Monitoring one worker from its launch to its end: its heartbeat, its events, what it prints, and its deadlines."""

from __future__ import annotations

import codecs
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from autofit.machine import cgroups
from autofit.machine.process_limits import process_limits
from autofit.process.exit_classifier import Evidence, ExitDiagnosis, classify
from autofit.process.launch import Exit, Launcher, Worker
from autofit.process.signals import PausableWorker, worker_signals
from autofit.process.tail import Tail
from autofit.protocol.job import Event, Job, Outcome, TrainJob
from autofit.protocol.messages import EpochEnd, MemorySample, Phase, Progress, Request, Verdict, describe_oom
from autofit.protocol.payload import Payload
from autofit.storage.run_directory import AttemptDirectory, writing_in

POLL_SECONDS = 0.05
PAUSE_SECONDS = 30.0
"""The worker is polled every `POLL_SECONDS`: if more than this lies between two polls, this process itself was stopped.
A shorter pause does no harm, since it is far below the deadlines."""

STDERR_TAIL_BYTES = 2**16

DEADLINE_SECONDS = {
    Phase.START: 300.0,  # the import of TensorFlow from a cold disk
    Phase.WEIGHTS: 3600.0,  # a download
    Phase.BUILD: 1800.0,  # the first operation on a GPU, which may compile kernels for it
    Phase.TRACE: 1800.0,  # also an XLA compilation
    Phase.PROBE: 900.0,
    Phase.EXTRACT: 900.0,  # one batch; after an out-of-memory TensorFlow's allocator waits 10 s more
    Phase.SOLVE: 1800.0,  # one pass over the features
    Phase.TRAIN: 1800.0,  # one step; the first one is also traced
    Phase.VALIDATE: 1800.0,
    Phase.SAVE: 900.0,  # a slow mounted drive
    Phase.PREDICT: 900.0,
}
"""Seconds without news in each phase after which a worker counts as hung."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds without news after which a worker counts as hung in each phase, and seconds in which it must stop.

    After Ctrl-C everything ends within 30 s: what `stop_seconds` leaves of them is for the last copy to a mirror
    (`MirrorPatience.leave`).
    """

    silence_seconds: Mapping[Phase, float] = field(default_factory=lambda: DEADLINE_SECONDS)
    stop_seconds: float = 20.0


PATIENCE = Patience()


class View(Protocol):
    """Shows a person what a worker does."""

    def update(self, progress: Progress, *, epochs: int) -> None:
        """Show the progress of the worker."""

    def epoch_done(self, end: EpochEnd, *, epochs: int) -> None:
        """Show the figures of a finished epoch."""

    def message(self, text: str) -> None:
        """Show a line above the bars."""

    def passthrough(self, text: str) -> None:
        """Show what the worker's Python code printed."""


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """How a worker ended: the diagnosis, its outcome and last heartbeat, and how long it lived, in seconds."""

    diagnosis: ExitDiagnosis
    outcome: Outcome | None
    last: Progress | None
    events: tuple[Event, ...]
    wall_seconds: float


@dataclass
class MonitoredWorker:
    """A running worker, with everything that is known about it."""

    attempt: AttemptDirectory
    worker: Worker
    view: View
    epochs: int
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    host_limit_bytes: int
    limit_is_given: bool = False
    patience: Patience = PATIENCE
    trains: bool = False
    started: float = field(init=False)
    last: Progress | None = None
    seen: list[Event] = field(default_factory=list)
    ended: WorkerExit | None = None

    def __post_init__(self) -> None:
        self.started = self._last_news = self.clock()
        self._progress, self._events, self._stdout = (
            Tail(self.attempt.progress),
            Tail(self.attempt.events),
            Tail(self.attempt.stdout),
        )
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a read may end within a character
        self._oom_kills = cgroups.oom_kill_counter(self._pid)
        self._kills_before = self._oom_kills()
        self._limits = process_limits()
        self._stopped_by_us: Verdict | None = None
        self._stop_by: float | None = None
        self._looked_at = self.started
        self._commit_is_asked = False
        self.trial_deadline_seconds: float | None = None

    @property
    def _pid(self) -> int | None:
        return self.worker.pid if isinstance(self.worker, PausableWorker) else None

    @property
    def is_stopping(self) -> bool:
        """Whether the worker was asked to stop."""
        return self._stop_by is not None

    def send(self, request: Request) -> None:
        """Send the worker a request; its silence is counted from here on."""
        self._last_news = self.clock()
        self.worker.send(request)

    def request_stop(self) -> None:
        """Ask the worker to commit and stop; it is killed if it has not stopped within `stop_seconds`."""
        self._stop_by = self.clock() + self.patience.stop_seconds
        self._stopped_by_us = Verdict.INTERRUPTED
        self.worker.send(Request(leave="interrupted"))

    def request_commit(self) -> None:
        """Ask the worker for a checkpoint at the next poll; it then goes on. May be called in a signal handler."""
        self._commit_is_asked = True

    def events(self) -> Iterator[Event]:
        """The worker's events as they come, until it has ended; then `ended` is set.

        The first Ctrl-C asks the worker to stop; the second ends it at once and is raised.
        """
        while self.ended is None:
            try:
                self._leave_out_pause()
                self._pass_on_commit()
                finished = self.worker.poll()
                yield from self._news()
                if finished is not None:
                    while self._events.has_more or self._progress.has_more:
                        yield from self._news()
                    self._end(finished)
                elif self._is_overdue():
                    self.worker.kill()
                else:
                    self.sleep(POLL_SECONDS)
            except KeyboardInterrupt:
                if self._stop_by is not None:
                    raise
                predicts = self.last is not None and self.last.phase is Phase.PREDICT
                saving = ": saving what was trained" if self.trains and not predicts else ""
                self.view.message(f"stopping{saving} (press Ctrl-C again to stop at once)")
                self.request_stop()

    def run(self) -> WorkerExit:
        """Watch to the end."""
        for _ in self.events():
            pass
        assert self.ended is not None  # noqa: S101 - events() ends only then
        return self.ended

    def _news(self) -> Iterator[Event]:
        if text := self._decoder.decode(self._stdout.read()):
            self.view.passthrough(text)
        lines = self._progress.records(Progress)  # before the events, so that those which led to a line are read too
        events = self._events.records(Event)
        self.seen += events
        if lines:
            self._last_news, self.last = self.clock(), lines[-1]
        for event in events:
            self._show(event)
        for line in lines:
            self.view.update(line, epochs=self.epochs)
        yield from events

    def _show(self, event: Event) -> None:
        if event.message:
            self.view.message(event.message)
        if event.oom:  # the worker went on; an out-of-memory that ends an attempt is shown by the supervisor
            self.view.message(describe_oom(event.oom))
        if event.epoch_end:
            self.view.epoch_done(event.epoch_end, epochs=self.epochs)

    def _leave_out_pause(self) -> None:
        """Leave out time in which this process itself was stopped (Ctrl-Z, a batch system) of the worker's silence."""
        now = self.clock()
        paused_seconds = now - self._looked_at
        self._looked_at = now
        if paused_seconds > PAUSE_SECONDS:
            self._last_news += paused_seconds
            self._stop_by = self._stop_by and self._stop_by + paused_seconds

    def _pass_on_commit(self) -> None:
        if self._commit_is_asked:
            self._commit_is_asked = False
            if self.trains:
                self.view.message("saving a checkpoint, as asked (SIGUSR1)")
                self.worker.send(Request(commit=True))

    def _is_overdue(self) -> bool:
        now = self.clock()
        if self._stop_by is not None:
            return now > self._stop_by
        phase = self.last.phase if self.last else Phase.START
        if phase is Phase.PROBE and self.trial_deadline_seconds is not None:
            if now - self._last_news > self.trial_deadline_seconds:
                self._stopped_by_us = Verdict.TIMEOUT
        elif now - self._last_news > self.patience.silence_seconds[phase]:
            self._stopped_by_us = Verdict.HUNG
        return self._stopped_by_us is not None

    def _end(self, finished: Exit) -> None:
        outcome = Outcome.load_or_none(self.attempt.outcome)  # without one the exit is classified by itself
        memory = MemorySample.load_or_none(self.attempt.memory) or MemorySample()
        kills, before = self._oom_kills(), self._kills_before
        evidence = Evidence(
            exit=finished,
            memory=memory,
            stopped_by_us=self._stopped_by_us,
            kernel_oom_kills=_more(before if memory.oom_kills is None else memory.oom_kills, kills),
            earlier_oom_kills=_more(before, memory.oom_kills) or 0,
            allocator_bytes=max((event.allocator_bytes or 0 for event in self.seen), default=0),
            host_limit_bytes=self.host_limit_bytes,
            limit_is_given=self.limit_is_given,
            stderr_tail=_tail_of(self.attempt.stderr),
            limits=self._limits,
            phase=self.last.phase if self.last else Phase.START,
            has_events=bool(self.seen),
        )
        self.ended = WorkerExit(
            diagnosis=classify(outcome, evidence),
            outcome=outcome,
            last=self.last,
            events=tuple(self.seen),
            wall_seconds=self.clock() - self.started,
        )


@contextlib.contextmanager
def monitored(  # noqa: PLR0913 - what it takes to start a worker, and the seams that tests replace
    job: Job,
    attempt: AttemptDirectory,
    launcher: Launcher,
    *,
    view: View,
    payload: Payload | None = None,
    lock_fd: int | None = None,
    epochs: int = 1,
    patience: Patience = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[MonitoredWorker]:
    """Start a worker on a job and monitor it; whatever happens, it has ended afterwards.

    Raises:
        StorageError: the attempt's folder cannot be written.
        UserError, TrainingFailedError: the launcher cannot start it.
    """
    with writing_in(attempt.path):
        job.save(attempt.job)
    host_limit_bytes = job.memory.limit_bytes if job.memory.device == "cpu" else 0
    worker = launcher.launch(attempt, payload, lock_fd)
    try:
        trains = isinstance(job.work, TrainJob)
        limits = host_limit_bytes, job.memory.is_given
        monitoring = MonitoredWorker(attempt, worker, view, epochs, clock, sleep, *limits, patience, trains)
        with worker_signals(worker, monitoring.request_commit):
            yield monitoring
    finally:
        worker.close()


def _more(before: int | None, now: int | None) -> int | None:
    """By how much a count has grown; None if there is no count now."""
    return None if now is None else now - (before or 0)


def _tail_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - STDERR_TAIL_BYTES))
            return file.read(STDERR_TAIL_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
