"""Trials: the real step at one size, with validation, a partial batch and a checkpoint, as training will do it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from autofit.checkpoints import CheckpointStore
from autofit.process.job import Event, Job
from autofit.process.messages import Phase, Trial, Verdict
from autofit.worker.control import Requests
from autofit.worker.endings import OutOfDeviceMemoryError
from autofit.worker.environment import device_name
from autofit.worker.heartbeat import Heartbeat, resident_bytes
from autofit.worker.loader import aligned_empty
from autofit.worker.microbatch import Blame, MicroBatcher, Shrink, blame
from autofit.worker.session import Session, peak_bytes, reset_peak
from autofit.worker.state import TrainState

TIMED_SECONDS = 0.6
TIMED_STEPS = 8


def run_trials(
    job: Job, session: Session, heartbeat: Heartbeat, requests: Requests, clock: Callable[[], float] = time.perf_counter
) -> None:
    """Run each trial that is asked for, until nothing more is or one runs out of memory.

    After an out-of-memory this process ends: the allocator is fragmented, and the next trial would measure that.
    """
    trials = _Trials(job, session, clock)
    while (request := requests.get()) is not None and request.trial is not None:
        heartbeat.phase(Phase.PROBE, step=request.trial, micro_batch_size=request.trial)
        trial = trials.run(request.trial)
        heartbeat.event(Event(trial=trial, rest_bytes=max(1, resident_bytes() - peak_bytes(device_name(job.memory)))))
        if trial.verdict is not Verdict.FITS:
            return


class _Trials:
    def __init__(self, job: Job, session: Session, clock: Callable[[], float]) -> None:
        if job.source is None:
            raise ValueError("a trial needs a model")
        self._session = session
        self._clock = clock
        self._device = device_name(job.memory)
        self._size = job.source.spec.image_size
        self._classes = job.source.num_classes
        self._state = TrainState(session)

    def run(self, batch_size: int) -> Trial:
        reset_peak(self._device)
        try:
            step_seconds = self._work(batch_size)
        except Exception as error:
            if not isinstance(error, OutOfDeviceMemoryError) and blame(error) is Blame.OTHER:
                raise
            return Trial(
                batch_size=batch_size,
                verdict=Verdict.DEVICE_OOM,
                peak_bytes=peak_bytes(self._device),
                host_bytes=resident_bytes(),
                cause=str(error).splitlines()[0][:200],
            )
        return Trial(
            batch_size=batch_size,
            verdict=Verdict.FITS,
            peak_bytes=peak_bytes(self._device),
            host_bytes=resident_bytes(),
            step_seconds=step_seconds,
            images_per_second=batch_size / step_seconds,
        )

    def _work(self, batch_size: int) -> float:
        """All that training does with a batch of this size; returns the median seconds of a step."""
        images, labels = self._samples(batch_size)
        self._step(images, labels)
        seconds = self._timed_steps(images, labels)
        micro = _fixed(batch_size)
        self._session.evaluate_batch(images, labels, self._session.fresh_metric_values(), micro)
        partial = max(1, batch_size // 2)
        self._step(images[:partial], labels[:partial])
        with tempfile.TemporaryDirectory() as folder:
            CheckpointStore(Path(folder)).save(self._state.groups(), {})
        return seconds

    def _timed_steps(self, images: np.ndarray, labels: np.ndarray) -> float:
        took: list[float] = []
        while len(took) < TIMED_STEPS and sum(took) < TIMED_SECONDS:
            began = self._clock()
            self._step(images, labels)
            took.append(self._clock() - began)
        return float(np.median(took))

    def _step(self, images: np.ndarray, labels: np.ndarray) -> None:
        weights = np.ones(len(labels), np.float32)
        self._session.train_batch(images, labels, weights, _fixed(len(labels)), lambda _: None)

    def _samples(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Random uint8 images `(count, height, width, 3)` and labels: memory and time do not depend on the content."""
        random = np.random.default_rng(0)
        images = aligned_empty((count, *self._size, 3))
        images[...] = random.integers(0, 256, (1, *self._size, 3), dtype=np.uint8)
        return images, random.integers(0, self._classes, count)


def _fixed(size: int) -> MicroBatcher:
    """A size that may not shrink: in a trial, running out is the answer."""

    def refuse(shrink: Shrink) -> None:
        raise OutOfDeviceMemoryError(f"{shrink.before} images at once do not fit")

    return MicroBatcher(size, refuse)
