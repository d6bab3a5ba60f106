"""Preprocesses raw images as a backbone of `keras.applications` was trained on them."""

from __future__ import annotations

import keras

from autofit.config.backbones import Preprocessing

# `keras.applications.imagenet_utils.preprocess_input`: of RGB in 0..1, and of BGR in 0..255.
_TORCH_MEAN, _TORCH_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CAFFE_MEAN = (103.939, 116.779, 123.68)


def preprocess(images: keras.KerasTensor, preprocessing: Preprocessing) -> keras.KerasTensor:
    """Preprocess RGB images `(n, height, width, 3)` in 0..255 for the backbone, as its `preprocess_input` does."""
    if preprocessing == "tf":
        return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing")(images)
    if preprocessing == "torch":
        mean = [255 * value for value in _TORCH_MEAN]
        variance = [(255 * value) ** 2 for value in _TORCH_DEVIATION]
        return keras.layers.Normalization(mean=mean, variance=variance, name="preprocessing")(images)
    if preprocessing == "caffe":
        bgr = keras.ops.flip(images, axis=-1)
        return keras.layers.Rescaling(1.0, offset=[-value for value in _CAFFE_MEAN], name="preprocessing")(bgr)
    return images
