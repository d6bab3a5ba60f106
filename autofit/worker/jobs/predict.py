"""The job of a prediction: run a saved model on images, in micro-batches that shrink until they fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from autofit.config.batch_schedule import batch_bounds
from autofit.input.aligned_array import aligned
from autofit.input.batch_loader import BatchLoader
from autofit.input.drive_patience import DrivePatience
from autofit.input.prediction_views import decode_views, prediction_views
from autofit.protocol.job import Event, Job, PredictJob
from autofit.protocol.messages import BadImage, OomEvent, Phase
from autofit.storage.run_directory import AttemptDirectory
from autofit.worker.execution.microbatch import MicroBatcher, Shrink
from autofit.worker.execution.steps import compile_forward
from autofit.worker.jobs.startup import LoadPayload, open_saved_model
from autofit.worker.model.outputs import probabilities_of
from autofit.worker.runtime.heartbeat import Heartbeat

Forward = Callable[[np.ndarray], Any]


def predict(
    job: Job, work: PredictJob, attempt: AttemptDirectory, heartbeat: Heartbeat, load_payload: LoadPayload
) -> None:
    """Write the probabilities `(n, classes)` of the listed images to `predictions.npy`, NaN for unreadable ones.

    Of several views, the loader has an image for each sample as well: the views, one below the other.

    Raises:
        OutOfDeviceMemoryError: not even a single image fits.
        UserError: the saved model needs a class that is not known here.
    """
    model = open_saved_model(job, work, heartbeat, load_payload)
    forward = compile_forward(model)
    paths = Path(work.paths_file).read_bytes().decode("utf-8", "surrogateescape").split("\0")
    rows = np.full((len(paths), int(model.output_shape[-1])), np.nan, np.float32)

    def note(shrink: Shrink) -> None:
        heartbeat.event(
            Event(
                oom=OomEvent(
                    attempt=job.attempt,
                    epoch=0,
                    step=0,
                    phase=Phase.PREDICT,
                    micro_batch_size_before=shrink.before,
                    micro_batch_size_after=shrink.after,
                    seconds_lost=shrink.seconds,
                )
            )
        )

    micro = MicroBatcher(work.batch_size, note)
    height, width = work.image_size
    shape = (work.views, height, width, 3)
    crops = prediction_views(work.views, flips=work.flips)

    def decode(sample: int, out: np.ndarray) -> None:
        decode_views(paths[sample], crops, out.reshape(shape), work.value_ranges)

    bounds = list(batch_bounds(len(paths), max(1, work.batch_size // work.views), 0))
    patience = DrivePatience(lambda line: heartbeat.event(Event(message=line)))
    with BatchLoader(
        paths,
        (work.views * height, width),
        threads=work.threads,
        buffer_bytes=job.memory.buffer_bytes,
        patience=patience,
    ) as loader:
        for step, batch in enumerate(loader.batches((range(start, stop) for start, stop in bounds), decode)):
            heartbeat.phase(Phase.PREDICT, step=step, steps=len(bounds), micro_batch_size=micro.size)
            for sample, reason in batch.skipped:
                heartbeat.event(Event(quarantined=BadImage(path=paths[sample], reason=reason)))
            if len(batch.samples):
                outputs = _outputs(forward, batch.images.reshape(-1, *shape[1:]), micro)
                found = probabilities_of(outputs, work.outputs)
                rows[batch.samples] = found.reshape(-1, work.views, rows.shape[1]).mean(axis=1)
    np.save(attempt.path / "predictions.npy", rows)


def _outputs(forward: Forward, images: np.ndarray, micro: MicroBatcher) -> np.ndarray:
    parts = micro.slices(len(images), lambda start, stop: np.asarray(forward(aligned(images[start:stop]))))
    return np.concatenate(parts)
