"""Trials: real training steps at one size, with a partial batch, a validation and a checkpoint, as in the training.

For a part of the network that trains on cached activations, a trial uses random activations.

On a GPU the first step of each kind at a size is measured apart from the steady ones: in it cuDNN tries algorithms,
with workspaces of some gigabytes if there is room. So its peak does not tell how much memory the size needs.
"""

from __future__ import annotations

import contextlib
import gc
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autofit.config.batch_schedule import image_buffer_bytes
from autofit.config.cuts import WHOLE
from autofit.errors import UserError
from autofit.input.aligned_array import aligned_empty
from autofit.protocol.job import Event, Job
from autofit.protocol.messages import Phase, Request, Trial, Verdict
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import AttemptDirectory
from autofit.worker.execution.microbatch import Blame, MicroBatcher, blame
from autofit.worker.execution.session import Session
from autofit.worker.jobs.measurement import Measurement
from autofit.worker.jobs.startup import LoadPayload, limit_allocator, open_network
from autofit.worker.runtime.allocator_stall import stall_watch
from autofit.worker.runtime.control_pipe import Requests
from autofit.worker.runtime.exceptions import OutOfDeviceMemoryError, first_line, without_placement
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.memory import (
    arena_resident_bytes,
    device_bytes_reader,
    peak_bytes,
    reset_peak,
    resident_bytes,
)
from autofit.worker.runtime.tf_settings import device_name
from autofit.worker.training.train_state import TrainState

TIMED_SECONDS = 0.6
TIMED_STEPS = 8
LEAST_STEPS_ON_GPU = 2
"""One step that tunes, and one that shows how much memory the size needs."""

WHOLE_WITHIN_BYTES = 16 * 2**20
"""After a trial, the allocator counts as recovered if at most this much more memory is in use than before. A little may
belong to metrics and similar objects, which are made lazily."""

PARTIAL_SHARE = 16
"""The partial batch has 1/16 of the size. The last batch of an epoch may have any size; a small one costs least."""


def run_trials(
    job: Job, attempt: AttemptDirectory, heartbeat: Heartbeat, requests: Requests, load_payload: LoadPayload
) -> None:
    """Run each trial that is requested, until there are no more requests, or a trial makes the process unusable.

    The memory budget depends on the size of the first trial, and can be set only once in a process. So the device is
    used only after the first request, and a worker may be started ahead of time.
    """
    heartbeat.event(Event(baseline_rss_bytes=resident_bytes()))
    first = requests.get()
    if first is None or first.trial is None:
        return
    job = job.model_copy(update={"memory": first.memory or job.memory})
    try:
        limit_allocator(job, heartbeat)
    except UserError as error:
        is_stage = job.source is not None and job.source.spec.cut is not None
        is_first = job.memory.non_allocator_bytes is None and not is_stage
        if is_first or job.memory.device == "gpu":  # the user's limit is too small, or TensorFlow does not find the GPU
            raise
        heartbeat.event(Event(trial=Trial(batch_size=first.trial, verdict=Verdict.HOST_OOM, cause=str(error))))
        return
    session, _ = open_network(job, heartbeat, load_payload)
    _run_requested(Trials(job, session, heartbeat, attempt.path), heartbeat, requests, first)


def _run_requested(trials: Trials, heartbeat: Heartbeat, requests: Requests, first: Request) -> None:
    """Run trials until one fails and leaves the allocator fragmented, which would influence the next one."""
    request: Request | None = first
    while request is not None and request.trial is not None:
        heartbeat.phase(Phase.PROBE, step=request.trial, micro_batch_size=request.trial)
        trial = trials.run(request.trial, request.steps, partial_batch=request.partial_batch)
        if trial.verdict is not Verdict.FITS and not trial.worker_stays:
            return
        request = requests.get()


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a size does not fit, in one line, and whether memory is the only explanation."""

    cause: str
    is_surely_memory: bool


class Trials:
    """The trials of one process, in the order of the requests.

    Checkpoints are written to `folder`, which the parent removes, however this process ends.
    """

    def __init__(
        self,
        job: Job,
        session: Session,
        heartbeat: Heartbeat,
        folder: Path,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if job.source is None:
            raise ValueError("a trial needs a model")
        self._session = session
        self._heartbeat = heartbeat
        self._folder = folder
        self._clock = clock
        self._device = device_name(job.memory)
        self._in_use_bytes = device_bytes_reader(self._device)
        self._size = job.source.spec.image_size
        self._classes = job.source.num_classes
        self._on_features = job.source.spec.cut not in {None, WHOLE}
        self._state = TrainState(session)
        self._is_gpu = job.memory.device == "gpu"
        self._most_segments = session.most_segments
        self._count = 0
        self._began = 0.0
        self._reporting = threading.Lock()
        self._reported: Trial | None = None

    def run(self, batch_size: int, steps: int, *, partial_batch: bool = True) -> Trial:
        """Do everything that a training does with batches of this size, and report the result, exactly once."""
        self._count += 1
        self._reported, self._began = None, self._clock()
        measured = Measurement(self._device)
        in_use_bytes = self._in_use_bytes()
        failure = self._failure(batch_size, steps, measured, partial_batch=partial_batch)
        if failure is None:
            return self._report(batch_size, measured, Verdict.FITS)
        stays = self._is_gpu and failure.is_surely_memory and self._is_whole(in_use_bytes)
        return self._report(batch_size, measured, Verdict.DEVICE_OOM, failure.cause, worker_stays=stays)

    def _failure(self, batch_size: int, steps: int, measured: Measurement, *, partial_batch: bool) -> _Failure | None:
        """Do the work of a trial; returns why it ran out of memory, or None.

        After it returns, the error, and the tensors that its traceback holds, are freed.
        """
        try:
            with self._noticing_a_stall(batch_size, measured):
                self._work(batch_size, steps, measured, partial_batch=partial_batch)
        except Exception as error:
            if not isinstance(error, OutOfDeviceMemoryError) and blame(error) is Blame.OTHER:
                raise
            return _Failure(without_placement(first_line(error))[:200], is_surely_memory=_is_surely_memory(error))
        return None

    def _is_whole(self, in_use_bytes: int) -> bool:
        """Whether the allocator has no more memory in use than before the trial, by its own statistics."""
        gc.collect()
        return 0 < self._in_use_bytes() <= in_use_bytes + WHOLE_WITHIN_BYTES

    def _work(self, batch_size: int, steps: int, measured: Measurement, *, partial_batch: bool) -> None:
        """A partial batch, whole batches, a validation and a checkpoint, with the loader's buffers filled.

        The partial batch comes first, so that in a fresh process tracing happens in it, and whole steps can be timed.
        """
        images, labels, buffers = self._samples(batch_size)
        if partial_batch:
            partial = max(1, batch_size // PARTIAL_SHARE)
            with self._first_step(measured):
                self._step(images[:partial], labels[:partial], batch_size)
        if steps == 1 and self._session.extract is not None and not self._is_gpu and not self._on_features:
            self._one_pass(images, labels, measured)
        else:
            self._whole_steps(images, labels, steps, measured)
            self._validate(images, labels, measured)
        with self._peak_into(measured.other_peaks), tempfile.TemporaryDirectory(dir=self._folder) as folder:
            CheckpointStore(Path(folder)).save(self._state.groups(), {})
        del buffers

    def _whole_steps(self, images: np.ndarray, labels: np.ndarray, steps: int, measured: Measurement) -> None:
        """Run at least `steps` steps, until their time is known; the first touches fresh memory and takes longer."""
        took = measured.step_seconds
        least = max(steps, LEAST_STEPS_ON_GPU) if self._is_gpu else steps
        while not _are_enough(took, least):
            tunes = self._is_gpu and not took
            began = self._clock()
            with self._peak_into(measured.first_peaks if tunes else measured.step_peaks):
                self._step(images, labels, len(labels))
            took.append(self._clock() - began)
            if len(took) == 1:
                self._measure_process(measured)

    def _validate(self, images: np.ndarray, labels: np.ndarray, measured: Measurement) -> None:
        """Validate a batch; on a GPU twice, since the first one tunes."""

        def evaluate() -> None:
            tally, micro = self._session.fresh_tally(), MicroBatcher.fixed(len(images))
            if self._on_features:
                self._session.evaluate_features(images, labels, tally, micro)
            else:
                self._session.evaluate_batch(images, labels, tally, micro)

        if self._is_gpu:
            with self._first_step(measured):
                evaluate()
        with self._peak_into(measured.other_peaks):
            evaluate()

    def _one_pass(self, images: np.ndarray, labels: np.ndarray, measured: Measurement) -> None:
        """Run a step and a validation on the features of a single pass through the frozen backbone.

        This saves time for a size that a profile knows; when that was measured, each had a pass of its own.
        """
        began = self._clock()
        with self._peak_into(measured.step_peaks):
            features = self._session.features_of(images, MicroBatcher.fixed(len(images)))
            micro = MicroBatcher.fixed(len(labels))
            self._session.train_on_features(features, labels, self._session.objective.ones(labels), micro)
            self._session.metrics()  # waits for the device
        measured.step_seconds.append(self._clock() - began)
        self._measure_process(measured)
        with self._peak_into(measured.other_peaks):
            self._session.evaluate_features(features, labels, self._session.fresh_tally(), micro)

    def _measure_process(self, measured: Measurement) -> None:
        """Measure the resident memory after a step; not on a GPU, where it has nothing to do with the limit."""
        if not self._is_gpu:
            measured.arena_resident_bytes = arena_resident_bytes()
            measured.non_allocator_bytes = max(0, resident_bytes() - measured.arena_resident_bytes)

    @contextlib.contextmanager
    def _first_step(self, measured: Measurement) -> Iterator[None]:
        """Measure the first step of a kind other than whole steps: its time, and its peak, on a GPU separately."""
        began = self._clock()
        with self._peak_into(measured.first_peaks if self._is_gpu else measured.other_peaks):
            yield
        measured.other_first_seconds.append(self._clock() - began)

    @contextlib.contextmanager
    def _peak_into(self, peaks: list[int]) -> Iterator[None]:
        """Append the allocator's peak within the block to `peaks`, also if the block ran out of memory."""
        reset_peak(self._device)
        try:
            yield
        finally:
            peaks.append(peak_bytes(self._device))

    def _step(self, images: np.ndarray, labels: np.ndarray, micro_batch_size: int) -> None:
        """Make a training step and wait for the device, so that the step can be timed.

        If slices are padded, a shorter batch has the shape of a whole one, as in the training.
        """
        weights, micro = self._session.objective.ones(labels), MicroBatcher.fixed(micro_batch_size)
        if self._on_features:
            self._session.train_on_features(images, labels, weights, micro)
        else:
            self._session.train_batch(images, labels, weights, micro, lambda _: None)
        self._session.metrics()

    def _samples(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Random uint8 images `(count, height, width, 3)`, labels, and memory as large as the loader's other buffers.

        Memory and time do not depend on the content of images. If the network trains on cached activations, these take
        the place of images, float16 `(count, *feature_shape)`, and the memory is as large as all of the loader's
        buffers.
        """
        random, objective = np.random.default_rng(0), self._session.objective
        if self._on_features:
            shape = self._session.built.feature_shape
            features = np.ones((count, *shape), np.float16) * random.random(shape).astype(np.float16)
            buffers = np.ones(image_buffer_bytes(count, self._size), np.uint8)
            return features, objective.drawn_labels(count, self._classes, random), buffers
        images = aligned_empty((count, *self._size, 3))
        images[...] = random.integers(0, 256, (1, *self._size, 3), dtype=np.uint8)
        buffers = np.ones(image_buffer_bytes(count, self._size) - images.nbytes, np.uint8)
        return images, objective.drawn_labels(count, self._classes, random), buffers

    def _noticing_a_stall(self, batch_size: int, measured: Measurement) -> contextlib.AbstractContextManager[None]:
        """A context in which, on a CPU, an out-of-memory is reported as soon as the allocator waits in vain."""
        if self._is_gpu:
            return contextlib.nullcontext()
        cause = "the allocator waits for memory that nothing will free"
        return stall_watch(lambda: self._report(batch_size, measured, Verdict.DEVICE_OOM, cause))

    def _report(
        self, batch_size: int, measured: Measurement, verdict: Verdict, cause: str = "", *, worker_stays: bool = False
    ) -> Trial:
        """Send the event of the trial; only the first call for a trial does.

        If a size fails before its first step, the process is measured now: if nothing fits, there is no other
        measurement.
        """
        with self._reporting:
            if self._reported is None:
                if verdict is not Verdict.FITS and not measured.non_allocator_bytes:
                    self._measure_process(measured)
                seconds, fresh = self._clock() - self._began, self._count == 1
                self._reported = measured.trial(
                    batch_size, verdict, cause, seconds=seconds, fresh=fresh, worker_stays=worker_stays
                ).model_copy(update={"most_segments": self._most_segments})
                self._heartbeat.event(Event(trial=self._reported))
            return self._reported


def _is_surely_memory(error: BaseException) -> bool:
    """Whether neither this error nor its causes may be a broken handle of cuDNN or cuBLAS, which stays broken."""
    before = error.__cause__ or error.__context__
    return blame(error) is not Blame.PERHAPS and (before is None or _is_surely_memory(before))


def _are_enough(took: list[float], steps: int) -> bool:
    """Whether there were at least `steps` steps, and enough to time them; `took` has the seconds of each."""
    if len(took) < steps:
        return False
    return len(took) >= TIMED_STEPS or sum(took[1:] or took) >= TIMED_SECONDS
