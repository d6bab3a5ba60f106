"""Print the allocator's peaks in training steps, in bytes: a line with activations kept, one with recompute."""

import os

os.environ.update(
    TF_CPU_ALLOCATOR_USE_BFC="true",
    TF_CPU_BFC_MEM_LIMIT_IN_MB="2000",
    KERAS_BACKEND="tensorflow",
    TF_ENABLE_ONEDNN_OPTS="0",
)

import keras
import numpy as np
import tensorflow as tf

from autofit.config.backbones import ModelSpec
from autofit.protocol.job import ModelSource
from autofit.worker.execution.sliced_model import WholeNetwork
from autofit.worker.execution.steps import TrainStep
from autofit.worker.model.objective import make_objective
from autofit.worker.runtime import tf_settings
from autofit.worker.runtime.memory import CPU, peak_bytes, reset_peak

SIZE, COUNT, CLASSES, STEPS = (48, 48), 16, 3, 10
WIDTHS = [4, 24] * 10


def chain() -> keras.Model:
    """Blocks with few and with many channels, in turn."""
    inputs = flow = keras.Input((*SIZE, 3))
    for width in WIDTHS:
        flow = keras.layers.ReLU()(
            keras.layers.BatchNormalization()(keras.layers.Conv2D(width, 3, padding="same")(flow))
        )
    return keras.Model(inputs, keras.layers.Dense(CLASSES, "softmax")(keras.layers.GlobalAveragePooling2D()(flow)))


def peaks(model: keras.Model, segments: int) -> list[int]:
    """The peak of each step after the first one, which traces."""
    spec = ModelSpec(backbone=None, weights="none", image_size=SIZE, trainable="all")
    source = ModelSource(spec=spec, num_classes=CLASSES, optimizer="sgd", learning_rate=1e-3)
    objective = make_objective(model, source, compiled=False)
    step = TrainStep(WholeNetwork(model, segments), objective, tf.TensorSpec((None, *SIZE, 3), tf.uint8))
    given = np.zeros((COUNT, *SIZE, 3), np.uint8), np.arange(COUNT) % CLASSES, np.ones(COUNT, np.float32)
    step.accumulate(*given, COUNT)
    found = []
    for _ in range(STEPS):
        reset_peak(CPU)
        step.accumulate(*given, COUNT)
        found.append(peak_bytes(CPU))
    return found


if __name__ == "__main__":
    tf_settings.compute_in_order()
    network = chain()
    print(*peaks(network, 0))
    print(*peaks(network, 8))
