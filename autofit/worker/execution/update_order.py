"""An optimizer's update, one variable after another: the same bits, with the temporaries of one variable at a time.

TensorFlow runs the updates of all variables at once, since they do not depend on each other, so their temporaries take
several times the memory of the weights. If memory is short, that may be more than the activations of an image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf


@contextmanager
def one_after_another(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """In a graph that is traced inside of the block, each `update_step` waits for the assignments of the one before.

    What an optimizer does for all variables outside of `update_step`, such as clipping, is not changed.
    """
    update_step, before = optimizer.update_step, list[tf.Operation]()

    def wait_and_update(gradient: Any, variable: Any, learning_rate: Any) -> None:
        graph = tf.compat.v1.get_default_graph()
        known = len(graph.get_operations())
        with tf.control_dependencies([op for op in before if op.graph is graph]):
            update_step(gradient, variable, learning_rate)
        made = graph.get_operations()[known:]
        before[:] = [op for op in made if "Assign" in op.type or "Scatter" in op.type] or before

    vars(optimizer)["update_step"] = wait_and_update  # set in this way, since Keras tracks attributes
    try:
        yield
    finally:
        del vars(optimizer)["update_step"]


def copies_outside(optimizer: keras.optimizers.Optimizer) -> int:
    """How many copies of all variables an update may hold outside of `update_step`."""
    clips = any((optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm))
    return clips + 2 * bool(optimizer.weight_decay) + 2 * bool(optimizer.use_ema)
