"""The prediction job: a saved model stays open and runs on images, in micro-batches that shrink until they fit.

The worker answers one request after another, so that only the first waits for TensorFlow and the model. It ends by
itself when no request has come for a while, so that it holds no memory for a caller who has forgotten it.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autofit.config.batch_schedule import batch_bounds
from autofit.input.aligned_array import aligned
from autofit.input.batch_loader import BatchLoader, LoadedBatch
from autofit.input.drive_patience import DrivePatience
from autofit.input.prediction_views import decode_views, prediction_views
from autofit.protocol.job import Event, Job
from autofit.protocol.messages import BadImage, Phase, PredictRequest, Request
from autofit.protocol.model_jobs import PredictJob
from autofit.worker.execution.microbatch import MicroBatcher, Shrink
from autofit.worker.execution.steps import compile_forward
from autofit.worker.jobs.startup import LoadPayload, open_saved_model
from autofit.worker.model.outputs import class_count, probabilities_of
from autofit.worker.runtime.control_pipe import Requests
from autofit.worker.runtime.exceptions import StopRequested
from autofit.worker.runtime.heartbeat import Heartbeat

LEAST_BATCH = 32
BATCHES = 8
"""A request is divided into so many batches, but of at least `LEAST_BATCH` images, so that decoding and predicting
overlap."""


def predict(job: Job, work: PredictJob, heartbeat: Heartbeat, requests: Requests, load_payload: LoadPayload) -> None:
    """Open a model and answer requests until the parent leaves, or none has come for `idle_seconds`.

    Raises:
        OutOfDeviceMemoryError: not even a single image fits.
        StopRequested: the parent asked to stop.
        UserError: the saved model needs a class that is not known here.
    """
    open_model = _OpenModel(job, work, heartbeat, load_payload, lambda: _refuse_to_go_on(requests))
    answered = 0
    try:
        while (request := _next(requests, work.idle_seconds)) is not None and request.predict is not None:
            open_model.answer(request.predict)
            answered += 1
            heartbeat.event(Event(answered=answered))
    finally:
        open_model.close()


def _next(requests: Requests, idle_seconds: float) -> Request | None:
    """The next request; None if the parent is gone, or if none has come for `idle_seconds`."""
    try:
        request = requests.get(timeout=idle_seconds)
    except queue.Empty:
        return None
    if request is not None and request.leave is not None:
        raise StopRequested(request.leave, "the parent asked to stop")
    return request


def _refuse_to_go_on(requests: Requests) -> None:
    """Stop between two batches if the parent asks to: it sends no other request before the answer."""
    if not requests.empty():
        raise StopRequested("interrupted", "the parent asked to stop")


class _OpenModel:
    """An open model: its compiled function, and the loader of images, whose threads stay for the next request."""

    def __init__(
        self, job: Job, work: PredictJob, heartbeat: Heartbeat, load_payload: LoadPayload, go_on: Callable[[], None]
    ) -> None:
        model = open_saved_model(job, work, heartbeat, load_payload)
        self._forward: Callable[[np.ndarray], Any] = compile_forward(model)
        self._classes = class_count(model, work.outputs)
        self._job, self._work, self._heartbeat, self._go_on = job, work, heartbeat, go_on
        self._micro = MicroBatcher(work.batch_size, self._note)
        self._loader: BatchLoader | None = None
        self._loader_views = 0

    def answer(self, request: PredictRequest) -> None:
        """Write the probabilities `(n, classes)` of the listed images, NaN for those that cannot be read.

        The views of an image are loaded as one image, one below the other.
        """
        paths = Path(request.paths_file).read_bytes().decode("utf-8", "surrogateescape").split("\0")
        Path(request.paths_file).unlink()  # shows the parent that this worker has read the request
        rows = np.full((len(paths), self._classes), np.nan, np.float32)
        began, done = time.monotonic(), 0
        self._show(request, 0, 0.0)
        groups, decode = self._groups(len(paths), request.views), self._decode(paths, request.views)
        for batch in self._loader_of(request.views).batches(groups, decode):
            self._go_on()
            self._predict(batch, paths, request.views, rows)
            done += len(batch.samples) + len(batch.skipped)
            self._show(request, done, done / max(time.monotonic() - began, 1e-6))
        np.save(request.rows_file, rows)

    def close(self) -> None:
        """End the threads of the loader."""
        if self._loader is not None:
            self._loader.close()
            self._loader = None

    def _groups(self, count: int, views: int) -> list[range]:
        size = min(self._work.batch_size, max(LEAST_BATCH, -(-count * views // BATCHES)))
        return [range(start, stop) for start, stop in batch_bounds(count, max(1, size // views), 0)]

    def _loader_of(self, views: int) -> BatchLoader:
        """The loader for images with so many views; that of the last request, if it had as many."""
        if self._loader is None or self._loader_views != views:
            self.close()
            height, width = self._work.image_size
            self._loader = BatchLoader(
                lambda _: "",  # the paths are those of a request, whose `decode` knows them
                (views * height, width),
                threads=self._work.threads,
                buffer_bytes=self._job.memory.buffer_bytes,
                patience=DrivePatience(lambda line: self._heartbeat.event(Event(message=line)), self._go_on),
            )
            self._loader_views = views
        return self._loader

    def _decode(self, paths: Sequence[str], views: int) -> Callable[[int, np.ndarray], None]:
        shape = (views, *self._work.image_size, 3)
        crops = prediction_views(views, flips=self._work.flips)

        def decode(sample: int, out: np.ndarray) -> None:
            decode_views(paths[sample], crops, out.reshape(shape), self._work.value_ranges)

        return decode

    def _predict(self, batch: LoadedBatch, paths: Sequence[str], views: int, rows: np.ndarray) -> None:
        for sample, reason in batch.skipped:
            self._heartbeat.event(Event(quarantined=BadImage(path=paths[sample], reason=reason)))
        if len(batch.samples):
            images = batch.images.reshape(-1, *self._work.image_size, 3)
            parts = self._micro.slices(
                len(images), lambda start, stop: np.asarray(self._forward(aligned(images[start:stop])))
            )
            found = probabilities_of(np.concatenate(parts), self._work.outputs)
            rows[batch.samples] = found.reshape(-1, views, self._classes).mean(axis=1)

    def _show(self, request: PredictRequest, done: int, images_per_second: float) -> None:
        self._heartbeat.phase(
            Phase.PREDICT,
            counts="images",
            step=request.done + done,
            steps=request.total,
            images_per_second=images_per_second,
            micro_batch_size=self._micro.size,
        )

    def _note(self, shrink: Shrink) -> None:
        self._heartbeat.event(Event(oom=shrink.event(self._job.attempt, Phase.PREDICT)))
