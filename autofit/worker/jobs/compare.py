"""Compares a network in float32 and in 16 bits: the speed of what the run will do, and how far the results differ.

Both have the same weights, with which the run begins, and the same synthetic images: random patterns with the spectrum
of photos, whose power falls with the square of the frequency (Field 1987, doi:10.1364/JOSAA.4.002379).
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from autofit.config.precisions import Precision
from autofit.errors import UserError
from autofit.input.aligned_array import aligned_empty
from autofit.protocol.job import ComparisonJob, Event, Job
from autofit.protocol.messages import Phase
from autofit.protocol.precision import PrecisionComparison
from autofit.worker.execution.microbatch import MicroBatcher
from autofit.worker.execution.session import Session, clear_session
from autofit.worker.execution.steps import compile_forward
from autofit.worker.jobs.differences import feature_difference, loss_difference, score_difference, scores_of
from autofit.worker.jobs.startup import LoadPayload, limit_allocator, open_network, open_payload
from autofit.worker.model.copied_weights import set_weights
from autofit.worker.runtime.heartbeat import Heartbeat

TIMED_SECONDS, TIMED_STEPS = 1.0, 10
"""Steps are timed until they have taken so many seconds, or until there were so many."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """The measurement in one precision: features `(n, ...)` of a backbone, and the loss if more than a head trains.

    `scores` `(n, classes)` are there where features are not of all layers: of a user's own network, and above a cut.
    """

    images_per_second: float
    features: np.ndarray | None
    loss: float | None = None
    scores: np.ndarray | None = None


def compare(job: Job, work: ComparisonJob, heartbeat: Heartbeat, load_payload: LoadPayload) -> None:
    """Measure both, and report the comparison.

    Raises:
        OutOfDeviceMemoryError: so many images at once do not fit.
        UserError: the model cannot be built in one of the two precisions.
    """
    if job.source is None:
        raise ValueError("a comparison needs a model")
    limit_allocator(job, heartbeat)
    payload, kept = open_payload(job, load_payload), list[np.ndarray]()  # what was sent can be read only once
    plain, coarse = (
        _measured(job, precision, work.batch_size, heartbeat, lambda: payload, kept)
        for precision in ("float32", work.precision)
    )
    found = PrecisionComparison(
        precision=work.precision,
        batch_size=work.batch_size,
        images_per_second=coarse.images_per_second,
        float32_images_per_second=plain.images_per_second,
        feature_difference=feature_difference(plain.features, coarse.features),
        score_difference=score_difference(plain.scores, coarse.scores),
        loss_difference=loss_difference(plain.loss, coarse.loss),
    )
    heartbeat.event(Event(comparison=found))


def photo_like(count: int, height: int, width: int) -> np.ndarray:
    """Synthetic uint8 images `(count, height, width, 3)`: sums of random patterns, of which finer ones are weaker."""
    random = np.random.default_rng(0)
    flow = np.zeros((count, height, width, 3), np.float32)
    cells = 2
    while cells <= max(height, width):
        pattern = random.standard_normal((count, cells, cells, 3)).astype(np.float32) / cells
        rows, columns = (np.arange(side) * cells // side for side in (height, width))
        flow += pattern[:, rows][:, :, columns]
        cells *= 2
    images = aligned_empty((count, height, width, 3))
    spread = flow.std(axis=(1, 2, 3), keepdims=True)
    images[...] = np.clip(128 + 60 * (flow - flow.mean(axis=(1, 2, 3), keepdims=True)) / spread, 0, 255)
    return images


def _measured(
    job: Job,
    precision: Precision,
    size: int,
    heartbeat: Heartbeat,
    load_payload: LoadPayload,
    kept: list[np.ndarray],
) -> _Measured:
    """Build the network in a precision and measure it; the first call stores its weights in `kept`, others use them."""
    assert job.source is not None  # noqa: S101 - told apart by the caller
    spec = job.source.spec.model_copy(update={"precision": precision})
    source = job.source.model_copy(update={"spec": spec})
    session, _ = open_network(job.model_copy(update={"source": source}), heartbeat, load_payload)
    model = session.built.model
    if kept:
        _set_weights(model, kept)
    else:
        kept += model.get_weights()
    heartbeat.phase(Phase.PROBE, step=size, micro_batch_size=size)
    images = photo_like(size, *spec.image_size)
    labels = session.objective.drawn_labels(size, job.source.num_classes, np.random.default_rng(0))
    loss, scores = (
        _evaluated(session, images, labels, multi_label=job.source.multi_label)
        if trains_more_than_head(session)
        else (None, None)
    )
    found = _Measured(
        features=_features(session, images),
        loss=loss,
        scores=None if session.built.features is not None and session.built.cut is None else scores,
        images_per_second=size / _seconds(_step(session, images, labels)),
    )
    del session, model
    if job.isolated:  # it would reset Keras's settings in all threads of the user's process
        clear_session()
    gc.collect()
    return found


def _set_weights(model: keras.Model, weights: list[np.ndarray]) -> None:
    """Set the weights of a model to those of the same network in the other precision.

    Raises:
        UserError: their shapes differ, since the user's function makes another network each time.
    """
    try:
        set_weights(model, weights)
    except ValueError as error:
        raise UserError("the model function makes another network each time") from error


def _features(session: Session, images: np.ndarray) -> np.ndarray | None:
    """The features of the backbone, float32; None if the network is the user's own."""
    if session.extract is not None:
        return np.asarray(session.features_of(images, MicroBatcher.fixed(len(images))), np.float32)
    features = session.built.features
    return None if features is None else np.asarray(compile_forward(features)(images), np.float32)


def _evaluated(
    session: Session, images: np.ndarray, labels: np.ndarray, *, multi_label: bool
) -> tuple[float, np.ndarray]:
    """The loss of the batch and its scores `(n, classes)` in inference, before any training."""
    tally = session.fresh_tally(keeps_outputs=True)
    session.evaluate_batch(images, labels, tally, MicroBatcher.fixed(len(images)))
    outputs = np.concatenate([np.asarray(part) for part in tally.outputs])
    return session.results_of(tally.values)["loss"], scores_of(outputs, session.built.outputs, multi_label=multi_label)


def trains_more_than_head(session: Session) -> bool:
    """Whether layers of the backbone train: all, or those above a cut; or the network is the user's own."""
    return session.extract is None or session.built.cut is not None


def _step(session: Session, images: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    """A function that does what the run will do with a batch, and waits for the device.

    That is an extraction, or a training step. Above a cut, activations are extracted once and then trained on
    repeatedly, so only the training counts.
    """
    micro = MicroBatcher.fixed(len(images))
    if not trains_more_than_head(session):
        return lambda: np.asarray(session.features_of(images, micro))
    weights = session.objective.ones(labels)
    activations = None if session.extract is None else session.features_of(images, micro)

    def train() -> object:
        if activations is None:
            session.train_batch(images, labels, weights, micro, lambda _: None)
        else:
            session.train_on_features(activations, labels, weights, micro)
        return session.metrics()

    return train


def _seconds(step: Callable[[], object]) -> float:
    """The median time of a step, without the first one, which traces and tunes."""
    step()
    took: list[float] = []
    while not took or (sum(took) < TIMED_SECONDS and len(took) < TIMED_STEPS):
        began = time.perf_counter()
        step()
        took.append(time.perf_counter() - began)
    return float(np.median(took))
