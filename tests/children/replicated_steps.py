"""Train small networks on one and on several logical CPU devices in one process, and print by how much they differ.

`replicated_steps.py COUNT CASE...`: a line of JSON with what each case found. A process may have strategies of one
number of devices only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from autofit.config.backbones import ModelSpec
from autofit.config.fine_tuning import FineTuning
from autofit.protocol.job import ModelSource
from autofit.worker.execution.loss_scale import LossScale
from autofit.worker.execution.replicas import ReplicatedTrainStep
from autofit.worker.execution.sliced_model import SplitNetwork, WholeNetwork
from autofit.worker.execution.step_options import StepOptions
from autofit.worker.execution.steps import TrainStep
from autofit.worker.execution.strategy import scope_of
from autofit.worker.model.builder import BuiltModel, build_from_function
from autofit.worker.model.objective import make_objective
from autofit.worker.runtime.exceptions import OutOfDeviceMemoryError

SIDE, CLASSES, SIZES = 24, 3, (10, 10, 7, 1)
"""Batches of other sizes than the devices divide; of the last, all devices but one have none."""
Found = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """What is trained, and how."""

    layers: Callable[[], list[Any]]
    head: Callable[[], list[Any]] | None = None
    optimizer: dict[str, Any] = field(default_factory=lambda: {"class_name": "SGD", "config": {"learning_rate": 0.5}})
    fine_tuning: FineTuning | None = None
    segments: int = 0
    precision: Any = "float32"
    scale: LossScale | None = None
    pads: bool = False
    rounds: int = 1
    loss: str | dict[str, Any] | None = None


def plain() -> list[Any]:
    """Layers without randomness; a regularizer adds a loss that Keras does not divide by the devices."""
    small = keras.regularizers.L2(1e-3)
    return [
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(8, 3, strides=2, activation="tanh", kernel_regularizer=small),
        keras.layers.Conv2D(8, 3, strides=2, activation="tanh"),
        keras.layers.GlobalAveragePooling2D(),
    ]


@keras.saving.register_keras_serializable("replicated")  # type: ignore[untyped-decorator]  # Keras is not typed
def one_number(labels: Any, outputs: Any) -> Any:
    """The mean over the samples, as one number, which Keras divides by the devices only if there are weights."""
    return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, outputs))


@keras.saving.register_keras_serializable("replicated")
class Noise(keras.layers.Layer):  # type: ignore[misc]  # Keras is not typed
    """Adds noise from the seed generator that layers without one of their own share."""

    def call(self, inputs: Any) -> Any:
        """The inputs with noise."""
        return inputs + keras.random.normal(keras.ops.shape(inputs))


def noisy() -> list[Any]:
    """The same, and noise."""
    return [*plain(), Noise()]


def overflowing() -> list[Any]:
    """The same, with a gradient inside that is too large for a large scale in float16."""
    return [*plain(), keras.layers.Rescaling(1e-3), keras.layers.ReLU(), keras.layers.Rescaling(1e3)]


CASES = {
    "sgd": Case(plain),
    "adam": Case(plain, optimizer={"class_name": "Adam", "config": {"learning_rate": 0.01}}),
    "clipped": Case(plain, optimizer={"class_name": "SGD", "config": {"learning_rate": 0.5, "global_clipnorm": 0.01}}),
    "decayed": Case(plain, optimizer={"class_name": "AdamW", "config": {"learning_rate": 0.01, "weight_decay": 0.1}}),
    "fine-tuning": Case(plain, fine_tuning=FineTuning(updates=20, warmup_updates=1)),
    "recomputed": Case(plain, segments=2),
    "one number": Case(plain, loss=keras.saving.serialize_keras_object(one_number)),
    "padded": Case(plain, pads=True),
    "bfloat16": Case(plain, precision="mixed_bfloat16"),
    "float16": Case(overflowing, precision="mixed_float16", scale=LossScale(value=2.0**16), rounds=3),
    "noise": Case(noisy),
    "dropout": Case(plain, head=lambda: [keras.layers.Dropout(0.5)]),  # its mask is drawn for the whole batch
}


class Trained:
    """A network and its step, on the devices of a strategy, or on one."""

    def __init__(self, case: Case, strategy: Any) -> None:
        scope = scope_of(strategy)
        spec = ModelSpec(
            backbone=None,
            weights="none",
            image_size=(SIDE, SIDE),
            trainable="all",
            precision=case.precision,
            seed=3,
        )
        with scope():
            built = self._built(case, spec)
        network: Any = WholeNetwork(built.model, case.segments)
        if built.head is not None:
            network = SplitNetwork(built.features, built.head, built.head_layers, case.segments)
        source = ModelSource(
            spec=spec,
            num_classes=CLASSES,
            optimizer=case.optimizer["class_name"].lower(),
            optimizer_config=None if case.fine_tuning else case.optimizer,
            learning_rate=0.01,
            fine_tuning=case.fine_tuning,
            loss=case.loss,
        )
        self.objective = make_objective(built.model, source, compiled=False, scope=scope)
        inputs = tf.TensorSpec((None, *spec.image_size, 3), tf.uint8)
        options = StepOptions(pads=case.pads, loss_scale=case.scale, one_by_one=case.segments > 0)
        self.step: TrainStep = (
            TrainStep(network, self.objective, inputs, options)
            if strategy is None
            else ReplicatedTrainStep(strategy, built, network, self.objective, inputs, options)
        )
        self.rounds, self.is_weighted = case.rounds, case.loss is None
        self.model, self.skipped = built.model, list[bool]()

    def _built(self, case: Case, spec: ModelSpec) -> BuiltModel:
        shape = (*spec.image_size, 3)
        if case.head is None:

            def function(shape: Any, classes: int) -> Any:
                last = keras.layers.Dense(classes, activation="softmax")
                return keras.Sequential([keras.Input(shape), *case.layers(), last])

            return build_from_function(function, spec.image_size, CLASSES, spec.seed, precision=spec.precision)
        keras.utils.set_random_seed(spec.seed)
        features = keras.Sequential([keras.Input(shape), *case.layers()])
        layers = (*case.head(), keras.layers.Dense(CLASSES, activation="softmax"))
        head = keras.Sequential([keras.Input(features.output_shape[1:]), *layers])
        model = keras.Sequential([keras.Input(shape), features, head])
        return BuiltModel(model, features, head, layers, frozen=False, compiled=False)

    def train(self, micro: int) -> None:
        """Make one update from each batch."""
        for number, size in enumerate(SIZES * self.rounds):
            images, labels, weights = batch(number, size)
            self.update(images, labels, weights if self.is_weighted else np.ones_like(weights), micro)

    def update(self, images: Any, labels: Any, weights: Any, micro: int) -> None:
        """Make one update."""
        self.step.commit(self.step.accumulate(images, labels, weights, micro), len(labels))
        self.skipped.append(self.step.is_skipped)

    def kernels(self) -> list[Any]:
        """The values of the kernels, which do not begin at zero."""
        found = [np.asarray(variable.numpy(), np.float64) for variable in self.model.trainable_variables]
        return [values for values in found if values.ndim > 1]

    def variables(self) -> list[Any]:
        """The values of all variables of model and optimizer."""
        found = [*self.model.trainable_variables, *self.model.non_trainable_variables]
        return [np.asarray(v.numpy(), np.float64) for v in [*found, *self.objective.optimizer.variables]]


def batch(number: int, size: int) -> tuple[Any, Any, Any]:
    """Made-up images, labels and weights."""
    random = np.random.default_rng(number)
    images = random.integers(0, 256, (size, SIDE, SIDE, 3), np.uint8)
    return images, random.integers(0, CLASSES, size), random.uniform(0.5, 2.0, size).astype(np.float32)


def difference(ours: list[Any], theirs: list[Any]) -> float:
    """The largest distance of two values of a variable, relative to its norm."""
    pairs = zip(ours, theirs, strict=True)
    return max(float(np.linalg.norm(a - b)) / max(float(np.linalg.norm(b)), 1e-6) for a, b in pairs)


def copies_differ(trained: Trained, strategy: Any) -> float:
    """How far the copies of the variables on the devices are from each other; they should be the same."""
    worst = 0.0
    for variable in [*trained.model.variables, *trained.objective.optimizer.variables]:
        first, *others = (np.asarray(copy.numpy()) for copy in strategy.experimental_local_results(variable.value))
        assert len(others) == strategy.num_replicas_in_sync - 1, variable.path
        worst = max([worst, *(float(np.max(np.abs(first.astype(float) - other))) for other in others)])
    return worst


def compare(case: Case, strategy: Any) -> Found:
    """Train on one device and on all, with other micro-batches."""
    one, several = Trained(case, None), Trained(case, strategy)
    started = difference(several.variables(), one.variables())
    before = one.kernels()
    one.train(10)
    several.train(2)
    results = [{name: float(value) for name, value in each.objective.results().items()} for each in (one, several)]
    return {
        "started": started,
        "weights": difference(several.variables(), one.variables()),
        "kernels": difference(several.kernels(), one.kernels()),
        "moved": difference(one.kernels(), before),
        "copies": copies_differ(several, strategy),
        "results": results,
        "skipped": [one.skipped, several.skipped],
        "scales": [each.step.loss_scale and each.step.loss_scale.value for each in (one, several)],
    }


@keras.saving.register_keras_serializable()
class RunsOutOnce(keras.layers.Layer):  # type: ignore[misc]  # Keras is not typed
    """Passes its inputs on; on the second device the first slice of several images runs out of memory."""

    failures = 0

    def call(self, inputs: Any) -> Any:
        """Return the inputs."""
        context = tf.distribute.get_replica_context()
        number = 0 if context is None else int(tf.get_static_value(context.replica_id_in_sync_group))

        def fail(rows: Any) -> Any:
            if number == 1 and rows > 1 and not RunsOutOnce.failures:
                RunsOutOnce.failures += 1
                raise MemoryError("no room on this device")  # TensorFlow makes a ResourceExhaustedError of it
            return rows

        checked = tf.numpy_function(fail, [tf.shape(inputs)[0]], tf.int32)
        with tf.control_dependencies([checked]):
            return tf.identity(inputs)


def run_out(strategy: Any) -> Found:
    """One device's step runs out of memory, and then the reservation of an update does on all."""
    case = Case(lambda: [*plain()[:1], RunsOutOnce(), *plain()[1:]])
    several, one = Trained(case, strategy), Trained(case, None)
    before = several.variables()
    images, labels, weights = batch(0, 10)
    error, refused = "", ""
    try:
        several.step.accumulate(images, labels, weights, 10)
    except tf.errors.ResourceExhaustedError as found:
        error = type(found).__name__
    untouched = difference(several.variables(), before)
    several.update(images, labels, weights, 1)
    reserve = several.step._reserve
    several.step._reserve = tf.constant(10**10, tf.int64)
    after = several.variables()
    try:
        several.update(images, labels, weights, 2)
    except OutOfDeviceMemoryError as found:
        refused = str(found)
    kept = difference(several.variables(), after)
    several.step._reserve = reserve
    several.update(images, labels, weights, 2)
    for micro in (10, 10):
        one.update(images, labels, weights, micro)
    return {
        "error": error,
        "untouched": untouched,
        "failures": RunsOutOnce.failures,
        "refused": refused,
        "kept": kept,
        "kernels": difference(several.kernels(), one.kernels()),
    }


def draw(strategy: Any) -> Found:
    """A layer that draws random numbers in the slices: where no device's mask has a 1, the gradient is zero."""
    case = Case(lambda: [keras.layers.Flatten(), keras.layers.Dropout(0.5)])
    first, again = Trained(case, strategy), Trained(case, strategy)
    images = np.full((strategy.num_replicas_in_sync, SIDE, SIDE, 3), 9, np.uint8)
    labels, weights = np.zeros(len(images), np.int64), np.ones(len(images), np.float32)
    computed = first.step.accumulate(images, labels, weights, 1)
    kernel = strategy.experimental_local_results(computed[1][0])[0]
    zeros = float(np.mean(np.all(np.asarray(kernel) == 0, axis=1)))
    first.step.commit(computed, len(labels))
    again.update(images, labels, weights, 1)
    return {
        "zeros": zeros,
        "copies": copies_differ(first, strategy),
        "again": difference(again.variables(), first.variables()),
        "seeds": [v.numpy().tolist() for v in first.model.non_trainable_variables],
    }


def main(count: int, names: list[str]) -> None:
    """Run the cases."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    strategy = tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())
    special = {"out-of-memory": run_out, "drawing": draw}
    found = {name: special[name](strategy) if name in special else compare(CASES[name], strategy) for name in names}
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
