"""The devices that a job trains on, the scope for their variables, and which trainings they cannot do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from autofit.errors import UserError
from autofit.protocol.job import Job, TrialsJob
from autofit.worker.model.builder import BuiltModel
from autofit.worker.model.keras_internals import all_layers
from autofit.worker.runtime.devices import devices_of


def open_strategy(job: Job) -> tf.distribute.MirroredStrategy | None:
    """The strategy for the devices of a job, which were set up together with the allocator; None for one device.

    Raises:
        UserError: there are fewer devices than asked for.
    """
    asked, kind = devices_of(job), job.memory.device.upper()
    if asked == 1:
        return None
    found = [device.name for device in tf.config.list_logical_devices(kind)]
    count = len(found) if asked == "all" else asked
    if count > len(found):
        raise UserError(f"devices {count}: TensorFlow finds {len(found)} of kind {kind}: give devices='all'")
    without_collectives = tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(found[:count], without_collectives) if count > 1 else None


def replicas_of(job: Job, strategy: tf.distribute.Strategy | None) -> int:
    """The number of devices of a job's training; a trial runs on one of them, and measures its share."""
    if isinstance(job.work, TrialsJob):
        return job.work.devices
    return 1 if strategy is None else int(strategy.num_replicas_in_sync)


def scope_of(strategy: tf.distribute.Strategy | None) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """A function that opens the scope in which variables are made with a copy on each device."""
    return contextlib.nullcontext if strategy is None else strategy.scope


def require_replicable(built: BuiltModel, count: int) -> None:
    """Refuse a training that is not possible on several devices.

    Raises:
        UserError: it is not; the message says why, and what to do.
    """
    layers = all_layers(built.model)
    why = ""
    if any(isinstance(layer, keras.layers.BatchNormalization) and layer.trainable for layer in layers):
        why = (
            "BatchNormalization would take its statistics from the images of one device: give devices=1, or a network "
            "whose BatchNormalization is frozen, as in one with pretrained weights"
        )
    elif built.compiled:
        why = (
            "the optimizer and the metrics of a compiled model are made for one device: leave it uncompiled and give "
            "loss, metrics and optimizer as options, or give devices=1"
        )
    if why:
        raise UserError(f"devices {count}: {why}")
