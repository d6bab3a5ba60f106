"""A run whose worker is `stub_worker.py`: built here for tests, and supervised here in a process that may be killed.

stub_parent.py RUN_DIR ENDS [DATA_ROOT PLAN]

DATA_ROOT may hold the images that the worker loads, and PLAN says in JSON what differs from `run_record`'s plan.

Prints a line for each thing that a person would be shown, and last, as JSON, what the supervisor returned.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from autofit.config.options import make_options
from autofit.process.launch import Launcher, ProcessLauncher
from autofit.process.signals import stop_signals
from autofit.protocol.job import TrainingPlan
from autofit.protocol.messages import EpochEnd, MemoryBudget, Progress
from autofit.runs.run_record import DataRecord, RunRecord
from autofit.runs.supervisor import Supervisor
from autofit.storage.run_directory import RunDirectory
from autofit.storage.run_lock import RunLock

STUB_WORKER = Path(__file__).with_name("stub_worker.py")
IMAGES, BATCH_SIZE, EPOCHS = 24, 4, 2


class PrintedView:
    """Prints what a person would be shown."""

    def update(self, progress: Progress, *, epochs: int) -> None:
        """A heartbeat."""
        print(progress.phase, progress.epoch, progress.step, "of", epochs, flush=True)

    def epoch_done(self, end: EpochEnd, *, epochs: int) -> None:
        """The end of an epoch."""
        print("epoch", end.epoch, "of", epochs, flush=True)

    def message(self, text: str) -> None:
        """A message."""
        print(text, flush=True)

    def passthrough(self, text: str) -> None:
        """What the worker printed."""
        print(text, end="", flush=True)


def run_record(data_root: str = "/", **changes: Any) -> RunRecord:
    """A request of 24 images in two epochs of six updates, or a plan that differs from that."""
    usual = TrainingPlan(
        epochs=EPOCHS,
        first_batch_size=BATCH_SIZE,
        last_batch_size=BATCH_SIZE,
        micro_batch_size=BATCH_SIZE,
        seed=0,
        class_weight="none",
        early_stopping=None,
        checkpoint_seconds=None,
        checkpoint_steps=2,
        audit=True,
        replay=None,
        threads=2,
    )
    plan = TrainingPlan.model_validate(usual.model_dump() | changes)
    data = DataRecord(
        root=data_root, class_names=["a", "b"], train_count=IMAGES, validation_count=0, skipped_files=0, fingerprint=""
    )
    options = make_options(weights="none")
    return RunRecord(options=options, has_callbacks=False, data=data, plan=plan, started=time.time())


def worker_command(ends: str) -> list[str]:
    """What starts a worker whose attempts end as chosen (see `stub_worker.py`)."""
    return [sys.executable, "-P", str(STUB_WORKER), ends]


def supervisor(
    files: RunDirectory, ends: str, *, record: RunRecord | None = None, launcher: Launcher | None = None, **given: Any
) -> Supervisor:
    """A supervisor of that run, or of another."""
    memory = MemoryBudget(device="cpu", limit_bytes=10**12, is_given=True, buffer_bytes=2**20, threads_bytes=2**16)
    return Supervisor(files, record or run_record(), memory, launcher or ProcessLauncher(worker_command(ends)), **given)


def main(run_dir: str, ends: str, data_root: str = "/", plan: str = "{}") -> None:
    """Supervise under the lock; Ctrl-C is the supervisor's."""
    files, record = RunDirectory(Path(run_dir)), run_record(data_root, **json.loads(plan))
    error: BaseException | None = None
    with stop_signals(), RunLock(files).acquire(5) as lock:
        try:
            error = supervisor(files, ends, record=record, view=PrintedView(), lock_fd=lock.fileno()).run()
        except KeyboardInterrupt as stopped:
            error = stopped
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps([type(error).__name__, str(error)]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
