"""What a folded network gives beside the network itself, and what is left as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from autofit.worker.execution.steps import compile_forward
from autofit.worker.model.bn_folding import folded
from autofit.worker.model.keras_internals import all_layers
from tests.support.paths import CHILDREN

pytestmark = pytest.mark.slow  # imports TensorFlow

SIZE = (12, 12, 3)


def with_statistics(model: keras.Model) -> keras.Model:
    """The model, with BatchNormalization as after a training: none of its constants is 0 or 1."""
    random = np.random.default_rng(0)
    for layer in all_layers(model):
        if isinstance(layer, layers.BatchNormalization):
            for variable in layer.weights:
                variable.assign(random.uniform(0.5, 1.5, variable.shape))
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(random.uniform(-1, 1, layer.bias.shape))
    return model


def network(*inner: keras.Layer, after: Callable[[keras.KerasTensor], keras.KerasTensor] = lambda x: x) -> keras.Model:
    inputs = keras.Input(SIZE)
    flow = inputs
    for layer in inner:
        flow = layer(flow)
    return with_statistics(keras.Model(inputs, after(flow)))


def outputs(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """As a worker runs it: compiled, so that TensorFlow fuses what it can."""
    return np.asarray(compile_forward(model)(images))


def photos(shape: tuple[int, ...] = SIZE, count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, *shape), np.uint8)


def normalizations(model: keras.Model) -> int:
    """How many BatchNormalization layers the model computes."""
    return sum(isinstance(layer, layers.BatchNormalization) for each in models_in(model) for layer in each.layers)


def models_in(model: keras.Model) -> list[keras.Model]:
    return [model, *(x for layer in model.layers if isinstance(layer, keras.Model) for x in models_in(layer))]


CONVOLUTIONS: dict[str, Callable[[], keras.Layer]] = {
    "plain": lambda: layers.Conv2D(5, 3, use_bias=False),
    "with a bias": lambda: layers.Conv2D(5, 3),
    "strides and padding": lambda: layers.Conv2D(5, 3, strides=(2, 1), padding="same"),
    "in groups": lambda: layers.Conv2D(6, 3, groups=3),
    "dilated": lambda: layers.Conv2D(5, 3, dilation_rate=2),
    "depthwise": lambda: layers.DepthwiseConv2D(3, use_bias=False, strides=2, padding="same"),
    "depthwise, several a channel": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
    "separable": lambda: layers.SeparableConv2D(5, 3, depth_multiplier=2, padding="same"),
}
NORMALIZATIONS: dict[str, Callable[[], keras.Layer]] = {
    "usual": lambda: layers.BatchNormalization(epsilon=1e-3),
    "without a scale": lambda: layers.BatchNormalization(scale=False),
    "without a centre": lambda: layers.BatchNormalization(center=False, axis=3),
}


@pytest.mark.parametrize("second", NORMALIZATIONS.values(), ids=NORMALIZATIONS)
@pytest.mark.parametrize("first", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_a_folded_convolution_gives_what_both_gave(
    first: Callable[[], keras.Layer], second: Callable[[], keras.Layer]
) -> None:
    """Features would be of another network than the one that is saved."""
    model = network(first(), second(), layers.ReLU(6.0))
    runs = folded(model)
    assert (normalizations(model), normalizations(runs)) == (1, 0)
    expected = outputs(model, photos())
    np.testing.assert_allclose(outputs(runs, photos()), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def shared(flow: keras.KerasTensor) -> keras.KerasTensor:
    """One layer for two tensors."""
    convolution, normalization = layers.Conv2D(3, 3, padding="same"), layers.BatchNormalization()
    return normalization(convolution(normalization(convolution(flow))))


def twice_used(flow: keras.KerasTensor) -> keras.KerasTensor:
    """The output of the convolution is used twice."""
    convolved = layers.Conv2D(4, 3)(flow)
    return layers.Add()([layers.BatchNormalization()(convolved), convolved])


class OwnConvolution(layers.Conv2D):  # type: ignore[misc]  # Keras is not typed
    """A user's own convolution, which may compute anything."""


def behind_an_operation(flow: keras.KerasTensor) -> keras.KerasTensor:
    """A BatchNormalization after an operation that is not a layer."""
    return layers.BatchNormalization()(keras.ops.add(flow, flow))


LEFT_ALONE: dict[str, Callable[[], keras.Model]] = {
    "the convolution has an activation": lambda: network(layers.Conv2D(4, 3, activation="relu"), bn()),
    "nothing before it": lambda: network(bn()),
    "something between": lambda: network(layers.Conv2D(4, 3), layers.ReLU(), bn()),
    "of another axis": lambda: network(layers.Conv2D(4, 3), layers.BatchNormalization(axis=1)),
    "used twice": lambda: network(after=twice_used),
    "behind an operation": lambda: network(after=behind_an_operation),
    "shared layers": lambda: network(after=shared),
    "a class of one's own": lambda: network(OwnConvolution(4, 3), bn()),
    "no normalization": lambda: network(layers.Conv2D(4, 3)),
}


def bn() -> keras.Layer:
    return layers.BatchNormalization()


@pytest.mark.parametrize("make", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_layers_that_cannot_be_folded_stay(make: Callable[[], keras.Model]) -> None:
    """The result would silently be wrong."""
    model = make()
    assert folded(model) is model


@pytest.mark.parametrize("kind", [list, tuple, lambda outputs: dict(zip("ab", outputs, strict=True))])
def test_outputs_of_the_model_are_not_folded(kind: Callable[[list[keras.KerasTensor]], object]) -> None:
    """One of its outputs would be another."""
    inputs = keras.Input(SIZE)
    convolved = layers.Conv2D(4, 3)(inputs)
    model = keras.Model(inputs, kind([convolved, layers.BatchNormalization()(convolved)]))
    assert folded(model) is model


def test_layers_that_another_model_uses_as_well_are_folded_where_they_follow_each_other() -> None:
    """The first use of a layer would be mistaken for its use in this model."""
    inputs = keras.Input(SIZE)
    first, second = layers.Conv2D(3, 3, padding="same"), layers.BatchNormalization()
    together = keras.Model(inputs, second(first(inputs)))
    apart = keras.Model(inputs, second(layers.ReLU()(first(inputs))))
    assert folded(apart) is apart
    assert normalizations(folded(together)) == 0
    assert normalizations(folded(together)) == 0


def taps(deep: str, *names: str, outside: str = "") -> keras.Model:
    """The layers of one network in several networks, each up to another layer, and one of them called beside these."""
    inputs = keras.Input(SIZE)
    flow = layers.Conv2D(4, 3, name="one")(inputs)
    flow = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(flow))
    base = keras.Model(inputs, layers.Conv2D(4, 3, name="two")(flow))
    images = keras.Input(SIZE)
    flows = [keras.Model(inputs, base.get_layer(name).output, name=f"to_{name}")(images) for name in (deep, *names)]
    flows += [base.get_layer(outside)(layers.ZeroPadding2D()(images))] if outside else []
    pooled = [layers.GlobalAveragePooling2D()(flow) for flow in flows]
    return with_statistics(keras.Model(images, layers.Concatenate()(pooled)))


@pytest.mark.parametrize(
    ("make", "left"),
    [
        (lambda: taps("two", "one"), 1),
        (lambda: taps("two", outside="one"), 1),
        (lambda: taps("two", "relu"), 0),
    ],
)
def test_layers_that_nested_networks_share_are_folded_where_all_have_both(
    make: Callable[[], keras.Model], left: int
) -> None:
    """A convolution alone would give what it and its normalization give: features of another network."""
    model = make()
    runs = folded(model)
    assert normalizations(runs) == left
    expected = outputs(model, photos())
    np.testing.assert_allclose(outputs(runs, photos()), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("first", [layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D])
def test_a_network_of_mixed_precision_is_folded_as_well(first: type[keras.Layer]) -> None:
    """In a notebook that has set another dtype policy the kernels and their factors would be of two types."""
    sizes = {"kernel_size": 3} | ({} if first is layers.DepthwiseConv2D else {"filters": 4})
    model = network(first(dtype="mixed_bfloat16", **sizes), layers.BatchNormalization(dtype="mixed_bfloat16"))
    runs = folded(model)
    assert normalizations(runs) == 0
    given, expected = (np.asarray(tf.cast(compile_forward(each)(photos()), tf.float32)) for each in (runs, model))
    np.testing.assert_allclose(given, expected, rtol=0.03, atol=0.03 * np.abs(expected).max())  # 8 bits


def test_weights_that_are_loaded_later_count() -> None:
    """A run that goes on from a checkpoint would extract with the weights from before it."""
    model = network(layers.Conv2D(4, 3), bn())
    forward = compile_forward(folded(model))
    forward(photos())
    for variable in model.weights:
        variable.assign(variable + 0.5)
    np.testing.assert_allclose(np.asarray(forward(photos())), outputs(model, photos()), rtol=1e-4, atol=1e-3)


FOLDS = {"MobileNetV2": 52, "ResNet50": 53, "EfficientNetB0": 49, "DenseNet121": 59, "Xception": 40}


@pytest.mark.whole
@pytest.mark.parametrize("onednn", [pytest.param("0", id="eigen"), pytest.param("1", id="onednn")])
def test_networks_of_keras_give_the_same_features(onednn: str) -> None:
    """TensorFlow rewrites what it compiles: an order that it cannot keep is an error there, and nowhere else."""
    program = [sys.executable, str(CHILDREN / "folded_network.py"), *FOLDS]
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": onednn}
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert {name: each["folds"] for name, each in found.items()} == FOLDS
    assert all(each["is_as_before"] for each in found.values()), found
    assert all(each["apart"] < 1e-5 for each in found.values()), found
