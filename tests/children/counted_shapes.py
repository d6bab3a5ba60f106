"""Train inline and count the batch shapes that convolutions see; started by `test_padding.py`.

counted_shapes.py PHOTOS WEIGHTS FOLDER

Prints a line of JSON: for each run the numbers of images that its first convolution saw, its history, and how often it
ran out of memory. A run named `padded-…` pads its slices as on a GPU.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(TF_ENABLE_ONEDNN_OPTS="0", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")

import keras
import numpy as np
import tensorflow as tf

import autofit
from autofit.worker.execution import session, steps

PHOTOS, WEIGHTS, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])
SEEN: set[int] = set()


def noted(count: Any) -> Any:
    """Keep how many images a convolution sees; called when it runs, also inside a loop of the graph."""
    SEEN.add(int(count))
    return np.float32(0)


def counting(call: Callable[..., Any]) -> Callable[..., Any]:
    """A convolution of three channels, the first one, that tells its batch size when it runs."""

    def call_and_count(self: Any, inputs: Any) -> Any:
        outputs = call(self, inputs)
        if inputs.shape[-1] != 3 or not tf.is_tensor(inputs):
            return outputs
        zero = tf.numpy_function(noted, [tf.shape(inputs)[0]], tf.float32)
        zero.set_shape(())
        return outputs + zero

    return call_and_count


def train(name: str, **options: Any) -> dict[str, Any]:
    """One run, and what its first convolution saw."""
    SEEN.clear()
    session.PADS["cpu"] = name.startswith("padded")
    request: dict[str, Any] = {"backbone": "MobileNet", "weights": WEIGHTS, "image_size": 32, "epochs": 2}
    given = {**request, "batch_size": 16, "isolation": "inline", **options}
    result = autofit.run(PHOTOS, run_dir=FOLDER / name, **given)
    return {"shapes": sorted(SEEN), "history": result.history}


def counted(compile_forward: Callable[..., Any]) -> Callable[..., Any]:
    """The frozen backbone, which is folded and has no such convolution, that tells its batch size as well."""

    def compile_and_count(*given: Any) -> Any:
        forward = compile_forward(*given)

        def count(images: Any) -> Any:
            noted(len(images))
            return forward(images)

        return count

    return compile_and_count


if __name__ == "__main__":
    keras.layers.Conv2D.call = counting(keras.layers.Conv2D.call)
    setattr(session, "compile_forward", counted(steps.compile_forward))  # noqa: B010 - a function for mypy
    whole = {"recipe": "classic", "trainable": "all", "learning_rate": 1e-6, "epochs": 1}
    runs: dict[str, dict[str, Any]] = {
        "plain-whole": whole,
        "padded-whole": whole,
        "padded-cached": {"micro_batch_size": 16},
        "padded-ramp": {"feature_cache": "off", "batch_size": "auto", "batch_schedule": "16:4"},
    }
    print(json.dumps({name: train(name, **options) for name, options in runs.items()}))
