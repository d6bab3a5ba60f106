"""An optimizer's update, one variable after another: the same bits, with the temporaries of one variable at a time.

TensorFlow runs the updates of different variables at once, as they do not depend on each other, and their temporaries
are several copies of all weights. Where memory is short, that is more than the activations of an image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf


@contextmanager
def one_after_another(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """While a graph is traced within, each `update_step` begins when the assignments of the one before are done.

    What an optimizer does for all variables outside of it, such as clipping, is as before.
    """
    update_step, before = optimizer.update_step, list[tf.Operation]()

    def wait_and_update(gradient: Any, variable: Any, learning_rate: Any) -> None:
        graph = tf.compat.v1.get_default_graph()
        known = len(graph.get_operations())
        with tf.control_dependencies([op for op in before if op.graph is graph]):
            update_step(gradient, variable, learning_rate)
        made = graph.get_operations()[known:]
        before[:] = [op for op in made if "Assign" in op.type or "Scatter" in op.type] or before

    vars(optimizer)["update_step"] = wait_and_update  # Keras would track an attribute that is set
    try:
        yield
    finally:
        del vars(optimizer)["update_step"]


def copies_outside(optimizer: keras.optimizers.Optimizer) -> int:
    """How many copies of all variables an update may hold beside those of its `update_step`."""
    clips = any((optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm))
    return clips + 2 * bool(optimizer.weight_decay) + 2 * bool(optimizer.use_ema)
