"""Activations that are computed again: the same gradients and the same state, in less memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from autofit.config.backbones import ModelSpec, find
from autofit.protocol.job import ModelSource
from autofit.worker.execution.recompute import Recomputed
from autofit.worker.execution.sliced_model import Network, SplitNetwork, WholeNetwork
from autofit.worker.execution.steps import TrainStep
from autofit.worker.model.builder import build, build_from_function
from autofit.worker.model.objective import make_objective
from autofit.worker.model.segments import most_segments
from tests.support.paths import CHILDREN

pytestmark = pytest.mark.slow

CLASSES, COUNT = 3, 5
SMALL = (16, 16)
Computed = tuple[Any, ...]


def computed(network: Network, model: keras.Model, spec: ModelSpec, micro: int = 3) -> Computed:
    """Loss, gradients, state and metrics of a step in two micro-batches; the network is as before."""
    source = ModelSource(spec=spec, num_classes=CLASSES, optimizer="sgd", learning_rate=1e-3)
    step = TrainStep(
        network,
        make_objective(model, source, compiled=False),
        tf.TensorSpec((None, *spec.image_size, 3), tf.uint8),
    )
    images = np.random.default_rng(0).integers(0, 256, (COUNT, *spec.image_size, 3), np.uint8)
    return step.accumulate(images, np.arange(COUNT) % CLASSES, np.ones(COUNT, np.float32), micro)


def assert_equal(one: Computed, other: Computed, tolerance: float, rounded: Computed | None = None) -> None:
    """Compare each tensor's difference with its norm, and with what a rounding error of a weight makes of it."""
    pairs = list(zip(differences(one, other), differences(rounded or other, other), strict=True))
    assert len(pairs) > 1
    for found, by_rounding in pairs:
        assert found <= max(tolerance, ROUNDINGS * by_rounding)


def differences(one: Computed, other: Computed) -> list[float]:
    """The distance of each pair of tensors, relative to the norm of the second."""
    pairs = list(zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True))
    arrays = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in pairs]
    return [float(np.linalg.norm(mine - its) / (np.linalg.norm(its) + 1e-6)) for mine, its in arrays]


ROUNDINGS = 3.0
"""So many times the effect of a rounding error: BatchNormalization on three small images makes much of one."""

FAMILIES = (
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "ResNet50",
    "ResNet50V2",
    "DenseNet121",
    "NASNetMobile",
    "InceptionV3",
    "InceptionResNetV2",
    "Xception",
    "VGG16",
    "ConvNeXtTiny",
)


@pytest.mark.whole
@pytest.mark.parametrize("backbone", FAMILIES)
def test_gradients_and_state_are_those_without(backbone: str) -> None:
    """Training would go elsewhere: other gradients, averages that are updated twice, or other random numbers."""
    side = max(32, find(backbone).min_size)
    spec = ModelSpec(backbone=backbone, weights="none", image_size=(side, side), trainable="all", dropout=0.3)
    built = build(spec, CLASSES, lambda _: None)
    assert built.features is not None
    assert built.head is not None

    def network(segments: int) -> SplitNetwork:
        return SplitNetwork(built.features, built.head, built.head_layers, segments)

    whole, cut = computed(network(0), built.model, spec), computed(network(4), built.model, spec)
    first = built.model.trainable_variables[0]
    first.assign(first * (1 + 2 * np.finfo(np.float32).eps))
    assert_equal(cut, whole, 1e-4, computed(network(0), built.model, spec))


@keras.saving.register_keras_serializable("test_recompute")
class Counting(layers.Layer):  # type: ignore[misc]
    """Counts its calls in a weight, and adds a loss of its input."""

    def build(self, shape: Any) -> None:
        """Make the weight."""
        del shape
        self.calls = self.add_weight(name="calls", shape=(), initializer="zeros", trainable=False)

    def call(self, inputs: Any) -> Any:
        """Count."""
        self.calls.assign(self.calls + 1)
        self.add_loss(1e-3 * keras.ops.mean(keras.ops.square(inputs)))
        return inputs


@keras.saving.register_keras_serializable("test_recompute")
class Unseeded(layers.Layer):  # type: ignore[misc]
    """Drops values, by the seed generator that all layers without one of their own share."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Drop in training."""
        return keras.random.dropout(inputs, 0.2) if training else inputs


def with_all_that_has_state(shape: tuple[int, int, int], classes: int) -> keras.Model:
    """BatchNormalization that trains, random numbers, losses of layers and of weights, a network inside."""
    inputs = flow = keras.Input(shape)
    for filters in (8, 4, 8):
        flow = layers.Conv2D(filters, 3, padding="same", kernel_regularizer="l2", activity_regularizer="l2")(flow)
        flow = layers.Dropout(0.4)(layers.BatchNormalization(momentum=0.5)(Counting()(flow)))
        flow = Unseeded()(flow)
    inner = keras.Input(flow.shape[1:])
    outputs = layers.GaussianNoise(0.1)(layers.SpatialDropout2D(0.3)(layers.Conv2D(4, 3)(inner)))
    flow = layers.GlobalAveragePooling2D()(keras.Model(inner, outputs)(flow))
    return keras.Model(inputs, layers.Dense(classes, "softmax")(layers.Dropout(0.5)(flow)))


@pytest.mark.parametrize("segments", [3, *(pytest.param(number, marks=pytest.mark.whole) for number in (2, 30))])
def test_state_random_numbers_and_losses_of_layers_are_those_without(segments: int) -> None:
    """A user's model would train otherwise: its layers may count, draw, normalize and add losses."""
    spec = ModelSpec(backbone=None, weights="none", image_size=SMALL, trainable="all")
    model = build_from_function(with_all_that_has_state, SMALL, CLASSES, seed=0).model
    before = [float(v.numpy()) for v in model.non_trainable_variables if v.name == "calls"]
    whole = computed(WholeNetwork(model), model, spec)
    assert_equal(computed(WholeNetwork(model, segments), model, spec), whole, 1e-5)
    counts = [value for v, value in zip(WholeNetwork(model).state, whole[2], strict=True) if v.name == "calls"]
    assert [float(count) for count in counts] == [
        count + 2.0 for count in before
    ]  # a micro-batch each, though computed twice


class Drawing(layers.Layer):  # type: ignore[misc]
    """Multiplies by a weight, and by random numbers that it draws in its own way."""

    def __init__(self, way: str, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.way = way

    def build(self, shape: Any) -> None:
        """Make the weight."""
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, inputs: Any) -> Any:
        """Multiply."""
        return inputs * self.scale * DRAWS[self.way](tf.ones_like(inputs))


DRAWS: dict[str, Callable[[Any], Any]] = {
    "tf.nn.dropout": lambda ones: tf.nn.dropout(ones, 0.3),
    "tf.random": lambda ones: tf.random.uniform(tf.shape(ones)),
    "in a function": tf.function(lambda ones: tf.random.uniform(tf.shape(ones)), autograph=False),
    "in a condition": lambda ones: tf.cond(tf.size(ones) > 1, lambda: tf.nn.dropout(ones, 0.3), lambda: ones),
    "in NumPy": lambda ones: tf.ensure_shape(
        tf.numpy_function(lambda x: np.random.random(x.shape).astype(np.float32), [ones], tf.float32),  # noqa: NPY002
        ones.shape,
    ),
    "keras.random": lambda ones: keras.random.dropout(ones, 0.3),
    "a seed": lambda ones: tf.random.stateless_uniform(tf.shape(ones), (1, 2)),
}
DRAWN_AGAIN = {"keras.random", "a seed"}


@pytest.mark.parametrize("name", DRAWS)
def test_the_numbers_that_a_layer_draws_are_those_of_its_gradient(name: str) -> None:
    """The second computation would draw others, and the weights be moved by the gradients of another network."""
    inputs = flow = keras.Input((64,))
    drawing = [Drawing(name) for _ in range(6)]
    for layer in drawing:
        flow = layers.Activation("relu")(layer(flow))
    network = keras.Model(inputs, flow)
    assert most_segments(network) > 2
    run = Recomputed(network, 3)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def summed(images: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        scales = [tf.convert_to_tensor(layer.scale.value) for layer in drawing]
        mapping = zip([layer.scale for layer in drawing], scales, strict=True)
        with tf.GradientTape() as tape, keras.StatelessScope(state_mapping=[*mapping]):
            tape.watch(scales)
            total = tf.reduce_sum(run(images, training=True))
        return total, tape.gradient(total, scales)

    images = tf.ones((3, 64))
    total, gradients = summed(images)
    assert float(total) > 0
    for gradient in gradients:  # the sum is proportional to each of the weights, which are ones
        assert float(tf.reduce_sum(gradient)) == pytest.approx(float(total), rel=1e-4)
    operations = summed.get_concrete_function(images).graph.get_operations()
    computed_again = sum(op.type == "Relu" for op in operations) - len(drawing)
    assert (computed_again > 0) == (name in DRAWN_AGAIN)


def test_the_part_above_a_cut_is_computed_again_too() -> None:
    """Fine-tuning would need as much memory as without."""
    spec = ModelSpec(backbone="MobileNet", weights="none", image_size=(32, 32), trainable="head", cut="conv_pw_6_relu")
    built = build(spec, CLASSES, lambda _: None)
    assert built.head is not None
    source = ModelSource(spec=spec, num_classes=CLASSES, optimizer="sgd", learning_rate=1e-3)
    features = np.random.default_rng(0).random((COUNT, *built.feature_shape), np.float32)
    given = features, np.arange(COUNT) % CLASSES, np.ones(COUNT, np.float32)
    shape = tf.TensorSpec((None, *built.feature_shape), tf.float32)
    results = []
    for segments in (0, 3):
        network = SplitNetwork(None, built.head, built.head_layers, segments)
        step = TrainStep(network, make_objective(built.model, source, compiled=False), shape)
        results.append(step.accumulate(*given, 3))
    assert_equal(results[1], results[0], 1e-4)


def test_less_memory_is_taken_and_in_each_step_the_same() -> None:
    """TensorFlow would keep the first activations after all; or those of the segment after, for a weight's gradient."""
    program = [sys.executable, str(CHILDREN / "recompute_peaks.py")]
    lines = subprocess.run(program, check=True, capture_output=True, text=True).stdout.splitlines()
    kept, again = ([*map(int, line.split())] for line in lines)
    assert max(again) < 0.55 * min(kept)
    assert max(again) < 1.01 * min(again)
