"""A worker without TensorFlow that takes the host's memory; started by `leaking_parent.py`.

leaking_worker.py ENDS ATTEMPT_DIR

ENDS says what each attempt does, separated by commas, the last one again and again: `complete`; `burst@UPDATES`: take
all there is, at once, after so many updates; `drip`: take 30 MB more with every update; `short`: start on a machine
that has next to nothing left; `cache`: read a file over and over; `hold`: hold 100 MB for each image at once, and in
the first attempt wait for a neighbour that takes the rest. Its training is that of `stub_worker.py`, its guard, its
place in the kernel's order and all its files are the real ones.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from stub_worker import StubTraining  # type: ignore[import-not-found]  # lies beside this script

from autofit.machine.cgroups import memory_left_reader
from autofit.process.launch import CONTROL_FD
from autofit.protocol.job import Event, Job, Outcome, TrainJob
from autofit.protocol.messages import Phase, Verdict
from autofit.storage.run_directory import AttemptDirectory
from autofit.worker.__main__ import _prefer_for_oom_kill
from autofit.worker.runtime.control_pipe import Requests, read_requests
from autofit.worker.runtime.heartbeat import LINE_EVERY_SECONDS, Heartbeat
from autofit.worker.runtime.stop_conditions import StopConditions

MB = 10**6
DRIP_BYTES = 30 * MB
SHORT_OF_BYTES = 40 * MB
CACHED_BYTES = 300 * MB
IMAGE_BYTES, WAITS_AFTER, RARE_BYTES = 100 * MB, 4, 150 * MB
UPDATE_SECONDS = 1.2 * LINE_EVERY_SECONDS
"""Longer than the heartbeat waits between two looks: a step of a real training takes longer yet."""


class LeakingTraining(StubTraining):  # type: ignore[misc]
    """The stub's training, that holds on to memory and leaves when it should."""

    def train(self, requests: Requests) -> Outcome:
        """Train to the end, or until there is a reason to leave."""
        stop_conditions = StopConditions(requests, self.heartbeat, self.job.memory, "CPU:0", None)
        self.heartbeat.phase(Phase.TRAIN, micro_batch_size=self.work.micro_batch_size)
        self.held = [b"x" * max(0, memory_left_reader()().bytes - SHORT_OF_BYTES)] if self.way == "short" else []
        if self.way == "hold":
            self.held = [b"x" * IMAGE_BYTES for _ in range(self.work.micro_batch_size)]
        while self.state["epoch"] < self.work.plan.epochs:
            self.take_memory()
            self.update(self.work.plan.first_batch_size)
            if stop_conditions.is_met():
                stopped: Outcome = self.stop(stop_conditions)
                return stopped
        self.commit()
        return Outcome(verdict=Verdict.COMPLETED, weights_sha256=f"{self.weights:064x}")

    def take_memory(self) -> None:
        """Before an update: as the worker was told."""
        if self.way == "drip":
            self.held.append(b"x" * DRIP_BYTES)
        if self.way == "cache":
            self.read_again()
        if self.way == "hold" and self.job.attempt == 1 and self.updates == WAITS_AFTER:
            while memory_left_reader()().bytes > RARE_BYTES:
                time.sleep(0.1)
        while self.updates == self.end_at:
            self.held.append(b"x" * MB)
        if self.way in {"drip", "short", "cache", "hold"}:
            time.sleep(UPDATE_SECONDS)

    def read_again(self) -> None:
        """Twice at least, so that the kernel holds on to what was read."""
        file = self.attempt.path / "cached"
        if not file.exists():
            with file.open("wb") as stream:
                for _ in range(CACHED_BYTES // MB):
                    stream.write(os.urandom(MB))
                os.fsync(stream.fileno())
        with file.open("rb", buffering=0) as stream:
            while stream.read(MB):
                pass


def main() -> int:
    """Train as the attempt's job says, and take memory as the arguments say."""
    _prefer_for_oom_kill()
    ends, attempt = sys.argv[1].split(","), AttemptDirectory(Path(sys.argv[2]))
    requests = read_requests(int(os.environ[CONTROL_FD]))
    job = Job.load(attempt.job)
    assert isinstance(job.work, TrainJob)
    with Heartbeat(attempt) as heartbeat:
        heartbeat.event(Event(allocator_bytes=10**9))
        training = LeakingTraining(job, job.work, attempt, heartbeat, ends[min(job.attempt, len(ends)) - 1])
        training.train(requests).save(attempt.outcome)
    return 0


if __name__ == "__main__":
    os._exit(main())
