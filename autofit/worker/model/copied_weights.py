"""Sets the weights of a layer or a network, so that all of its layers compute with them."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from autofit.worker.model.keras_internals import all_layers


def set_weights(layer: keras.Layer, values: Sequence[np.ndarray]) -> None:
    """Set the weights of a layer or network.

    A Normalization computes with copies of its mean and variance, which Keras's own `set_weights` leaves as they were
    (keras/src/layers/preprocessing/normalization.py, Keras 3.13 to 3.15).

    Raises:
        ValueError: the number of weights or their shapes differ.
    """
    layer.set_weights(values)
    for each in (layer, *all_layers(layer)):
        if isinstance(each, keras.layers.Normalization):
            each.finalize_state()
