"""Run out of a gigabyte of a GPU, then take most of it at once; prints what happened as JSON."""

import json
import os

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")

import tensorflow as tf

LIMIT_MB = 1024
card = tf.config.list_physical_devices("GPU")[0]
tf.config.set_logical_device_configuration(card, [tf.config.LogicalDeviceConfiguration(memory_limit=LIMIT_MB)])


def taken() -> int:
    """Bytes in use in the allocator."""
    return int(tf.config.experimental.get_memory_info("GPU:0")["current"])


def take(megabytes: int) -> bool:
    """Take so much at once, use it, and give it back."""
    return float(tf.reduce_sum(tf.ones((megabytes, 2**18)))) > 0


take(16)
before, raised = taken(), ""
try:
    parts = []
    while True:
        parts.append(tf.ones((100, 2**18)))
except tf.errors.OpError as error:
    raised = type(error).__name__
del parts
print(
    json.dumps(
        {
            "raised": raised,
            "bytes_before": before,
            "bytes_after": taken(),
            "fitted_afterwards": take(int(0.8 * LIMIT_MB)),
        }
    )
)
