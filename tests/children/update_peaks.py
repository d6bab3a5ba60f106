"""Print what an update takes beside what is there before it, all variables at once and one by one, in copies of these.

For each optimizer a line: what the update itself takes and what is reserved for it, at once and then one by one.
"""

import os
from collections.abc import Callable
from dataclasses import replace

os.environ.update(
    TF_CPU_ALLOCATOR_USE_BFC="true",
    TF_CPU_BFC_MEM_LIMIT_IN_MB="2000",
    KERAS_BACKEND="tensorflow",
    TF_ENABLE_ONEDNN_OPTS="0",
    TF_CPP_MIN_LOG_LEVEL="2",
)

import keras
import numpy as np
import tensorflow as tf

from autofit.config.backbones import ModelSpec
from autofit.protocol.job import ModelSource
from autofit.worker.execution.sliced_model import WholeNetwork
from autofit.worker.execution.step_options import StepOptions
from autofit.worker.execution.steps import TrainStep
from autofit.worker.model.objective import make_objective
from autofit.worker.runtime.memory import CPU, device_bytes_reader, peak_bytes, reset_peak

LAYERS, WIDTH, CLASSES, SIZE = 16, 256, 3, (8, 8)
OPTIMIZERS: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(1e-3),
    "adamw": lambda: keras.optimizers.AdamW(1e-3, weight_decay=0.01, clipnorm=1.0),
    "ema": lambda: keras.optimizers.Adam(1e-3, use_ema=True, global_clipnorm=1.0),
    "accumulating": lambda: keras.optimizers.Adam(1e-3, gradient_accumulation_steps=3),
    "clipping_sum": lambda: keras.optimizers.AdamW(1e-3, 0.01, clipnorm=1.0, gradient_accumulation_steps=3),
}
if hasattr(keras.optimizers, "MultiOptimizer"):
    OPTIMIZERS["divided"] = lambda: keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(keras.optimizers.Adam(1e-3), {".*bias": keras.optimizers.SGD(0.01)})
    )


def chain() -> keras.Model:
    """Layers that are alike."""
    inputs = keras.Input((*SIZE, 3))
    flow = keras.layers.Flatten()(inputs)
    for _ in range(LAYERS):
        flow = keras.layers.Dense(WIDTH, "relu")(flow)
    return keras.Model(inputs, keras.layers.Dense(CLASSES, "softmax")(flow))


def copies(optimizer: keras.optimizers.Optimizer, *, one_by_one: bool) -> tuple[float, float]:
    """What the third update takes and what is reserved, in copies of all variables."""
    model = chain()
    spec = ModelSpec(backbone=None, weights="none", image_size=SIZE, trainable="all")
    source = ModelSource(spec=spec, num_classes=CLASSES, optimizer="sgd", learning_rate=1e-3)
    objective = replace(make_objective(model, source, compiled=False), optimizer=optimizer)
    optimizer.build(model.trainable_variables)
    images = tf.TensorSpec((None, *SIZE, 3), tf.uint8)
    step = TrainStep(WholeNetwork(model), objective, images, StepOptions(one_by_one=one_by_one))
    reserved, step._reserve = int(step._reserve), tf.constant(1, tf.int64)
    given = np.zeros((4, *SIZE, 3), np.uint8), np.arange(4) % CLASSES, np.ones(4, np.float32)
    all_bytes = 4 * sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    for _ in range(3):
        computed = step.accumulate(*given, 4)
        reset_peak(CPU)
        before = device_bytes_reader(CPU)()
        step.commit(computed, 4)
    return (peak_bytes(CPU) - before) / all_bytes, 4 * reserved / all_bytes


if __name__ == "__main__":
    for name, make in OPTIMIZERS.items():
        print(name, *copies(make(), one_by_one=False), *copies(make(), one_by_one=True))
