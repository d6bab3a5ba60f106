"""A worker process that runs trials: reads its events one at a time, and turns its exit into a trial or an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from autofit.doctor.start_crash import with_findings
from autofit.errors import AutofitError, InterruptedRunError, StorageError, TrainingFailedError, UserError
from autofit.probing.evidence import FAILURES
from autofit.process.monitor import MonitoredWorker, WorkerExit
from autofit.protocol.job import Event
from autofit.protocol.messages import BUILDING, Request, Trial, Verdict

T = TypeVar("T")


@dataclass(slots=True)
class TrialWorker:
    """A worker, its events, each returned once, and the number of sizes that it was asked for."""

    worker: MonitoredWorker
    events: Iterator[Event]
    close: Callable[[], None]
    asked: int = 0

    def run(self, request: Request, deadline_seconds: float) -> Trial:
        """Run the trial of a request. If the worker exits for lack of memory or time, that is the trial's verdict.

        Raises:
            AutofitError: the worker exited for another reason; see `error_of_exit`.
        """
        self.worker.trial_deadline_seconds = deadline_seconds
        self.worker.send(request)
        self.asked += 1
        reported, is_first = self._next(lambda event: event.trial), self.asked == 1
        return reported or trial_of_exit(request.trial or 1, self.worker.ended, is_first=is_first)

    def baseline_rss_bytes(self) -> int:
        """The resident size of the worker after it had imported TensorFlow; 0 if it exits without reporting one."""
        return self._next(lambda event: event.baseline_rss_bytes) or 0

    def _next(self, field: Callable[[Event], T | None]) -> T | None:
        """The next value of a field in the worker's events; None if it exits without reporting one.

        Raises:
            InterruptedRunError: Ctrl-C asked the worker to stop meanwhile.
        """
        found = next((value for event in self.events if (value := field(event))), None)
        if self.worker.is_stopping:
            raise InterruptedRunError("the probe was stopped")
        return found


def trial_of_exit(size: int, worker_exit: WorkerExit | None, *, is_first: bool = False) -> Trial:
    """The trial of a worker that exited without answering; the verdict on its exit is that of the trial.

    `is_first` says whether it was the worker's first.

    Raises:
        AutofitError: the exit says nothing about the size; see `error_of_exit`.
    """
    if worker_exit is not None and worker_exit.diagnosis.verdict in FAILURES:
        diagnosis, last = worker_exit.diagnosis, worker_exit.last
        return Trial(
            batch_size=size,
            verdict=diagnosis.verdict,
            fresh=is_first,
            was_building=last is not None and last.phase in BUILDING,
            is_limited=diagnosis.is_limited,
            cause=diagnosis.cause,
        )
    raise error_of_exit(worker_exit)


def error_of_exit(worker_exit: WorkerExit | None) -> AutofitError:
    """The error to raise for a worker that exited for a reason that is neither memory nor time."""
    verdict = worker_exit.diagnosis.verdict if worker_exit else Verdict.CRASHED
    cause = (worker_exit.diagnosis.cause if worker_exit else "") or "the worker ended without an answer"
    if verdict is Verdict.USER_ERROR:
        return UserError(with_findings(cause))
    if verdict is Verdict.STORAGE:
        return StorageError(cause)
    if verdict is Verdict.INTERRUPTED:
        return InterruptedRunError("the probe was stopped")
    return TrainingFailedError(with_findings(f"a trial ended for a reason that is not memory: {cause}"))
