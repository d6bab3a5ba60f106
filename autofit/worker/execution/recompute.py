"""Gradient checkpointing: computes activations again in the backward pass, segment by segment, and does not keep them.

Each segment is a function without side effects, with a custom gradient: from its input, weights and state to its output
and new state. So its moving averages are updated once, by the first computation; and the second one draws the same
random numbers, since it starts from the same state of the seed generators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from autofit.worker.model.segments import Segment, can_be_cut, segments_of


class Recomputed:
    """A functional or sequential network whose activations are computed again; called inside a stateless scope.

    The last segment keeps its activations: the backward pass begins with it, so no memory would be saved.

    Args:
        network: the network.
        count: the largest number of segments.

    Attributes:
        losses: the losses that layers added in the last call, without those of the last segment, which the network has
            itself.
    """

    def __init__(self, network: keras.Model, count: int) -> None:
        self._segments = segments_of(network, count)
        self.losses: list[tf.Tensor] = []

    def __call__(self, flow: tf.Tensor, **keywords: Any) -> tf.Tensor:
        """Compute the network's output."""
        *before, last = self._segments
        self.losses = []
        for segment in before:
            flow, losses = _recomputed(segment, flow, keywords)
            self.losses += losses
        return last(flow, **keywords)


def recomputed(network: keras.Model | keras.Layer, count: int) -> Callable[..., tf.Tensor]:
    """The network, or layer, in `count` segments whose activations are computed again.

    It is returned as it is if `count` is 0, or if it cannot be cut into segments.
    """
    return Recomputed(network, count) if count and can_be_cut(network) else network


def _recomputed(segment: Segment, inputs: tf.Tensor, keywords: dict[str, Any]) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The output of a segment and the losses that its layers add; its new state is set in the surrounding scope."""
    trainable, state = segment.trainable_variables, segment.non_trainable_variables
    kept = [tf.convert_to_tensor(variable.value) for variable in state]
    changed: list[keras.Variable] = []

    def run(flow: tf.Tensor, weights: Sequence[tf.Tensor]) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """The output and the losses; and the new values of the state variables that have changed."""
        mapping = [*zip(trainable, weights, strict=True), *zip(state, kept, strict=True)]
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
            before = [scope.get_current_value(variable) for variable in state]
            output = segment(flow, **keywords)
        after = [scope.get_current_value(variable) for variable in state]
        changed[:] = [v for v, one, other in zip(state, before, after, strict=True) if one is not other]
        new = [tf.convert_to_tensor(scope.get_current_value(variable)) for variable in changed]
        return [output, *map(tf.convert_to_tensor, scope.losses)], new

    @tf.custom_gradient
    def once(flow: tf.Tensor, *weights: tf.Tensor) -> Any:
        results, new = run(flow, weights)

        def backward(*upstream: tf.Tensor) -> list[tf.Tensor]:
            upstream = upstream[: len(results)]
            zero = _zero_after(upstream[0])
            again = flow + tf.cast(zero, flow.dtype)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([again, *weights])
                repeated, _ = run(again, weights)
            wanted = [again, *weights]
            none = tf.UnconnectedGradients.ZERO
            return list(tape.gradient(repeated, wanted, output_gradients=upstream, unconnected_gradients=none))

        return (*results, *new), backward

    outputs = once(inputs, *(tf.convert_to_tensor(variable.value) for variable in trainable))
    count = len(outputs) - len(changed)
    for variable, value in zip(changed, outputs[count:], strict=True):
        variable.assign(value)
    return outputs[0], list(outputs[1:count])


def _zero_after(gradient: tf.Tensor) -> tf.Tensor:
    """A zero that depends on the gradient, so that what is computed from it cannot begin before the backward pass.

    Without it TensorFlow would see that the second computation equals the first one, and would keep the first one's
    results. A control dependency would do in a graph, but not where the graph is compiled.
    """
    first = tf.reshape(gradient, [-1])[:1]
    never = tf.math.is_nan(first) & tf.math.is_inf(first)
    return tf.reduce_sum(tf.cast(never, tf.float32))
