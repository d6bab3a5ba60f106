"""Write the weights of a backbone with calibrated BatchNormalization: `calibrate.py BACKBONE FILE`."""

import os
import sys

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="-1")

import keras
import numpy as np

backbone, weights = sys.argv[1:]
keras.utils.set_random_seed(0)
network = getattr(keras.applications, backbone)(include_top=False, weights=None, input_shape=(96, 96, 3))
for layer in network.layers:
    if isinstance(layer, keras.layers.BatchNormalization):
        layer.momentum = 0.0  # the averages are then those of the only batch
images = np.random.default_rng(0).integers(0, 256, (32, 96, 96, 3)).astype("float32") / 127.5 - 1
network(images, training=True)
network.save_weights(weights)
