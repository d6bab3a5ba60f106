"""Print the allocator's peak in a training step without and with activations computed again, in bytes."""

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
from autofit.worker.runtime.memory import CPU, peak_bytes, reset_peak

SIZE, COUNT, BLOCKS, CLASSES = (48, 48), 16, 14, 3


def chain() -> keras.Model:
    """Blocks that are alike."""
    inputs = flow = keras.Input((*SIZE, 3))
    for _ in range(BLOCKS):
        flow = keras.layers.ReLU()(keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3, padding="same")(flow)))
    return keras.Model(inputs, keras.layers.Dense(CLASSES, "softmax")(keras.layers.GlobalAveragePooling2D()(flow)))


def peak(model: keras.Model, segments: int) -> int:
    """The peak of the second step: the first one traces."""
    spec = ModelSpec(backbone=None, weights="none", image_size=SIZE, trainable="all")
    source = ModelSource(spec=spec, num_classes=CLASSES, optimizer="sgd", learning_rate=1e-3)
    objective = make_objective(model, source, compiled=False)
    step = TrainStep(WholeNetwork(model, segments), objective, tf.TensorSpec((None, *SIZE, 3), tf.uint8))
    given = np.zeros((COUNT, *SIZE, 3), np.uint8), np.arange(COUNT) % CLASSES, np.ones(COUNT, np.float32)
    step.accumulate(*given, COUNT)
    reset_peak(CPU)
    step.accumulate(*given, COUNT)
    return peak_bytes(CPU)


if __name__ == "__main__":
    network = chain()
    print(peak(network, 0), peak(network, 6))
