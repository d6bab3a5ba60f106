"""The extraction job: fills the cache with features of the images, and trains nothing."""

from __future__ import annotations

import time
from pathlib import Path

from autofit.cache.identity import identities_of
from autofit.input.drive_patience import DrivePatience
from autofit.input.identified_files import IdentifiedFiles
from autofit.input.views import ViewIndex
from autofit.protocol.job import Event, Job, TrainJob
from autofit.storage.run_directory import RunDirectory
from autofit.worker.execution.session import Session
from autofit.worker.features.extractor import Photos
from autofit.worker.features.shard_extraction import ShardExtraction
from autofit.worker.model.weights import frozen_hash
from autofit.worker.runtime.control_pipe import Requests
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.stop_conditions import StopConditions
from autofit.worker.training.epoch_plan import index_of
from autofit.worker.training.source_opener import image_loader, image_reader


def extract(
    job: Job,
    work: TrainJob,
    session: Session,
    heartbeat: Heartbeat,
    stop_conditions: StopConditions,
    requests: Requests,
) -> str:
    """Extract the features of all images of a part, and return the SHA-256 of the backbone's weights.

    If shards are extracted on request, it does not return, but goes on until the parent asks it to stop.

    Raises:
        StopRequested: the worker was asked to stop; the shards that it has committed are kept.
        OutOfDeviceMemoryError: not even a single image fits.
        StorageError: the cache cannot be written.
    """
    assert work.cache is not None and session.built.features is not None  # noqa: S101, PT018
    index = index_of(work, RunDirectory(Path(work.run_dir)))

    def go_on() -> None:
        heartbeat.beat()
        stop_conditions.stop_if_met()

    patience = DrivePatience(lambda line: heartbeat.event(Event(message=line)), go_on)
    paths = map(index.path, range(len(index.paths)))
    since = time.time()
    images = identities_of(paths, work.cache.by, heartbeat.beat, patience.result)
    view_index = ViewIndex(index.train_count, index.validation_count, 1, augmented=False)
    identities = view_index.identities(images)
    backbone_sha256 = frozen_hash(session.built.features.variables)
    reader = image_reader(job, work, index)
    reader.watch(IdentifiedFiles(images, work.cache.by, index.path, since))
    try:
        with image_loader(job, work, index, patience) as loader:
            photos = Photos(index.path, identities, reader.of_views(view_index, identities))
            extraction = ShardExtraction(job, session, backbone_sha256, photos, heartbeat, stop_conditions)
            if work.cache.shards is not None and work.cache.shards.on_request:
                extraction.answer(requests.shards, loader)
            else:
                extraction.run(loader)
    finally:
        reader.close()
    return backbone_sha256
