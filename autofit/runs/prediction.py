"""Predicts images with a saved model, in a worker, so that the caller's process does not load TensorFlow."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from autofit.errors import TrainingFailedError
from autofit.input.numeric_images import NO_RANGES, ValueRanges
from autofit.machine import hardware
from autofit.process.launch import Launcher
from autofit.process.monitor import MonitoredWorker, View, monitored
from autofit.protocol.job import Event
from autofit.protocol.messages import BadImage, PredictRequest, Request
from autofit.protocol.model_jobs import PredictJob
from autofit.protocol.payload import NO_CODE, OwnCode
from autofit.runs.model_worker import error_of_model_worker, model_job, output_kind, require_model, write_paths
from autofit.storage.run_directory import AttemptDirectory
from autofit.storage.scratch import scratch_folder

if TYPE_CHECKING:
    import numpy as np

BATCH_SIZE = 32
IDLE_SECONDS = 300.0
"""How long a worker waits for another request before it ends."""

LEAVING_SECONDS = 10.0
"""A worker that will end within this time gets no more requests: it might end before it reads them."""


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A saved model, and what a prediction needs to know of its run.

    Attributes:
        path: a `model.keras` that autofit wrote.
        image_size: the model's input size in pixels, (height, width).
        batch_size: how many images are on the device at once, if so many fit.
        flips: whether some of several views of an image are mirrored.
        value_ranges: the numbers that mean black and white in images of more than 8 bits, as in training.
        code: the user's code that is needed to open the model.
    """

    path: Path
    image_size: tuple[int, int]
    batch_size: int = BATCH_SIZE
    flips: bool = True
    value_ranges: ValueRanges = field(default_factory=lambda: NO_RANGES)
    code: OwnCode = NO_CODE


class WorkerGoneError(TrainingFailedError):
    """A worker that had answered earlier requests ended before it read this one; another worker can answer it."""


class PredictionWorker:
    """A worker with an open model, which answers one request after another until it is closed.

    Its first request waits for TensorFlow and the model.

    Args:
        model: the saved model.
        launcher: starts the worker.
        view: shows the progress of the first request.
        idle_seconds: it ends by itself after so long without a request.

    Raises:
        UserError: the saved model does not exist.
        AutofitError: the worker cannot be started.
    """

    def __init__(
        self, model: SavedModel, launcher: Launcher, view: View, *, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        require_model(model.path)
        work = PredictJob(
            model_path=str(model.path.resolve()),
            image_size=model.image_size,
            batch_size=model.batch_size,
            threads=max(2, hardware.detect().cores),
            idle_seconds=idle_seconds,
            flips=model.flips,
            value_ranges=dict(model.value_ranges),
            outputs=output_kind(model.path),
            module=model.code.module,
        )
        self._open = contextlib.ExitStack()
        with contextlib.ExitStack() as if_it_fails:
            self._folder = if_it_fails.enter_context(scratch_folder("autofit-predict-"))
            job = model_job(work, model.code.import_paths, isolated=launcher.isolated)
            started = monitored(job, AttemptDirectory(self._folder), launcher, view=view, payload=model.code.payload)
            self._worker: MonitoredWorker = if_it_fails.enter_context(started)
            self._open = if_it_fails.pop_all()
        self._events: Iterator[Event] = self._worker.events()
        self._asked = 0
        self._idle_seconds, self._used_at = idle_seconds, time.monotonic()

    @property
    def is_alive(self) -> bool:
        """Whether it can get further requests: it has not ended, and is not about to end for being idle."""
        idle_seconds = time.monotonic() - self._used_at
        is_staying = idle_seconds < self._idle_seconds - LEAVING_SECONDS
        return is_staying and self._worker.ended is None and self._worker.worker.poll() is None

    def predict(
        self, paths: Sequence[str], view: View, *, views: int = 1, done: int = 0, total: int | None = None
    ) -> tuple[np.ndarray, list[BadImage]]:
        """Predict image files.

        Args:
            paths: the paths of the images, at least one; they are decoded as in training.
            view: shows the progress.
            views: over how many views of an image the probabilities are averaged.
            done: how many images earlier requests have predicted, for the display of progress.
            total: how many images there are together with those; by default, the number of paths.

        Returns:
            Probabilities, float32 `(n, classes)` in the order of `paths`, with a row of NaN for an image that could not
            be read; and the images that could not be read, with the reasons.

        Raises:
            WorkerGoneError: the worker has answered earlier requests, and ended before it read this one.
            AutofitError: the worker failed; the message says why.
        """
        import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

        if not self._folder.exists():
            raise WorkerGoneError("the prediction failed: its worker was closed")
        listed, rows_file = self._folder / "paths", self._folder / "rows.npy"
        write_paths(listed, paths)
        self._worker.view = view
        self._asked += 1
        request = PredictRequest(
            paths_file=str(listed), rows_file=str(rows_file), views=views, done=done, total=total or len(paths)
        )
        self._worker.send(Request(predict=request))
        try:
            unreadable = self._until_answered()
        except TrainingFailedError as error:
            if self._asked > 1 and listed.exists():
                raise WorkerGoneError(str(error)) from error
            raise
        rows = np.load(rows_file, allow_pickle=False)
        rows_file.unlink()
        self._used_at = time.monotonic()
        return rows, unreadable

    def close(self) -> None:
        """End the worker and remove its folder; may be called twice."""
        self._open.close()

    def _until_answered(self) -> list[BadImage]:
        """Wait for the answer, and return the images that could not be read."""
        unreadable: list[BadImage] = []
        before = len(self._worker.seen)
        for event in self._events:
            if event.quarantined:
                unreadable.append(event.quarantined)
            if event.answered == self._asked:
                del self._worker.seen[before:]  # else the events of a long-lived worker would fill the memory
                return unreadable
        ended = self._worker.ended
        assert ended is not None  # noqa: S101 - the events end only then
        raise error_of_model_worker(ended, "prediction")
