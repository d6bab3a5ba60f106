"""A training step on several devices of one host: each computes on a part of the batch, and all make the same update.

`tf.distribute.MirroredStrategy` gives each device a copy of every variable. A batch is divided, in order, into one part
for each device, which computes the gradients of its part in micro-batches. The gradients are summed over the devices,
and each device applies the sum to its copy, so that the copies stay equal. As with one device, the first function only
computes, and the second one reserves memory, on every device, before it marks the update as begun: an out-of-memory on
any device is raised by the whole function, and nothing has changed.

The sums are made by plain additions and copies, spread over the devices, and not by collective operations (NCCL): a
device that has entered a collective waits for the others, and would wait forever if one of them ran out of memory. See
docs/decisions/0065.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from autofit.errors import UserError
from autofit.worker.execution.kept_weights import WatchedScope, refuse_lost_seeds, refuse_set_weights
from autofit.worker.execution.loss_scale import LEAST_SCALE
from autofit.worker.execution.sliced_model import Network
from autofit.worker.execution.step_options import AS_USUAL, StepOptions
from autofit.worker.execution.steps import TrainStep, current_values, scaled_back, tensors_of
from autofit.worker.model.builder import BuiltModel
from autofit.worker.model.keras_internals import (
    leave_gradients_as_given,
    seed_states,
    share_generator,
    shared_seed_states,
)
from autofit.worker.model.objective import Objective
from autofit.worker.model.optimizer import each_of

HOST = "/device:CPU:0"
SEED_STEP = 0x9E3779B9
"""The difference between the seeds of neighbouring devices. It is odd, so that no two are the same modulo 2^32."""


def spread(sizes: Sequence[int], count: int) -> list[int]:
    """The device for each piece of work, by its size: the one of `count` devices that has the least work so far."""
    given, places = [0] * count, []
    for size in sizes:
        places.append(given.index(min(given)))
        given[places[-1]] += size
    return places


class ReplicatedTrainStep(TrainStep):
    """A `TrainStep` on several devices; the micro-batch size is that of each device.

    Layers that draw random numbers draw different ones on each device. A network with any other state that a slice
    changes is refused when the step is traced, since that state would differ between the devices.

    Args:
        strategy: the devices.
        built: the model that the network runs.
        network: as in `TrainStep`.
        objective: as in `TrainStep`; the variables of its optimizer were made in the scope of the strategy, those of
            its metrics were not.
        inputs_spec: as in `TrainStep`.
        options: as in `TrainStep`.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        built: BuiltModel,
        network: Network,
        objective: Objective,
        inputs_spec: tf.TensorSpec,
        options: StepOptions = AS_USUAL,
    ) -> None:
        self._strategy, self._width = strategy, int(built.model.output_shape[-1])
        super().__init__(network, objective, inputs_spec, options)
        for optimizer in each_of(objective.optimizer):
            leave_gradients_as_given(optimizer)
        self.replicas = strategy.num_replicas_in_sync
        self._devices = strategy.extended.worker_devices
        seeds = {id(seed) for seed in [*seed_states(built.model), *shared_seed_states()]}
        self._seeds = [variable for variable in network.state if id(variable) in seeds]
        self._changing = list[keras.Variable]()
        self._unscaled = self._loss_outside_by_inside()

    def accumulate(self, inputs: Any, labels: np.ndarray, weights: np.ndarray, micro: int) -> tuple[Any, ...]:
        """Compute loss, gradients, and the state that the update will set; nothing is changed.

        Raises:
            tensorflow.errors.ResourceExhaustedError: a micro-batch did not fit on a device.
        """
        with tf.device(HOST):  # else the first GPU would get the whole batch
            inputs = tf.convert_to_tensor(inputs)
        return super().accumulate(inputs, labels, weights, micro)

    def _accumulate_eagerly(
        self, inputs: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, micro: tf.Tensor, scale: tf.Tensor
    ) -> Any:
        count = tf.shape(labels)[0]
        before = tensors_of(self._network.state)
        drawn, state = self._draw(count, before)
        now = {id(v): value for v, value in zip(self._network.state, state, strict=True)}
        seeds = [now[id(seed)] for seed in self._seeds]
        samples = (inputs, labels, weights, drawn)
        found = self._strategy.run(lambda: self._on_replica(samples, count, micro, scale, seeds))
        losses, sums, outputs, seeds = (self._by_replica(each) for each in found)
        now |= {id(v): value for v, value in zip(self._seeds, (seed[0] for seed in seeds), strict=True)}
        changes = [
            (variable, now[id(variable)])
            for variable, was in zip(self._network.state, before, strict=True)
            if now[id(variable)] is not was
        ]
        self._changing = [variable for variable, _ in changes]
        gradients = self._summed(sums)
        metric_variables = self._objective.metric_variables
        mapping = list(zip(metric_variables, tensors_of(metric_variables), strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            self._objective.update_metrics(labels, tf.concat(outputs, axis=0))
        metrics = current_values(scope, metric_variables)
        return tf.add_n(losses), *gradients, [value for _, value in changes], metrics

    def _by_replica(self, values: Any) -> Any:
        """The value that each device has, in the order of the devices; for a list, such a tuple for each member."""
        if isinstance(values, list):
            return [self._by_replica(value) for value in values]
        return self._strategy.experimental_local_results(values)

    def _summed(self, sums: list[tuple[tf.Tensor, ...]]) -> tuple[Any, tf.Tensor]:
        """The sum of each gradient over the devices, with a copy on each device; and whether all are finite.

        Each device adds up some of the gradients, so that each sends and receives as much as in a ring all-reduce.
        """
        totals = []
        places = spread([math.prod(parts[0].shape) for parts in sums], self.replicas)
        for place, parts in zip(places, sums, strict=True):
            with tf.device(self._devices[place]):
                totals.append(tf.add_n(parts))
        finite = tf.constant(value=True)
        if self.loss_scale is not None:
            finite = tf.reduce_all([finite, *(tf.reduce_all(tf.math.is_finite(total)) for total in totals)])
        return self._strategy.run(lambda: [tf.identity(total) for total in totals]), finite

    def _on_replica(
        self,
        samples: tuple[tf.Tensor, ...],
        count: tf.Tensor,
        micro: tf.Tensor,
        scale: tf.Tensor,
        seeds: list[tf.Tensor],
    ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor, list[tf.Tensor]]:
        """This device's share of the batch's mean loss and gradients, the outputs of its part, and the new seeds."""
        number = int(tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group))
        begin, end = count * number // self.replicas, count * (number + 1) // self.replicas
        with tf.device(HOST):
            inputs, labels, weights, drawn = (values[begin:end] for values in samples)
        trainable = tensors_of(self._network.trainable)
        own = [seed + tf.cast([number * SEED_STEP % 2**32, 0], seed.dtype) for seed in seeds]

        def one_slice(start: tf.Tensor, loss: tf.Tensor, sums: Any, outputs: tf.Tensor, own: Any) -> Any:
            stop = tf.minimum(start + micro, end - begin)
            part, rows = slice(start, stop), micro if self.pads else stop - start
            share = tf.cast(stop - start, tf.float32) / tf.cast(count, tf.float32)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(trainable)
                slice_loss, probabilities, own = self._forward_on_replica(
                    (trainable, own),
                    (self._rows(inputs[part], rows), labels[part], weights[part], self._rows(drawn[part], rows)),
                    share,
                )
                scaled = slice_loss if self.loss_scale is None else slice_loss * scale
            gradients = tape.gradient(scaled, trainable, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            sums = [total + tf.convert_to_tensor(g) for total, g in zip(sums, gradients, strict=True)]
            return stop, loss + slice_loss, sums, tf.concat([outputs, probabilities], axis=0), own

        nothing = tf.zeros((0, self._width))
        first = (tf.constant(0), tf.constant(0.0), [tf.zeros_like(value) for value in trainable], nothing, own)
        shapes = tf.nest.map_structure(lambda value: value.shape, first)
        _, loss, sums, outputs, own = tf.while_loop(
            lambda at, *_: at < end - begin,
            one_slice,
            first,
            shape_invariants=(*shapes[:3], tf.TensorShape((None, self._width)), shapes[4]),
            parallel_iterations=1,
        )
        return loss, sums, outputs, own

    def _forward_on_replica(
        self, values: Any, samples: Any, share: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """A slice's part of the batch's mean loss, its outputs, and the new seeds.

        Raises:
            UserError: the slice changes another state, which would differ between the devices.
        """
        trainable, seeds = values
        network = self._network
        mapping = [*zip(network.trainable, trainable, strict=True), *zip(self._seeds, seeds, strict=True)]
        others = [variable for variable in network.state if not any(variable is seed for seed in self._seeds)]
        mapping += list(zip(others, tensors_of(others), strict=True))
        share_generator(self._generator)
        with WatchedScope(state_mapping=mapping, collect_losses=True) as scope:
            given = current_values(scope, network.trainable)
            before = [scope.get_current_value(variable) for variable in others]
            loss, probabilities = self._loss_of(samples, share, self._unscaled)
        refuse_set_weights(scope, network.trainable, given)
        refuse_lost_seeds(scope)
        for variable, value in zip(others, before, strict=True):
            if scope.get_current_value(variable) is not value:
                why = f"{variable.path} changes in each micro-batch, and would differ between the devices"
                raise UserError(f"devices {self.replicas}: {why}: give devices=1")
        return loss, probabilities, current_values(scope, self._seeds)

    def _loss_outside_by_inside(self) -> float:
        """The factor by which a loss is smaller inside the strategy than outside of it.

        Keras divides its mean losses by the number of devices (`scale_loss_for_distribution` in
        keras/src/losses/loss.py), that of a function which gives a single number only if there are weights; a user's
        loss may not.
        """
        spec = self._objective.labels_spec
        labels = tf.zeros([2, *spec.shape[1:]], spec.dtype)  # the weight of one sample would become a single number too
        weights = tf.ones(labels.shape)
        outputs = tf.fill((2, self._width), 1.0 / (self._width + 1))

        def loss() -> tf.Tensor:
            return self._objective.loss_function(self._objective.encode(labels), outputs, sample_weight=weights)

        def inside_strategy() -> tf.Tensor:
            return self._by_replica(self._strategy.run(loss))[0]

        inside, outside = float(tf.function(inside_strategy, autograph=False)()), float(loss())
        return float(round(outside / inside)) if inside and math.isfinite(outside / inside) else float(self.replicas)

    def _compiled_commit(self) -> Any:
        update = tf.function(self._update_eagerly, autograph=False)
        skip = tf.function(self._skip_eagerly, autograph=False)

        def commit(
            loss: tf.Tensor, gradients: Any, finite: tf.Tensor, *rest: Any
        ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            # chosen here: an optimizer on several devices cannot be called inside a condition of a graph
            if self.loss_scale is None or bool(finite):
                return update(loss, gradients, *rest), finite
            return skip(loss, *rest), finite

        return commit

    def _update_eagerly(
        self,
        loss: tf.Tensor,
        gradients: Any,
        state: Any,
        metrics: Any,
        count: tf.Tensor,
        reserve: tf.Tensor,
        scale: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        taken = self._strategy.run(lambda: tf.gather(tf.fill(tf.reshape(reserve, (1,)), 1.0), 0))
        first = tf.reduce_min(tf.stack(self._by_replica(taken)))
        begun = self._begun.assign_add(tf.cast(first, tf.int64) if self._network.trainable else 1)
        with self._in_order():
            self._strategy.run(self._apply_after, args=(begun, gradients, scale))
        return self._set_after(begun, loss, state, metrics, count)

    def _skip_eagerly(
        self, loss: tf.Tensor, state: Any, metrics: Any, count: tf.Tensor, reserve: tf.Tensor, scale: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Skip the update. With the least scale the loss becomes NaN, since the scale is not to blame then."""
        del reserve
        loss = tf.where(scale > LEAST_SCALE, loss, float("nan"))
        return self._set_after(self._begun.assign_add(1), loss, state, metrics, count)

    def _apply_after(self, begun: tf.Tensor, gradients: list[tf.Tensor], scale: tf.Tensor) -> None:
        with tf.control_dependencies([begun]):
            given = [tf.identity(g) for g in gradients] if self.loss_scale is None else scaled_back(gradients, scale)
            self._objective.optimizer.apply(given, self._network.trainable)

    def _set_after(
        self, begun: tf.Tensor, loss: tf.Tensor, state: Any, metrics: Any, count: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        objective = self._objective
        with tf.control_dependencies([begun]):
            for variable, value in zip(self._changing, state, strict=True):
                variable.assign(value)
            for variable, value in zip(objective.metric_variables, metrics, strict=True):
                variable.assign(value)
            objective.loss.update_state(loss, sample_weight=count)
        return objective.results()
