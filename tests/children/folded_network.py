"""Compare networks of Keras with their folded versions, each compiled as a graph, with the kernels of this environment.

Prints as JSON, by the names that are its arguments: how many BatchNormalization were folded, how far apart the features
are, relative to the largest, and whether the model's own graph is as it was.
"""

from __future__ import annotations

import json
import sys

import keras
import numpy as np

from autofit.worker.execution.steps import compile_forward
from autofit.worker.model.bn_folding import folded

SIDE = 96


def normalizations(model: keras.Model) -> int:
    """The number of BatchNormalization layers, also in the models inside."""
    inside = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    own = sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    return own + sum(map(normalizations, inside))


def compared(name: str) -> dict[str, object]:
    """Build, fold and compare the network."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    make = getattr(keras.applications, name)
    network = make(include_top=False, weights=None, input_shape=(SIDE, SIDE, 3), pooling="avg")
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for variable in layer.weights:
                variable.assign(variable + random.uniform(-0.2, 0.2, variable.shape))
    images = keras.Input((SIDE, SIDE, 3))
    model = keras.Model(images, network(keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)))
    before = model.get_config()
    runs = folded(model)
    photos = random.integers(0, 256, (4, SIDE, SIDE, 3), np.uint8)
    expected, given = (np.asarray(compile_forward(each)(photos)) for each in (model, runs))
    apart = float(np.abs(expected - given).max() / np.abs(expected).max())
    folds = normalizations(model) - normalizations(runs)
    return {"folds": folds, "apart": apart, "is_as_before": model.get_config() == before}


if __name__ == "__main__":
    print(json.dumps({name: compared(name) for name in sys.argv[1:]}))
