"""Gradient checkpointing: computes activations again in the backward pass, segment by segment, and does not keep them.

Each segment is a function without side effects, with a custom gradient: from its input, weights and state to its output
and new state. So its moving averages are updated once, by the first computation; and the second one draws the same
random numbers, since it starts from the same state of the seed generators.

The backward pass goes from one part of a segment to the one before only when all gradients of the first are known.
Otherwise activations wait for the gradients of weights while earlier parts are computed again, and the peak is that of
two segments, in some steps and not in others.

A segment with an operation that has a state of its own, such as `tf.random.normal`, would draw other numbers in the
second computation, and its gradients be wrong: it keeps its activations.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from autofit.worker.execution.kept_weights import WatchedScope, refuse_lost_seeds, refuse_set_weights
from autofit.worker.model.keras_internals import shared_seed_states
from autofit.worker.model.segments import Segment, can_be_cut, segments_of

SAME_AGAIN = frozenset(
    {
        *("VarHandleOp", "ReadVariableOp", "Assert", "PrintV2"),
        *("StatelessRandomGetAlg", "StatelessRandomGetKeyCounter", "StatelessRandomGetKeyCounterAlg"),
    }
)
"""Operations that TensorFlow says to have a state, and whose second computation is the same as the first. What a seed
is turned into depends on the device."""


class Recomputed:
    """A functional or sequential network whose activations are computed again; called inside a stateless scope.

    The last segment keeps its activations: the backward pass begins with it, so no memory would be saved. So does one
    that may not compute the same again.

    Args:
        network: the network.
        count: the largest number of segments.

    Attributes:
        losses: the losses that layers added in the last call.
    """

    def __init__(self, network: keras.Model, count: int) -> None:
        self._segments, self._shared = segments_of(network, count), shared_seed_states()
        self.losses: list[tf.Tensor] = []

    def __call__(self, flow: tf.Tensor, **keywords: Any) -> tf.Tensor:
        """Compute the network's output."""
        self.losses = []
        for segment in self._segments:
            flow, losses = _called(segment, flow, keywords, self._shared, again=segment is not self._segments[-1])
            self.losses += losses
        return flow


def recomputed(network: keras.Model | keras.Layer, count: int) -> Callable[..., tf.Tensor]:
    """The network, or layer, in `count` segments whose activations are computed again.

    It is returned as it is if `count` is 0 or 1, or if it cannot be cut into segments.
    """
    return Recomputed(network, count) if count > 1 and can_be_cut(network) else network


def _called(
    segment: Segment, inputs: tf.Tensor, keywords: dict[str, Any], shared: Sequence[keras.Variable], *, again: bool
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The output of a segment and the losses that its layers add; its new state is set in the surrounding scope.

    `shared` is other state that it may change. With `again`, its activations are computed again in the backward pass,
    if that gives the same; else they are kept.
    """
    trainable, state = segment.trainable_variables, [*segment.non_trainable_variables, *shared]
    kept = [tf.convert_to_tensor(variable.value) for variable in state]
    changed: list[keras.Variable] = []

    def run(flow: tf.Tensor, weights: Sequence[tf.Tensor]) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """The output and the losses; and the new values of the state variables that have changed."""
        mapping = [*zip(trainable, weights, strict=True), *zip(state, kept, strict=True)]
        with WatchedScope(state_mapping=mapping, collect_losses=True) as scope:
            before = [scope.get_current_value(variable) for variable in state]
            output = flow
            for part in segment.parts:
                output = _in_order(part, output, scope, keywords)
        refuse_lost_seeds(scope)
        after = [scope.get_current_value(variable) for variable in state]
        changed[:] = [v for v, one, other in zip(state, before, after, strict=True) if one is not other]
        new = [tf.convert_to_tensor(scope.get_current_value(variable)) for variable in changed]
        return [output, *map(tf.convert_to_tensor, scope.losses)], new

    @tf.custom_gradient
    def once(flow: tf.Tensor, *weights: tf.Tensor) -> Any:
        graph = tf.compat.v1.get_default_graph()
        known = len(graph.get_operations())
        with _recording(flow, *weights) as tape:
            results, new = run(flow, weights)
        computes_same = all(map(_is_same_again, graph.get_operations()[known:]))

        def backward(*upstream: tf.Tensor) -> list[tf.Tensor]:
            upstream = upstream[: len(results)]
            if not (again and computes_same):
                return _gradients(tape, results, [flow, *weights], upstream)
            delayed = flow + tf.cast(_zero_after(upstream[0]), flow.dtype)
            with _recording(delayed, *weights) as second:
                repeated, _ = run(delayed, weights)
            return _gradients(second, repeated, [delayed, *weights], upstream)

        return (*results, *new), backward

    outputs = once(inputs, *(tf.convert_to_tensor(variable.value) for variable in trainable))
    count = len(outputs) - len(changed)
    for variable, value in zip(changed, outputs[count:], strict=True):
        variable.assign(value)
    return outputs[0], list(outputs[1:count])


def _in_order(part: keras.Model, inputs: tf.Tensor, scope: keras.StatelessScope, keywords: dict[str, Any]) -> tf.Tensor:
    """The output of a part, of which the gradient of the input is known only when those of all its weights are."""
    weights = [scope.get_current_value(variable) for variable in part.trainable_variables]
    if not weights:
        return part(inputs, **keywords)

    @tf.custom_gradient
    def gated(flow: tf.Tensor, *weights: tf.Tensor) -> Any:
        for variable, value in zip(part.trainable_variables, weights, strict=True):
            scope.add_update((variable, value))
        with _recording(flow, *weights) as tape:
            output = part(flow, **keywords)
        refuse_set_weights(scope, part.trainable_variables, weights)
        return output, lambda upstream: _gradients(tape, [output], [flow, *weights], [upstream])

    output = gated(inputs, *weights)
    for variable, value in zip(part.trainable_variables, weights, strict=True):
        scope.add_update((variable, value))
    return output


def _is_same_again(operation: tf.Operation) -> bool:
    """Whether a second computation gives the same: a function that is called counts by whether it has a state."""
    return not operation.op_def.is_stateful or operation.type in SAME_AGAIN


@contextlib.contextmanager
def _recording(*tensors: tf.Tensor) -> Iterator[tf.GradientTape]:
    """A tape for the gradients of these tensors alone."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(tensors)
        yield tape


def _gradients(
    tape: tf.GradientTape, outputs: Sequence[tf.Tensor], wanted: Sequence[tf.Tensor], upstream: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """The gradients of a segment's input and weights; that of its input is known only when all of them are."""
    none = tf.UnconnectedGradients.ZERO
    first, *others = tape.gradient(outputs, wanted, output_gradients=upstream, unconnected_gradients=none)
    with tf.control_dependencies(others):
        return [tf.identity(first), *others]


def _zero_after(gradient: tf.Tensor) -> tf.Tensor:
    """A zero that depends on the gradient, so that what is computed from it cannot begin before the backward pass.

    Without it TensorFlow would see that the second computation equals the first one, and would keep the first one's
    results. A control dependency would do in a graph, but not where the graph is compiled.
    """
    first = tf.reshape(gradient, [-1])[:1]
    never = tf.math.is_nan(first) & tf.math.is_inf(first)
    return tf.reduce_sum(tf.cast(never, tf.float32))
