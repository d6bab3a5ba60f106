"""The compiled steps: gradients over micro-batches without side effects, then one guarded update.

A training step has two functions, so that an out-of-memory cannot leave a half-made update. `accumulate` only computes.
`commit` first allocates and frees as much memory as the update's temporaries can need, then marks the update as begun,
and only then changes the weights, the optimizer, the moving statistics, the seeds and the metrics. If Keras optimizers
had a stateless update on TensorFlow, the whole step could be one pure function. See docs/decisions/0005.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from autofit.worker.execution.kept_weights import WatchedScope, refuse_lost_seeds, refuse_set_weights
from autofit.worker.execution.layer_losses import regularized, regularized_in_float32, summed
from autofit.worker.execution.loss_scale import LEAST_SCALE, LossScale
from autofit.worker.execution.microbatch import Blame, blame
from autofit.worker.execution.sliced_model import Network
from autofit.worker.execution.step_options import AS_USUAL, StepOptions
from autofit.worker.execution.update_order import one_after_another
from autofit.worker.execution.update_reserve import numbers_to_reserve
from autofit.worker.model.keras_internals import share_generator, shared_generator
from autofit.worker.model.objective import Objective
from autofit.worker.runtime.exceptions import OutOfDeviceMemoryError, TornUpdateError


def tensors_of(variables: Sequence[keras.Variable]) -> list[tf.Tensor]:
    """The variables' values, as tensors."""
    return [tf.convert_to_tensor(variable.value) for variable in variables]


class TrainStep:
    """One update from one batch, whatever the micro-batch size.

    `inputs_spec` is the spec of a batch of inputs: uint8 images `(n, height, width, 3)`, or features. The specs of
    labels and sample weights are the objective's: by default class numbers `(n,)` and float32 `(n,)`.

    Attributes:
        loss_scale: the scale of the next step; None for a network that does not compute in float16.
        is_skipped: whether the last step has left the weights unchanged, since gradients were not finite.
        pads: as in `StepOptions`.
        replicas: the number of devices, each of which computes on a part of the batch.
    """

    replicas = 1

    def __init__(
        self,
        network: Network,
        objective: Objective,
        inputs_spec: tf.TensorSpec,
        options: StepOptions = AS_USUAL,
    ) -> None:
        self.loss_scale, self.is_skipped = options.loss_scale, False
        self._network, self._one_by_one = network, options.one_by_one
        self._generator = shared_generator()  # whose state the network has, whatever replaces it
        self.pads = options.pads
        self._objective = objective
        self._begun = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._applied = 0
        sizes, is_scaled = [int(np.prod(v.shape)) for v in network.trainable], self.loss_scale is not None
        reserve = numbers_to_reserve(objective.optimizer, sizes, one_by_one=self._one_by_one, is_scaled=is_scaled)
        self._reserve = tf.constant(reserve, tf.int64)
        signature = [
            inputs_spec,
            objective.labels_spec,
            objective.weights_spec,
            tf.TensorSpec((), tf.int32),
            tf.TensorSpec((), tf.float32),
        ]
        accumulate = regularized_in_float32(network.regularized)(self._accumulate_eagerly)
        self._accumulate = tf.function(accumulate, input_signature=signature, autograph=False)
        self._commit = self._compiled_commit()

    def _compiled_commit(self) -> Any:
        """The function that `commit` calls; it is traced at the first call."""
        return tf.function(self._commit_eagerly, autograph=False)

    def accumulate(self, inputs: Any, labels: np.ndarray, weights: np.ndarray, micro: int) -> tuple[Any, ...]:
        """Compute loss, gradients, and the state that the update will set; nothing is changed.

        Raises:
            tensorflow.errors.ResourceExhaustedError: a micro-batch did not fit.
        """
        return self._accumulate(inputs, labels, weights, tf.constant(micro, tf.int32), self._scale())

    def _scale(self) -> tf.Tensor:
        return tf.constant(self.loss_scale.value if self.loss_scale else 1.0, tf.float32)

    def restore_loss_scale(self, scale: LossScale | None) -> None:
        """Go on with the scale of a checkpoint, if this network has one."""
        if self.loss_scale is not None and scale is not None:
            self.loss_scale = scale

    def commit(self, computed: tuple[Any, ...], count: int) -> dict[str, tf.Tensor]:
        """Apply what `accumulate` has computed, and return the metrics so far, as tensors.

        The values of the metrics are not read here, since that would wait for the device in each step. An out-of-memory
        is nevertheless raised here, also on a GPU, since the host allocates memory when it starts an operation. Only
        with a loss scale this waits for the device, to know whether the gradients were finite.

        Raises:
            OutOfDeviceMemoryError: there is no room for the update; nothing was changed.
            TornUpdateError: memory ran out while the weights were changed.
        """
        try:
            logs: dict[str, tf.Tensor]
            logs, finite = self._commit(*computed, tf.constant(count, tf.float32), self._reserve, self._scale())
            self.is_skipped = self.loss_scale is not None and not bool(finite)
        except tf.errors.OpError as error:
            if blame(error) is Blame.OTHER:
                raise
            if int(self._begun) != self._applied:
                raise TornUpdateError("the device's memory ran out inside an update") from error
            raise OutOfDeviceMemoryError("the update does not fit into the device's memory") from error
        self._applied += 1
        if self.loss_scale is not None:
            self.loss_scale = self.loss_scale.after(is_finite=not self.is_skipped)
        return logs

    def _accumulate_eagerly(
        self, inputs: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, micro: tf.Tensor, scale: tf.Tensor
    ) -> Any:
        count = tf.shape(labels)[0]
        trainable = tensors_of(self._network.trainable)
        drawn, state = self._draw(count, tensors_of(self._network.state))

        def one_slice(start: tf.Tensor, loss: tf.Tensor, sums: Any, state: Any, metrics: Any) -> Any:
            stop = tf.minimum(start + micro, count)
            part = slice(start, stop)
            rows = micro if self.pads else stop - start
            share = tf.cast(stop - start, tf.float32) / tf.cast(count, tf.float32)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(trainable)
                slice_loss, state, metrics = self._forward(
                    (trainable, state, metrics),
                    (self._rows(inputs[part], rows), labels[part], weights[part], self._rows(drawn[part], rows)),
                    share,
                )
                scaled = slice_loss if self.loss_scale is None else slice_loss * scale
            gradients = tape.gradient(scaled, trainable, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            sums = [total + tf.convert_to_tensor(g) for total, g in zip(sums, gradients, strict=True)]
            return stop, loss + slice_loss, sums, state, metrics

        zeros = [tf.zeros_like(value) for value in trainable]
        start = (tf.constant(0), tf.constant(0.0), zeros, state, tensors_of(self._objective.metric_variables))
        done = tf.while_loop(lambda at, *_: at < count, one_slice, start, parallel_iterations=1)
        return done[1:]

    def _rows(self, values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """The values, padded with zeros to `rows` rows if slices are padded."""
        if not self.pads:
            return values
        after = [[0, rows - tf.shape(values)[0]], *[[0, 0]] * (values.shape.rank - 1)]
        return tf.pad(values, after)

    def _draw(self, count: tf.Tensor, state: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        variables = self._network.state
        with keras.StatelessScope(state_mapping=list(zip(variables, state, strict=True))) as scope:
            drawn = self._network.draw(count)
        return drawn, current_values(scope, variables)

    def _forward(self, values: Any, samples: Any, share: tf.Tensor) -> Any:
        """Compute a slice's part of the batch's mean loss, and the new state and metrics."""
        labels = samples[1]
        trainable, state, metric_variables = (
            self._network.trainable,
            self._network.state,
            self._objective.metric_variables,
        )
        mapping = list(zip([*trainable, *state, *metric_variables], [x for part in values for x in part], strict=True))
        share_generator(self._generator)
        with WatchedScope(state_mapping=mapping, collect_losses=True) as scope:
            before = current_values(scope, trainable)
            loss, probabilities = self._loss_of(samples, share)
            self._objective.update_metrics(labels, probabilities)
        refuse_set_weights(scope, trainable, before)
        refuse_lost_seeds(scope)
        return loss, current_values(scope, state), current_values(scope, metric_variables)

    def _loss_of(self, samples: Any, share: tf.Tensor, unscaled: float = 1.0) -> tuple[tf.Tensor, tf.Tensor]:
        """A slice's part of the batch's mean loss, and its outputs; called inside a stateless scope.

        `unscaled` is a factor for the loss function, which gives too little inside a `tf.distribute` strategy.
        """
        inputs, labels, weights, drawn = samples
        probabilities = tf.cast(self._network(inputs, drawn), tf.float32)
        if self.pads:
            probabilities = probabilities[: tf.shape(labels)[0]]
        encoded = self._objective.encode(labels)
        loss = self._objective.loss_function(encoded, probabilities, sample_weight=weights)
        loss = loss if unscaled == 1.0 else loss * unscaled
        return (loss + self._network.penalty()) * share, probabilities

    def _commit_eagerly(
        self,
        loss: tf.Tensor,
        gradients: Any,
        state: Any,
        metrics: Any,
        count: tf.Tensor,
        reserve: tf.Tensor,
        scale: tf.Tensor,
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        room = tf.fill(tf.reshape(reserve, (1,)), 1.0)  # the size is known only at run time, so it is really allocated
        first = tf.cast(tf.gather(room, 0), tf.int64) if self._network.trainable else tf.constant(1, tf.int64)
        begun = self._begun.assign_add(first)
        objective = self._objective
        with tf.control_dependencies([begun]):
            finite = self._apply([tf.identity(g) for g in gradients], scale)
            for variable, value in zip(self._network.state, state, strict=True):
                variable.assign(value)
            for variable, value in zip(objective.metric_variables, metrics, strict=True):
                variable.assign(value)
            if self.loss_scale is not None:  # with the least scale it is not the scale that makes gradients infinite
                loss = tf.where(finite | (scale > LEAST_SCALE), loss, float("nan"))
            objective.loss.update_state(loss, sample_weight=count)
        return objective.results(), finite

    def _apply(self, gradients: list[tf.Tensor], scale: tf.Tensor) -> tf.Tensor:
        """Update the weights, unless gradients of a scaled loss are not finite; returns whether they are finite."""
        if self.loss_scale is None:
            self._change_weights(gradients)
            return tf.constant(value=True)

        def update() -> tf.Tensor:
            self._change_weights(scaled_back(gradients, scale))
            return tf.constant(value=True)

        each = [tf.reduce_all(tf.math.is_finite(g)) for g in gradients]
        finite = tf.reduce_all([tf.constant(value=True), *each])
        return tf.cond(finite, update, lambda: tf.constant(value=False))

    def _change_weights(self, gradients: list[tf.Tensor]) -> None:
        with self._in_order():
            self._objective.optimizer.apply(gradients, self._network.trainable)

    def _in_order(self) -> AbstractContextManager[None]:
        """The context in which the optimizer is called; with `one_by_one` it updates one variable after another."""
        return one_after_another(self._objective.optimizer) if self._one_by_one else nullcontext()


def scaled_back(gradients: Sequence[tf.Tensor], scale: tf.Tensor) -> list[tf.Tensor]:
    """Gradients divided by a scale, each in its own dtype: float16 has not each scale, but the inverse of each."""
    return [g * tf.cast(1.0 / scale, g.dtype) for g in gradients]


def current_values(scope: keras.StatelessScope, variables: Sequence[keras.Variable]) -> list[tf.Tensor]:
    """The values that a stateless scope has for these variables."""
    return [tf.convert_to_tensor(scope.get_current_value(variable)) for variable in variables]


class Tally:
    """Loss and metrics over the batches of a pass so far, and the model's outputs; all may still be on the device.

    Args:
        values: the values of an `EvaluateStep`'s variables before the first batch.
        keeps_outputs: whether the model's outputs are kept.

    Attributes:
        values: the values of these variables after the last batch.
        outputs: the model's outputs for each slice, float32 (n, classes), in order; empty if they are not kept.
    """

    def __init__(self, values: list[tf.Tensor], *, keeps_outputs: bool = False) -> None:
        self.values, self.outputs, self._keeps_outputs = values, list[tf.Tensor](), keeps_outputs

    def add(self, values: list[tf.Tensor], outputs: tf.Tensor) -> None:
        """Take the values after one more slice, and its outputs."""
        self.values = values
        if self._keeps_outputs:
            self.outputs.append(outputs)


class EvaluateStep:
    """Adds the loss and metrics of a slice to a tally once the slice has succeeded, so that a repeated one counts once.

    `inputs_spec` is the spec of the model's inputs: uint8 images `(n, height, width, 3)`, or features. With `pads`
    there may be more inputs than labels; those after the last label do not count.

    Attributes:
        variables: the variables of the loss, of the metrics, and `predicted`, whose values a tally holds.
        predicted: how often each class was predicted, float32 `(classes,)`.
    """

    def __init__(
        self, model: keras.Model, objective: Objective, inputs_spec: tf.TensorSpec, *, pads: bool = False
    ) -> None:
        self._model = model
        self._pads = pads
        self._objective = objective
        classes = 2 if objective.unit_threshold is not None else model.output_shape[-1]
        self.predicted = keras.Variable(np.zeros(classes, np.float32), trainable=False, name="predicted")
        self.variables = [*objective.loss.variables, *objective.metric_variables, self.predicted]
        signature = [
            inputs_spec,
            objective.labels_spec,
            [tf.TensorSpec(v.shape, v.dtype) for v in self.variables],
        ]
        run = regularized_in_float32(regularized(model))(self._run_eagerly)
        self._run = tf.function(run, input_signature=signature, autograph=False)

    def __call__(self, inputs: Any, labels: np.ndarray, tally: Tally) -> None:
        """Count one slice."""
        tally.add(*self._run(inputs, labels, tally.values))

    def _run_eagerly(
        self, inputs: tf.Tensor, labels: tf.Tensor, values: list[tf.Tensor]
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        objective = self._objective
        # Keras takes a regularizer's weight from the scope
        regularized = [weight for weight in self._model.trainable_variables if weight.regularizer is not None]
        mapping = list(zip([*self.variables, *regularized], [*values, *tensors_of(regularized)], strict=True))
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
            probabilities = tf.cast(self._model(tf.cast(inputs, tf.float32), training=False), tf.float32)
            if self._pads:
                probabilities = probabilities[: tf.shape(labels)[0]]
            encoded = objective.encode(labels)
            loss = objective.loss_function(encoded, probabilities)
            loss += summed(self._model.losses)
            objective.loss.update_state(loss, sample_weight=tf.cast(tf.shape(labels)[0], tf.float32))
            objective.update_metrics(labels, probabilities)
            self.predicted.assign_add(tf.reduce_sum(objective.told(probabilities), axis=0))
        return current_values(scope, self.variables), probabilities


def compile_forward(model: keras.Model, dtype: tf.DType = tf.float32) -> Any:
    """Compile the inference on uint8 images `(n, height, width, 3)`, with one trace for all batch sizes.

    The outputs are cast to `dtype`.
    """
    height, width = model.input_shape[1:3]

    def forward(images: tf.Tensor) -> tf.Tensor:
        return tf.cast(model(tf.cast(images, tf.float32), training=False), dtype)

    return tf.function(forward, input_signature=[tf.TensorSpec((None, height, width, 3), tf.uint8)], autograph=False)
