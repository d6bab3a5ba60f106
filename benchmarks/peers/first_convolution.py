"""The least that a program with TensorFlow can take until its device computes: the import and one convolution.

Prints a line of JSON: readings of the monotonic clock when TensorFlow was imported and when the convolution was done.
"""

from __future__ import annotations

import json
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf


def main() -> None:
    """Convolve once, wait for the result, and print the readings."""
    imported = time.monotonic()
    images, kernel = tf.ones((32, 224, 224, 3)), tf.ones((3, 3, 3, 32))
    float(tf.reduce_sum(tf.nn.conv2d(images, kernel, strides=2, padding="SAME")))
    print(json.dumps({"imported": imported, "convolved": time.monotonic()}))


if __name__ == "__main__":
    main()
