"""A launcher whose worker predicts what a test says, without TensorFlow."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from autofit.process.launch import Exit, Worker
from autofit.protocol.job import Event, Job
from autofit.protocol.messages import MemoryBudget, PredictRequest, Progress, Request
from autofit.protocol.model_jobs import PredictJob
from autofit.protocol.payload import Payload
from autofit.report.views import ProgressView
from autofit.storage.run_directory import AttemptDirectory

ROWS = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], np.float32)

Answer = Callable[[PredictRequest], str | list[Event]]
"""What a worker does with a request: it reports these events, or ends with a verdict; `gone`: before it reads it."""


class Answering:
    """A launcher whose worker answers each request as it is sent, in the way given."""

    isolated = True

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[PredictRequest] = []
        self.paths: list[list[str]] = []
        self.works: list[PredictJob] = []
        self.memory: MemoryBudget | None = None
        self.attempt = AttemptDirectory(Path())
        self.is_closed = False

    def launch(self, attempt: AttemptDirectory, payload: Payload | None, lock_fd: int | None) -> Worker:
        """Read the job."""
        assert (payload, lock_fd) == (None, None)
        job = Job.load(attempt.job)
        assert isinstance(job.work, PredictJob)
        self.works.append(job.work)
        self.memory, self.attempt = job.memory, attempt
        return _Worker(self)


class _Worker:
    def __init__(self, launcher: Answering) -> None:
        self._launcher = launcher
        self._exit: Exit | None = None
        self._answered = 0

    def poll(self) -> Exit | None:
        return self._exit

    def send(self, request: Request) -> None:
        launcher = self._launcher
        assert request.predict
        launcher.requests.append(request.predict)
        launcher.paths.append(Path(request.predict.paths_file).read_bytes().decode().split("\0"))
        answer = launcher.answer(request.predict)
        if answer != "gone":
            Path(request.predict.paths_file).unlink()
        if isinstance(answer, str):
            verdict = "crashed" if answer == "gone" else answer
            outcome = {"schema": "autofit/outcome/1", "verdict": verdict, "cause": "because"}
            launcher.attempt.outcome.write_text(json.dumps(outcome), encoding="ascii")
            self._exit = Exit(1)
            return
        self._answered += 1
        with launcher.attempt.events.open("ab") as file:
            for event in [*answer, Event(answered=self._answered)]:
                file.write(event.model_dump_json(exclude_defaults=True).encode() + b"\n")

    def kill(self) -> None: ...

    def close(self) -> None:
        self._launcher.is_closed = True


class Silence(ProgressView):
    """A view that shows nothing."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def update(self, progress: Progress, *, epochs: int) -> None:
        """Nothing is shown."""


def rows(request: PredictRequest) -> list[Event]:
    """Answer with rows."""
    np.save(request.rows_file, ROWS)
    return []
