"""Steps of a MobileNetV2 at 160 px under one setting of TensorFlow: how many images a second.

The same functions that autofit's worker compiles, on random images: `extract` runs the frozen network on 32, `train`
makes an update of all weights from 16. What is set by environment variables is set by whoever starts this program.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

BACKBONE, IMAGE_SIZE, CLASSES = "MobileNetV2", (160, 160), 6
BATCH = {"extract": 32, "train": 16}
WARM_UP_STEPS = 3

Step = Callable[[], Any]


def take_allocator() -> None:
    """Where BFC is asked for, as the worker does: the whole limit is one region."""
    if os.environ.get("TF_CPU_ALLOCATOR_USE_BFC") == "true":
        from autofit.worker.runtime.memory import reserve_arena  # noqa: PLC0415 - as above
        from autofit.worker.runtime.tf_settings import CONTEXT_ARENA_MB  # noqa: PLC0415 - after the threads are set

        reserve_arena(int(os.environ["TF_CPU_BFC_MEM_LIMIT_IN_MB"]) - CONTEXT_ARENA_MB)


def set_threads(intra: int, inter: int) -> None:
    """Threads inside an operation and between operations; 0 leaves TensorFlow's own number."""
    import tensorflow as tf  # noqa: PLC0415 - the settings are read while it is imported

    tf.config.threading.set_intra_op_parallelism_threads(intra)
    tf.config.threading.set_inter_op_parallelism_threads(inter)


def extraction(images: np.ndarray, *, xla: bool, folds: bool) -> Step:
    """The frozen backbone's forward pass on uint8 images `(n, height, width, 3)`."""
    import tensorflow as tf  # noqa: PLC0415 - as above

    from autofit.config.backbones import ModelSpec  # noqa: PLC0415 - as above
    from autofit.worker.execution.steps import compile_forward  # noqa: PLC0415 - as above
    from autofit.worker.model.bn_folding import folded  # noqa: PLC0415 - as above
    from autofit.worker.model.builder import build  # noqa: PLC0415 - as above

    spec = ModelSpec(backbone=BACKBONE, weights="none", image_size=IMAGE_SIZE, trainable="head")
    features = build(spec, CLASSES, lambda _: None).features
    forward = compile_forward(folded(features) if folds else features)
    if xla:
        forward = tf.function(forward, jit_compile=True)
    return lambda: np.asarray(forward(images))


def training(images: np.ndarray) -> Step:
    """One update of all weights, BatchNormalization training."""
    import tensorflow as tf  # noqa: PLC0415 - as above

    from autofit.config.backbones import ModelSpec  # noqa: PLC0415 - as above
    from autofit.protocol.job import ModelSource  # noqa: PLC0415 - as above
    from autofit.worker.execution.sliced_model import SplitNetwork  # noqa: PLC0415 - as above
    from autofit.worker.execution.steps import TrainStep  # noqa: PLC0415 - as above
    from autofit.worker.model.builder import build  # noqa: PLC0415 - as above
    from autofit.worker.model.objective import make_objective  # noqa: PLC0415 - as above

    spec = ModelSpec(backbone=BACKBONE, weights="none", image_size=IMAGE_SIZE, trainable="all")
    source = ModelSource(spec=spec, num_classes=CLASSES, optimizer="adam", learning_rate=1e-4)
    built = build(spec, CLASSES, lambda _: None)
    assert built.head is not None  # noqa: S101 - a backbone was asked for
    objective = make_objective(built.model, source, compiled=False)
    network = SplitNetwork(built.features, built.head, built.head_layers)
    step = TrainStep(network, objective, tf.TensorSpec((None, *IMAGE_SIZE, 3), tf.uint8))
    count = len(images)
    labels, weights = np.arange(count) % CLASSES, np.ones(count, np.float32)
    return lambda: step.commit(step.accumulate(images, labels, weights, count), count)


def measured(step: Step, images: int, seconds: float) -> dict[str, float]:
    """Images a second, by the median step, and a second of processor time; the first steps trace and do not count."""
    for _ in range(WARM_UP_STEPS):
        step()
    taken: list[float] = []
    cpu_began = time.process_time()
    while sum(taken) < seconds:
        began = time.monotonic()
        step()
        taken.append(time.monotonic() - began)
    cpu_seconds = time.process_time() - cpu_began
    return {
        "images_per_second": images / statistics.median(taken),
        "images_per_cpu_second": images * len(taken) / cpu_seconds,
    }


def random_images(count: int) -> np.ndarray:
    """uint8 images `(count, height, width, 3)`, aligned, so that TensorFlow takes them without a copy."""
    from autofit.input.aligned_array import aligned  # noqa: PLC0415 - as above

    return aligned(np.random.default_rng(0).integers(0, 256, (count, *IMAGE_SIZE, 3), np.uint8))


def main() -> None:
    """Set, build, warm up, measure, and print the one line that the benchmark reads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", choices=BATCH, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--intra", type=int, default=0, help="threads inside an operation")
    parser.add_argument("--inter", type=int, default=0, help="threads between operations")
    parser.add_argument("--plain", action="store_true", help="extract without folding BatchNormalization")
    parser.add_argument("--xla", action="store_true", help="compile the extraction with XLA")
    parser.add_argument("--deterministic", action="store_true", help="only deterministic operations")
    parser.add_argument("--precision", default="float32", help="Keras's dtype policy")
    asked = parser.parse_args()
    set_threads(asked.intra, asked.inter)
    take_allocator()
    if asked.deterministic:
        from autofit.worker.runtime.tf_settings import make_deterministic  # noqa: PLC0415 - as above

        make_deterministic()
    import keras  # noqa: PLC0415 - as above

    keras.config.set_dtype_policy(asked.precision)
    images = random_images(BATCH[asked.work])
    step = extraction(images, xla=asked.xla, folds=not asked.plain) if asked.work == "extract" else training(images)
    print(json.dumps(measured(step, len(images), asked.seconds)))


if __name__ == "__main__":
    main()
