"""Every file of an attempt, named once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AttemptDirectory:
    """The files of one attempt: `job.json` is the input of the worker, the others record what it did."""

    path: Path

    @property
    def job(self) -> Path:
        """The job of the worker."""
        return self.path / "job.json"

    @property
    def outcome(self) -> Path:
        """The outcome that the worker reported."""
        return self.path / "outcome.json"

    @property
    def record(self) -> Path:
        """The supervisor's record of the attempt; missing if the supervisor was killed as well."""
        return self.path / "attempt.json"

    @property
    def progress(self) -> Path:
        """The heartbeat."""
        return self.path / "progress.jsonl"

    @property
    def memory(self) -> Path:
        """The last sample of memory in use, from which the exit of a killed worker is classified."""
        return self.path / "memory"

    @property
    def events(self) -> Path:
        """The events that must not be lost with a killed worker: out-of-memories, unreadable images, trials."""
        return self.path / "events.jsonl"

    @property
    def stdout(self) -> Path:
        """What Python code printed in the worker."""
        return self.path / "stdout.log"

    @property
    def stderr(self) -> Path:
        """What native libraries printed in the worker."""
        return self.path / "stderr.log"
