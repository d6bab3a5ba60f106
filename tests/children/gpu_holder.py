"""Hold so many bytes of a GPU, as a notebook does that has used TensorFlow; says "held", and ends with its stdin."""

import os
import sys

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_FORCE_GPU_ALLOW_GROWTH="true", KERAS_BACKEND="tensorflow")

import tensorflow as tf

held = tf.ones((int(sys.argv[1]) // 4,))
float(tf.reduce_sum(held[:8]))
print("held", flush=True)
sys.stdin.read()
