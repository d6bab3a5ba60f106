"""How many devices a job uses, and which of them TensorFlow may see. Nothing here imports TensorFlow."""

from __future__ import annotations

import os
from typing import Any

from autofit.machine.hardware import LOGICAL_CPUS_VARIABLE
from autofit.protocol.job import Devices, Job, TrainJob


def devices_of(job: Job) -> Devices:
    """How many devices a job uses: one, unless it trains layers of the backbone.

    A head on features is small, and a probe measures only one of several devices.
    """
    if not isinstance(job.work, TrainJob) or job.source is None:
        return 1
    spec = job.source.spec
    return 1 if spec.trainable == "head" and spec.cut is None else job.work.plan.devices


def logical_cpus(tf: Any, devices: Devices) -> None:
    """Divide the CPU into several logical devices if a test asks for that; to be called before the first operation."""
    asked = int(os.environ.get(LOGICAL_CPUS_VARIABLE) or 1)
    if devices != 1 and asked > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * asked)


def visible(gpus: list[Any], devices: Devices) -> list[Any]:
    """The GPUs that TensorFlow may see. The others are hidden, since TensorFlow wants the same settings for all."""
    return gpus if devices == "all" else gpus[:devices]
