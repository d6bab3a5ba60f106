"""Let memory run out between the gradients and the update, and print what had changed as one line of JSON."""

import json
import os

os.environ.update(
    TF_CPP_MIN_LOG_LEVEL="3",
    KERAS_BACKEND="tensorflow",
    CUDA_VISIBLE_DEVICES="-1",
    TF_ENABLE_ONEDNN_OPTS="0",
    TF_CPU_ALLOCATOR_USE_BFC="true",
    TF_CPU_BFC_MEM_LIMIT_IN_MB="1200",
)

import keras
import numpy as np
import tensorflow as tf

from autofit.config.backbones import ModelSpec
from autofit.protocol.job import ModelSource
from autofit.worker.execution.sliced_model import WholeNetwork
from autofit.worker.execution.steps import TrainStep
from autofit.worker.model.objective import make_objective
from autofit.worker.runtime.exceptions import OutOfDeviceMemoryError

tf.raw_ops.Empty(shape=[1196, 2**20], dtype=tf.uint8, init=False)  # one region, as the worker has it
model = keras.Sequential(
    [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(6000), keras.layers.Dense(3, "softmax")]
)  # 18 million weights: 74 MB, and Adam holds twice as much again
spec = ModelSpec(backbone=None, weights="none", image_size=(32, 32), trainable="all")
source = ModelSource(spec=spec, num_classes=3, optimizer="adam", learning_rate=1e-3)
objective = make_objective(model, source, compiled=False)
step = TrainStep(WholeNetwork(model), objective, tf.TensorSpec((None, 32, 32, 3), tf.uint8))


def weights() -> list[np.ndarray]:
    return [variable.value.numpy() for variable in [*model.variables, *objective.optimizer.variables]]


images, labels = np.zeros((4, 32, 32, 3), np.uint8), np.zeros(4, np.int64)
step.commit(step.accumulate(images, labels, np.ones(4, np.float32), 4), 4)
computed = step.accumulate(images, labels, np.ones(4, np.float32), 4)
before = weights()
free_bytes = 1200 * 2**20 - tf.config.experimental.get_memory_info("CPU:0")["current"]
hog = tf.zeros([free_bytes - 150 * 2**20], tf.uint8)  # leaves room for one copy of the weights, not for three
try:
    step.commit(computed, 4)
    raised = "nothing"
except OutOfDeviceMemoryError as error:
    raised = type(error).__name__
after = weights()
print(
    json.dumps(
        {
            "raised": raised,
            "iterations": int(objective.optimizer.iterations.value.numpy()),
            "weights_changed": any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True)),
            "metric_count": int(objective.metrics[0].count.value.numpy()),
        }
    )
)
