"""Train a whole backbone for a few steps in one precision; print the allocator's peak and the speed as JSON.

precision_steps.py BACKBONE PRECISION IMAGES SIDE STEPS; BFC's limit and oneDNN are set by the environment.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, cast

import numpy as np
import tensorflow as tf

from autofit.config.backbones import ModelSpec, Precision
from autofit.protocol.job import ModelSource
from autofit.worker.execution.loss_scale import LossScale
from autofit.worker.execution.sliced_model import SplitNetwork
from autofit.worker.execution.step_options import StepOptions
from autofit.worker.execution.steps import TrainStep
from autofit.worker.model.builder import build
from autofit.worker.model.objective import make_objective
from autofit.worker.runtime.memory import CPU, peak_bytes, reset_peak

CLASSES = 10


def measured(backbone: str, precision: Precision, images: int, side: int, steps: int) -> dict[str, Any]:
    """The peak in bytes and the images a second of steps after the first, which traces."""
    spec = ModelSpec(backbone=backbone, weights="none", image_size=(side, side), trainable="all", precision=precision)
    built = build(spec, CLASSES, lambda _: None)
    assert built.head is not None  # noqa: S101 - a backbone has a head
    source = ModelSource(spec=spec, num_classes=CLASSES, optimizer="adam", learning_rate=1e-3)
    step = TrainStep(
        SplitNetwork(built.features, built.head, built.head_layers),
        make_objective(built.model, source, compiled=False),
        tf.TensorSpec((None, side, side, 3), tf.uint8),
        StepOptions(loss_scale=LossScale() if precision == "mixed_float16" else None),
    )
    pixels = np.random.default_rng(0).integers(0, 256, (images, side, side, 3), np.uint8)
    batch = pixels, np.arange(images) % CLASSES, np.ones(images, np.float32)
    step.commit(step.accumulate(*batch, images), images)
    reset_peak(CPU)
    began = time.monotonic()
    for _ in range(steps):
        step.commit(step.accumulate(*batch, images), images)
    return {"peak_bytes": peak_bytes(CPU), "images_per_second": images * steps / (time.monotonic() - began)}


if __name__ == "__main__":
    name, numbers, *sizes = sys.argv[1:]
    print(json.dumps(measured(name, cast("Precision", numbers), *map(int, sizes))))
