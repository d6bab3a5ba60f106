"""What a job does before its work: limit the allocator, load the user's objects, build the network."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from autofit.protocol.job import Event, Job, TrainJob
from autofit.protocol.messages import Phase
from autofit.protocol.model_jobs import ExportJob, PredictJob
from autofit.protocol.payload import Payload
from autofit.worker.model.registered_objects import not_registered
from autofit.worker.runtime import tf_settings
from autofit.worker.runtime.devices import devices_of
from autofit.worker.runtime.heartbeat import Heartbeat
from autofit.worker.runtime.keras_config import use_own_settings
from autofit.worker.runtime.memory import device_bytes_reader

if TYPE_CHECKING:
    import keras

    from autofit.worker.execution.session import Session

LoadPayload = Callable[[], Payload | None]


def limit_allocator(job: Job, heartbeat: Heartbeat) -> None:
    """Set the limit of TensorFlow's allocator and report it; say which settings of Keras are not used.

    Raises:
        UserError: the memory limit is below what the process itself needs.
        ShortOfMemoryError: no limit was given, and the host has too little memory left.
    """
    said = use_own_settings() if job.isolated else ""
    if said and job.attempt == 1 and isinstance(job.work, TrainJob):
        heartbeat.event(Event(message=said))
    spec = job.source.spec if job.source else None
    trains = "head" if spec is None else "all" if spec.cut is not None else spec.trainable
    heartbeat.event(Event(allocator_bytes=tf_settings.limit_allocator(job.memory, trains, devices_of(job))))


def open_payload(job: Job, load_payload: LoadPayload) -> Payload | None:
    """Load the user's objects, which may name modules in the job's import paths.

    Raises:
        UserError: a class or function that they need is not registered with Keras.
    """
    sys.path.extend(path for path in job.import_paths if path not in sys.path)
    try:
        return load_payload()
    except (TypeError, ValueError) as error:
        raise not_registered(error) or error from error


def open_network(job: Job, heartbeat: Heartbeat, load_payload: LoadPayload) -> tuple[Session, Payload | None]:
    """Build the network of a job, by the user's function if there is one; returns it with the user's objects."""
    from autofit.worker.execution.session import open_session  # noqa: PLC0415 - Keras only after its settings are made

    payload = open_payload(job, load_payload)
    if job.isolated and payload and payload.folder:
        with suppress(OSError):  # it may have been removed, and most code uses no relative paths
            os.chdir(payload.folder)
    session = open_session(job, payload, heartbeat)
    heartbeat.phase(Phase.TRACE)
    return session, payload


def open_saved_model(
    job: Job, work: PredictJob | ExportJob, heartbeat: Heartbeat, load_payload: LoadPayload
) -> keras.Model:
    """Open the saved model of a job, with the user's classes that it needs.

    Raises:
        UserError: it needs a class that is not known here.
    """
    from autofit.worker.model.saved_model import open_model  # noqa: PLC0415

    limit_allocator(job, heartbeat)
    heartbeat.device_bytes = device_bytes_reader(tf_settings.device_name(job.memory))
    heartbeat.phase(Phase.BUILD)
    open_payload(job, load_payload)
    if work.module is not None:
        importlib.import_module(work.module)
    return open_model(Path(work.model_path), compiled=False)
