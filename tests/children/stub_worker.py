"""A worker without TensorFlow, whose ends can be chosen; started by `stub_parent.py` through the process launcher.

stub_worker.py ENDS ATTEMPT_DIR

ENDS says how each attempt ends, separated by commas, the last one again and again: `complete`, or `WAY@UPDATES`: in
that way, after so many updates of the attempt; `late`, by SIGKILL after its last commit; or `early-SIGNAL`, before all
else. `roomy` and `crowded` have the real guard, on a machine with half and with a twentieth of its memory left; so has
`evicted@UPDATES`, which ends by SIGTERM there. Its checkpoints, heartbeat,
log and control pipe are the real ones, and so are its order, its batches and, where there are images `0.png` to
`23.png`, its loader. A plan with stages is trained in stages, one after another from the same checkpoints. A full disk
ends it as it ends a training.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from autofit.config.batch_schedule import batch_bounds
from autofit.errors import StorageError
from autofit.input.batch_loader import BatchLoader, LoadedBatch
from autofit.input.epoch_order import epoch_order
from autofit.machine.cgroups import MemoryLeft
from autofit.machine.process_limits import end_by_a_signal_that_tells
from autofit.process.launch import CONTROL_FD
from autofit.protocol.job import Event, Job, Outcome, TrainJob
from autofit.protocol.messages import Phase, Request, StageRecord, Verdict
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import AttemptDirectory, RunDirectory
from autofit.worker.runtime.control_pipe import Requests, read_requests
from autofit.worker.runtime.exceptions import StopRequested
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.signals import heed_signals
from autofit.worker.runtime.stop_conditions import StopConditions
from autofit.worker.training.audit_log import AuditLog

IMAGES = 24
SECONDS_AN_UPDATE = float(os.environ.get("STUB_SECONDS_AN_UPDATE", "0"))
LEFT_SHARES = {"roomy": 0.5, "crowded": 0.05, "evicted": 0.05}
ALLOCATOR_BYTES, NEARLY_FULL_BYTES = 10**9, 900_000_001


class StubTraining:
    """Makes a number of all the images so far, in an order that belongs to the epoch, and commits as the plan says."""

    def __init__(self, job: Job, work: TrainJob, attempt: AttemptDirectory, heartbeat: Heartbeat, end: str) -> None:
        self.job, self.work, self.attempt, self.heartbeat = job, work, attempt, heartbeat
        self.way, _, at = end.partition("@")
        self.end_at = int(at or -1)
        files = RunDirectory(Path(work.run_dir))
        self.store = CheckpointStore(files.checkpoints)
        found = self.store.latest()
        self.state: dict[str, Any] = found.state if found else {"epoch": 0, "position": 0, "ledger_bytes": 0}
        if self.state["epoch"] < work.plan.epochs:  # a finished training that has more epochs now
            self.state["stages"] = [stage for stage in self.state.get("stages", []) if stage["name"] != work.stage]
        if self.state.get("stages") and self.state["stage"] != work.stage:
            self.state |= {"stage": work.stage, "position": 0}
        self.weights = int(found.groups["model"]["w"]) if found else 0
        self.audit_log = AuditLog(files.audit, self.state["ledger_bytes"])
        self.updates = 0
        self.ahead: Iterator[LoadedBatch] | None = None

    def run(self, requests: Requests) -> Outcome | None:
        """Train to the end, or to what was chosen; None where nothing is to be said about it."""
        heartbeat, plan = self.heartbeat, self.work.plan
        heartbeat.phase(Phase.TRAIN, micro_batch_size=self.work.micro_batch_size)
        heartbeat.event(Event(allocator_bytes=ALLOCATOR_BYTES))
        guard = StopConditions(requests, heartbeat, self.job.memory, "CPU:0", None) if self.is_guarded else None
        while self.state["epoch"] < plan.epochs:
            if self.updates == self.end_at:
                return self.end(requests)
            if guard is not None:
                time.sleep(0.1)
                if guard.is_met():
                    return self.stop(guard)
            elif self.is_asked(requests):
                self.commit()
                return Outcome(verdict=Verdict.INTERRUPTED, cause="asked to stop")
            self.update(plan.schedule.batch_size(self.state["epoch"]))
        self.finish_stage()
        self.commit()
        if self.way == "late":
            os.kill(os.getpid(), signal.SIGKILL)
        RunDirectory(Path(self.work.run_dir)).model.write_text(self.work.stage)
        return Outcome(verdict=Verdict.COMPLETED, weights_sha256=f"{self.weights:064x}")

    @property
    def is_guarded(self) -> bool:
        """Whether it looks for reasons to stop as a real training does."""
        return self.way in {"roomy", "crowded"}

    def stop(self, stop_conditions: StopConditions) -> Outcome:
        """Commit and say why."""
        self.commit()
        try:
            stop_conditions.stop()
        except StopRequested as left:
            reason, cause = left.reason, str(left)
        return Outcome(verdict=Verdict(reason), cause=cause)

    def finish_stage(self) -> None:
        """Record that the stage is finished, if an earlier attempt has not."""
        stage, stages = self.work.stage, self.state.get("stages", [])
        if any(record["name"] == stage for record in stages):
            return
        epochs = self.work.plan.epochs - sum(record["epochs"] for record in stages)
        record = StageRecord(name=stage, method="epochs", epochs=epochs)
        self.state |= {"stage": stage, "stages": [*stages, record.model_dump(mode="json")]}
        if stage != "refit":  # each stage is better than the one before
            self.state["best_epoch"] = self.work.plan.epochs - 1

    def batches(self, size: int) -> Iterator[LoadedBatch]:
        """The batches that the epoch still has."""
        order = epoch_order(IMAGES, self.work.plan.seed, self.state["epoch"])
        groups = [order[start:stop] for start, stop in batch_bounds(IMAGES, size, self.state["position"])]
        root = Path(self.work.data_root)
        if not (root / "0.png").exists():
            return (LoadedBatch(group.astype(np.uint8), group, ()) for group in groups)
        paths = [str(root / f"{number}.png") for number in range(IMAGES)]
        buffer_bytes = self.job.memory.buffer_bytes
        return BatchLoader(paths, (8, 8), threads=self.work.plan.threads, buffer_bytes=buffer_bytes).batches(groups)

    def update(self, size: int) -> None:
        """Take the next batch of the epoch."""
        time.sleep(SECONDS_AN_UPDATE)
        epoch, position = self.state["epoch"], self.state["position"]
        self.ahead = self.ahead or self.batches(size)
        batch = next(self.ahead)
        seen = batch.images.sum(axis=tuple(range(1, batch.images.ndim)), dtype=np.int64)  # a number an image
        self.weights = (self.weights * 31 + int(seen @ np.arange(1, len(seen) + 1)) * (position + 1)) % 2**31
        self.updates += 1
        self.audit_log.write(
            attempt=self.job.attempt,
            epoch=epoch,
            step=position // size,
            micro_batch_size=self.work.micro_batch_size,
            samples=batch.samples.tolist(),
            skipped=[sample for sample, _ in batch.skipped],
        )
        ended = position + size >= IMAGES
        self.ahead = None if ended else self.ahead
        self.state |= {"epoch": epoch + 1, "position": 0} if ended else {"position": position + size}
        self.heartbeat.beat(epoch=epoch, step=position // size + 1, steps=IMAGES // size)
        if self.updates % (self.work.plan.checkpoint_steps or 2) == 0:
            self.commit()

    def commit(self) -> None:
        """Write the next checkpoint."""
        self.state |= {"ledger_bytes": self.audit_log.commit(), "micro_batch_size": self.work.micro_batch_size}
        self.store.save({"model": {"w": np.array(self.weights)}}, self.state)

    def is_asked(self, requests: Requests) -> bool:
        """Whether the parent wants something, which is to leave; `slow` takes its time to look."""
        if requests.stop_signal:
            return True
        try:
            request = requests.get(timeout=0.1 if self.way == "slow" else 0)
        except queue.Empty:
            request = Request(commit=requests.commit_is_asked)
            requests.commit_is_asked = False
            if not request.commit:
                return False
        if request is None or not request.commit:
            return True
        self.commit()
        return False

    def end(self, requests: Requests) -> Outcome | None:
        """End in the way that was chosen: by a signal, with a verdict, or in one of those below."""
        if self.way in signal.Signals.__members__:
            os.kill(os.getpid(), signal.Signals[self.way])
        if self.way == "yielded":
            self.heartbeat.event(Event(non_allocator_bytes=123_456_789))
        if self.way == "device_oom":  # a line that a kill has cut off
            with self.attempt.events.open("a") as events:
                events.write('{"message": "cut o')
        if self.way in set(Verdict):
            return Outcome(verdict=Verdict(self.way), cause=f"chosen to be {self.way}")
        if self.way == "uncut":  # out of memory, with a network that cannot be cut into segments
            self.heartbeat.event(Event(most_segments=1))
            return Outcome(verdict=Verdict.DEVICE_OOM, cause="chosen to be uncut")
        if self.way in {"stubborn", "asked", "waits"}:
            requests.get()
        if self.way == "waits":
            self.commit()
            return Outcome(verdict=Verdict.INTERRUPTED, cause="asked to stop")
        if self.way == "asked":  # and runs out of memory on its way out
            return Outcome(verdict=Verdict.DEVICE_OOM, cause="no room to save")
        self.end_without_a_word()
        return None

    def end_without_a_word(self) -> None:
        """The ways that leave no outcome to believe; `silent` does nothing at all."""
        if self.way == "flood":
            os.write(2, b"std::bad_alloc\n")
            for _ in range(50):
                os.write(2, b"E" * 2**20)
            os.abort()
        self.meet_a_limit()
        self.meet_a_daemon()
        if self.way == "orphan":
            sleeper = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
            (self.attempt.path / "orphan").write_text(str(sleeper.pid))
            os.kill(os.getpid(), signal.SIGKILL)
        if self.way in {"hang", "stubborn"}:
            time.sleep(60)
        if self.way == "bad_alloc":
            os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n")
            os.abort()
        if self.way == "full":  # past its limit, TensorFlow's allocator may end in a segmentation fault
            self.heartbeat.device_bytes = lambda: NEARLY_FULL_BYTES
            while str(NEARLY_FULL_BYTES) not in self.attempt.memory.read_text():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.way == "cut_off":
            self.attempt.outcome.with_name(".outcome.json.abc_de12").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.way == "damaged":
            self.attempt.outcome.write_text('{"schema": "autofit/outcome/1", "verdict": "compl')

    def meet_a_daemon(self) -> None:
        """The way that a daemon against out-of-memory ends, as soon as the sample of the memory says so."""
        if self.way == "evicted":
            while '"left_share":0.05' not in self.attempt.memory.read_text():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

    def meet_a_limit(self) -> None:
        """The ways that run into a limit of the process, if one is set."""
        if self.way == "spin":
            while True:
                self.updates += 1
        if self.way == "threads":
            while True:
                threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        if self.way == "hog":
            np.ones(2**32, np.uint8)
        if self.way == "large":
            (self.attempt.path / "large").write_bytes(bytes(2**20))


def main() -> int:
    """Train as the attempt's job says, and end as the arguments say."""
    ends, attempt = sys.argv[1].split(","), AttemptDirectory(Path(sys.argv[2]))
    requests = read_requests(int(os.environ[CONTROL_FD]))
    heed_signals(requests)
    end_by_a_signal_that_tells()
    job = Job.load(attempt.job)
    assert isinstance(job.work, TrainJob)
    if ends[0].startswith("early-"):
        os.kill(os.getpid(), signal.Signals[ends[0].removeprefix("early-")])
    way = ends[min(job.attempt, len(ends)) - 1]
    share = LEFT_SHARES.get(way.partition("@")[0])
    left = None if share is None else lambda: MemoryLeft(10**9, "host memory", share)
    with Heartbeat(attempt, left) as heartbeat:
        requests.grace_seconds = 20.0 if way == "slow" else 0.0
        training = StubTraining(job, job.work, attempt, heartbeat, way)
        try:
            outcome = training.run(requests)
        except MemoryError as error:
            outcome = Outcome(verdict=Verdict.HOST_OOM, cause=f"MemoryError: {error}")
        except (OSError, StorageError) as error:
            outcome = Outcome(verdict=Verdict.STORAGE, cause=str(error))
        if outcome is not None:
            outcome.save(attempt.outcome)
    return 0


if __name__ == "__main__":
    os._exit(main())
