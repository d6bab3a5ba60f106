"""An optimizer's update, one variable after another: the same bits, with the temporaries of one variable at a time.

TensorFlow runs the updates of all variables at once, since they do not depend on each other, so their temporaries take
several times the memory of the weights. If memory is short, that may be more than the activations of an image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from autofit.worker.model.optimizer import each_of


@contextmanager
def one_after_another(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """In a graph that is traced inside of the block, each `update_step` waits for the assignments of the one before.

    So do those of the optimizers among which this one divides the variables. What an optimizer does for all variables
    outside of `update_step`, such as clipping, is not changed.
    """
    before = list[tf.Operation]()

    def waiting(update_step: Callable[..., None]) -> Callable[..., None]:
        def wait_and_update(gradient: Any, variable: Any, learning_rate: Any) -> None:
            graph = tf.compat.v1.get_default_graph()
            known = len(graph.get_operations())
            with tf.control_dependencies([op for op in before if op.graph is graph]):
                update_step(gradient, variable, learning_rate)
            made = graph.get_operations()[known:]
            before[:] = [op for op in made if "Assign" in op.type or "Scatter" in op.type] or before

        return wait_and_update

    for one in each_of(optimizer):
        vars(one)["update_step"] = waiting(one.update_step)  # set in this way, since Keras tracks attributes
    try:
        yield
    finally:
        for one in each_of(optimizer):
            del vars(one)["update_step"]
