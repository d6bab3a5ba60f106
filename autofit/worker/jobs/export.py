"""The export job: writes a saved model in another format, and predicts the same images with both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from autofit.errors import UserError
from autofit.input.decode import decode_image
from autofit.input.image_files import UnreadableImageError
from autofit.protocol.job import Event, Job
from autofit.protocol.messages import Phase
from autofit.protocol.model_jobs import ExportJob
from autofit.storage.run_directory import AttemptDirectory
from autofit.worker.execution.microbatch import MicroBatcher
from autofit.worker.jobs.startup import LoadPayload, open_saved_model
from autofit.worker.model.builder import of_fixed_size
from autofit.worker.model.exported import open_exported, replaced, write_exported
from autofit.worker.model.outputs import class_count, probabilities_of
from autofit.worker.runtime.heartbeat import Heartbeat

IMAGES_AT_ONCE = 8
"""Few images, so that an export needs little more memory than the model."""

NO_SCALES = "the scales of int8 are those of the images that the model was trained on, and none of them can be read"


def export(
    job: Job, work: ExportJob, attempt: AttemptDirectory, heartbeat: Heartbeat, load_payload: LoadPayload
) -> None:
    """Write the model to its target, and the probabilities of both to `before.npy` and `after.npy`.

    Rows are NaN for images that cannot be read. Without the format's runtime there is no `after.npy`.

    Raises:
        UserError: the model cannot be exported to this format, or no image can be read that sets the scales of int8.
        OutOfDeviceMemoryError: not even a single image fits.
    """
    model = open_saved_model(job, work, heartbeat, load_payload)
    model(np.zeros((1, *work.image_size, 3), np.float32))  # the ONNX exporter needs a model that was called before
    paths, target = _listed(work.paths_file), Path(work.target)
    calibration = _calibration(work) if work.int8 else None
    heartbeat.phase(Phase.SAVE)
    with replaced(target) as written:
        write_exported(_as_written(model, work), written, work.format, calibration, heartbeat.beat)
        heartbeat.phase(Phase.PREDICT)
        forward = open_exported(written, work.format) if paths else None
        if forward is None:
            heartbeat.event(Event(message=f"the runtime of {work.format} is not installed: nothing was compared"))
        else:
            of_model = partial(model, training=False)
            shape = (len(paths), class_count(model, work.outputs))
            before, after = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
            micro = MicroBatcher(
                IMAGES_AT_ONCE, lambda shrink: heartbeat.event(Event(oom=shrink.event(job.attempt, Phase.PREDICT)))
            )
            for known, images in _batches(work, paths, heartbeat.beat):
                before[known] = probabilities_of(in_parts(of_model, images, micro), work.outputs)
                after[known] = probabilities_of(in_parts(forward, images, micro), work.outputs)
            np.save(attempt.path / "before.npy", before)
            np.save(attempt.path / "after.npy", after)


def in_parts(model: Callable[[np.ndarray], Any], images: np.ndarray, micro: MicroBatcher) -> np.ndarray:
    """What a model gives for images float32 `(n, height, width, 3)`, with fewer at once after an out-of-memory.

    Raises:
        OutOfDeviceMemoryError: not even a single image fits.
    """
    return np.concatenate(micro.slices(len(images), lambda start, stop: np.asarray(model(images[start:stop]))))


def _as_written(model: keras.Model, work: ExportJob) -> keras.Model:
    """The model that is written: LiteRT would take one for images of any size as one for images of a single pixel."""
    return of_fixed_size(model, (*work.image_size, 3)) if work.format == "litert" else model


def _listed(file: str) -> list[str]:
    text = Path(file).read_bytes().decode("utf-8", "surrogateescape")
    return text.split("\0") if text else []


def _calibration(work: ExportJob) -> np.ndarray:
    images = [image for image in map(partial(_decoded, work), _listed(work.calibration_file)) if image is not None]
    if not images:  # the converter would write floating point without a word
        raise UserError(f"{NO_SCALES}: bring them back to where they were, or leave int8 out")
    return np.stack(images)


def _decoded(work: ExportJob, path: str) -> np.ndarray | None:
    try:
        return decode_image(path, work.image_size, work.value_ranges)
    except UnreadableImageError:
        return None


def _batches(work: ExportJob, paths: list[str], on_batch: Callable[[], None]) -> Iterator[tuple[list[int], np.ndarray]]:
    """The places of some images and their pixels, float32 (n, height, width, 3); without those that cannot be read."""
    with ThreadPoolExecutor(work.threads) as threads:
        for start in range(0, len(paths), IMAGES_AT_ONCE):
            part = paths[start : start + IMAGES_AT_ONCE]
            decoded = list(threads.map(partial(_decoded, work), part))
            known = [start + place for place, image in enumerate(decoded) if image is not None]
            images = [image for image in decoded if image is not None]
            on_batch()
            if images:
                yield known, np.stack(images).astype(np.float32)
