"""An extraction whose worker is asked for one shard after another.

The supervisor runs on a thread of its own. If a worker ends before it has answered, the next worker is asked for the
same shard.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from autofit.errors import AutofitError, InterruptedRunError, TrainingFailedError
from autofit.process.launch import Launcher, Worker
from autofit.process.monitor import POLL_SECONDS
from autofit.process.tail import Tail
from autofit.protocol.cache_job import ShardAnswer
from autofit.protocol.job import Event
from autofit.protocol.messages import Request
from autofit.protocol.payload import Payload
from autofit.storage.run_directory import AttemptDirectory, RunDirectory

Supervise = Callable[[Launcher, Callable[[float], None]], AutofitError | None]
"""Makes attempts with the given launcher until one completes, and returns None, or the error why none does. Between two
polls of a worker it calls the given function in place of `time.sleep`."""


@dataclass(slots=True)
class _AskingLauncher:
    """Starts workers by another launcher, and asks each for the shard that is wanted when it starts."""

    inner: Launcher
    isolated: bool = True
    _wanted: int | None = None
    _worker: Worker | None = None
    _is_over: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def launch(self, attempt: AttemptDirectory, payload: Payload | None, lock_fd: int | None) -> Worker:
        """Start a worker; see `Launcher`.

        Raises:
            InterruptedRunError: the extraction was closed.
        """
        with self._lock:
            if self._is_over:
                raise InterruptedRunError("the extraction was stopped")
            worker = self._worker = self.inner.launch(attempt, payload, lock_fd)
            if self._wanted is not None:
                worker.send(Request(shard=self._wanted))
            return worker

    def ask(self, number: int | None) -> None:
        """Ask the current worker, and those that may follow it, for a shard; None if no shard is wanted now."""
        with self._lock:
            self._wanted = number
            if self._worker is not None and number is not None:
                self._worker.send(Request(shard=number))

    def end(self) -> None:
        """Make the supervising thread end the current worker and start no other."""
        self._is_over = True

    def sleep(self, seconds: float) -> None:
        """Wait between two polls of a worker. The error ends the worker in the thread that started it.

        Raises:
            InterruptedRunError: the extraction was closed.
        """
        if self._is_over:
            raise InterruptedRunError("the extraction was stopped")
        time.sleep(seconds)


class AskedExtraction:
    """A worker that extracts shards on request.

    Args:
        files: the files of its run.
        launcher: starts its workers.
        supervise: makes the attempts; it is called on a thread of its own.
        on_event: called with each event of the workers, in the thread that calls `extract`.
    """

    def __init__(
        self, files: RunDirectory, launcher: Launcher, supervise: Supervise, on_event: Callable[[Event], None]
    ) -> None:
        self._files, self._on_event = files, on_event
        self._launcher = _AskingLauncher(launcher, launcher.isolated)
        self._tails: dict[str, Tail] = {}
        self._error: AutofitError | None = None
        self._supervise = supervise
        self._thread = threading.Thread(target=self._run, name="autofit-extraction", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._error = self._supervise(self._launcher, self._launcher.sleep)
        except AutofitError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - the thread that waits raises it
            self._error = TrainingFailedError(f"{type(error).__name__}: {error}")

    def extract(self, number: int) -> ShardAnswer:
        """Have a shard extracted, and wait for it.

        Raises:
            AutofitError: no worker could extract it, and no further one is started.
        """
        self._launcher.ask(number)
        while True:
            is_alive = self._thread.is_alive()  # asked before the events are read, so that the last ones are not missed
            answers = [event.shard for event in self._news() if event.shard and event.shard.number == number]
            if answers:
                self._launcher.ask(None)
                return answers[-1]
            if not is_alive:
                raise self._error or TrainingFailedError("the worker has ended without an answer")
            time.sleep(POLL_SECONDS)

    def _news(self) -> list[Event]:
        events = []
        for attempt in self._files.attempts():
            tail = self._tails.setdefault(str(attempt.path), Tail(attempt.events))
            events += tail.records(Event)
        for event in events:
            self._on_event(event)
        return events

    def close(self) -> None:
        """End the worker at once; an unfinished shard is lost."""
        self._launcher.end()
        self._thread.join()
