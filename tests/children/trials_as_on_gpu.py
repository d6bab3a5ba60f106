"""Run trials as on a GPU, on the CPU's BFC allocator, which keeps the same statistics; print them, a line of JSON each.

The third size does not fit. The last two are of sessions that fail: one keeps a tensor, one may be broken for good.
"""

import dataclasses
import os
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ.update(
    TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0", KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="-1"
)

import tensorflow as tf

from autofit.config.options import make_options
from autofit.protocol.job import Job, TrialsJob
from autofit.protocol.messages import MemoryBudget
from autofit.runs.model_source import model_source
from autofit.storage.run_directory import AttemptDirectory
from autofit.worker.execution.session import Session
from autofit.worker.jobs.startup import limit_allocator, open_network
from autofit.worker.jobs.trial import Trials
from autofit.worker.runtime.exceptions import OutOfDeviceMemoryError
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.memory import CPU

FITS, FITS_TOO, TOO_MANY = 8, 64, 20_000
LEAKED: list[Any] = []


class LeakingSession(Session):
    """A session whose step runs out of memory and keeps 64 MiB."""

    def train_batch(self, *_: Any) -> Any:
        """Fail."""
        LEAKED.append(tf.zeros([64 * 2**20], tf.uint8))
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


class BrokenSession(Session):
    """A session whose step fails for what may be memory, and leaves no tensor."""

    def train_batch(self, *_: Any) -> Any:
        """Fail."""
        broken = tf.errors.InternalError(None, None, "CUDNN_STATUS_INTERNAL_ERROR")
        raise OutOfDeviceMemoryError("8 images at once do not fit") from broken


options = make_options(backbone="MobileNet", weights=None, image_size=32, trainable="head")
memory = MemoryBudget(device="cpu", limit_bytes=2 * 10**9, is_given=True)
job = Job(attempt=1, source=model_source(options, 3), memory=memory, isolated=True, work=TrialsJob())
with tempfile.TemporaryDirectory() as folder:
    heartbeat = Heartbeat(AttemptDirectory(Path(folder)))
    limit_allocator(job, heartbeat)
    session, _ = open_network(job, heartbeat, lambda: None)
    as_on_gpu = job.model_copy(update={"memory": memory.model_copy(update={"device": "gpu"})})
    patch("autofit.worker.jobs.trial.device_name", lambda _: CPU).start()
    trials = Trials(as_on_gpu, session, heartbeat, Path(folder))
    for size in (FITS, FITS_TOO, TOO_MANY, FITS_TOO):
        sys.stdout.write(trials.run(size, 1, partial_batch=size == FITS).model_dump_json() + "\n")
    fields = {field.name: getattr(session, field.name) for field in dataclasses.fields(session)}
    for kind in (LeakingSession, BrokenSession):
        failing = Trials(as_on_gpu, kind(**fields), heartbeat, Path(folder))
        sys.stdout.write(failing.run(FITS, 1, partial_batch=False).model_dump_json() + "\n")
