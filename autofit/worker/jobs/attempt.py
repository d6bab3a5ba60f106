"""The job of an attempt: train from the newest checkpoint to the last epoch."""

from __future__ import annotations

from pathlib import Path

from autofit.dataset.index import lists_weights
from autofit.input.predecode import PredecodedImages
from autofit.protocol.job import Event, Job, TrainJob
from autofit.storage.run_directory import RunDirectory
from autofit.worker.jobs.extract import extract
from autofit.worker.jobs.startup import LoadPayload, limit_allocator, open_network
from autofit.worker.model.mean_loss import require_weighted
from autofit.worker.model.weights import require_same_weights
from autofit.worker.runtime.control_pipe import Requests
from autofit.worker.runtime.exceptions import OutOfDeviceMemoryError, ShortOfMemoryError, StopRequested
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.stop_conditions import StopConditions
from autofit.worker.runtime.tf_settings import device_name
from autofit.worker.training.trainer import Trainer


def train(
    job: Job,
    work: TrainJob,
    heartbeat: Heartbeat,
    requests: Requests,
    load_payload: LoadPayload,
    predecoded: PredecodedImages | None,
) -> str:
    """Train, and return the SHA-256 of the weights after the last epoch.

    Raises:
        StopRequested: the worker was asked to stop, or the host has too little memory left; what was trained is
            committed.
        OutOfDeviceMemoryError: not even a single image fits; what was trained is committed.
        UserError: the weights file was replaced since the run began.
    """
    try:
        limit_allocator(job, heartbeat)
    except ShortOfMemoryError as error:  # the next attempt asks for less memory, or finds more
        raise StopRequested("yielded", error.cause) from error
    if job.source is not None:
        require_same_weights(job.source)
    session, payload = open_network(job, heartbeat, load_payload)
    weighs = "class_weight" if work.plan.class_weight != "none" else ""
    if not weighs and lists_weights(RunDirectory(Path(work.run_dir)).samples):
        weighs = "weight_column"
    if weighs and not session.objective.columns:
        require_weighted(session.objective, int(session.built.model.output_shape[-1]), weighs)
    if work.micro_batch_size == 1:  # it is asked for only where one image runs out; in DenseNet121 it takes 0.3 s
        heartbeat.event(Event(most_segments=session.most_segments))
    stop_conditions = StopConditions(requests, heartbeat, job.memory, device_name(job.memory), work.stop_at)
    if session.built.note and job.attempt == 1:
        heartbeat.event(Event(message=session.built.note))
    if work.cache is not None and work.cache.shards is not None:
        return extract(job, work, session, heartbeat, stop_conditions, requests)
    trainer = Trainer(job, work, session, heartbeat, stop_conditions, payload, predecoded)
    try:
        return trainer.run()
    except OutOfDeviceMemoryError:
        trainer.commit_if_behind()
        raise
