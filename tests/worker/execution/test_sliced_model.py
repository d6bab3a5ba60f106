"""Whether the size of the slices decides the result is known of every layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest
from keras import layers
from keras.random import normal

from autofit.worker.execution.sliced_model import WholeNetwork, slices_decide

pytestmark = pytest.mark.slow  # imports TensorFlow


class Averages(layers.Layer):  # type: ignore[misc]  # Keras is not typed
    """Keeps the mean of what it has seen, as BatchNormalization does."""

    def build(self, shape: Any) -> None:
        """Make the mean."""
        self.mean = self.add_weight(shape=(shape[-1],), trainable=False)

    def call(self, inputs: Any) -> Any:
        """Move the mean by this slice."""
        self.mean.assign(0.9 * self.mean + 0.1 * keras.ops.mean(inputs, axis=0))
        return inputs


class Penalised(layers.Layer):  # type: ignore[misc]  # Keras is not typed
    """Adds the sum of what it is given to the loss."""

    def call(self, inputs: Any) -> Any:
        """Add this slice's."""
        self.add_loss(keras.ops.sum(inputs))
        return inputs


class Noisy(layers.Layer):  # type: ignore[misc]  # Keras is not typed
    """Draws without a seed generator of its own."""

    def call(self, inputs: Any) -> Any:
        """Add noise."""
        return inputs + keras.random.normal(keras.ops.shape(inputs))


class NoisyByName(layers.Layer):  # type: ignore[misc]  # Keras is not typed
    """Draws by a function that is imported by its name, in a method of its own."""

    def call(self, inputs: Any) -> Any:
        """Add noise."""
        return self.shaken(inputs)

    def shaken(self, inputs: Any) -> Any:
        """The inputs and noise."""
        return inputs + normal(keras.ops.shape(inputs))


class Doubles(layers.Layer):  # type: ignore[misc]  # Keras is not typed
    """A user's layer that computes, and no more."""

    def call(self, inputs: Any) -> Any:
        """Twice the inputs."""
        return 2 * inputs


class OwnModel(keras.Model):  # type: ignore[misc]  # Keras is not typed
    """A user's subclass of a functional model, which keeps nothing itself."""


def reason(*middle: keras.Layer, model: Callable[..., keras.Model] = keras.Model) -> str | None:
    inputs = flow = keras.Input((4,))
    for layer in middle:
        flow = layer(flow)
    whole = model(inputs, layers.Dense(2, activation="softmax")(flow))
    return slices_decide(whole, WholeNetwork(whole))


def frozen(layer: keras.Layer) -> keras.Layer:
    layer.trainable = False
    return layer


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (layers.BatchNormalization(), "BatchNormalization trains"),
        (layers.Dropout(0.5), "draws random numbers"),
        (Noisy(name="noisy"), "noisy draws random numbers"),
        (NoisyByName(name="noisy"), "noisy draws random numbers"),
        (layers.Lambda(lambda x: keras.random.dropout(x, 0.5), name="noisy"), "noisy draws random numbers"),
        (Averages(name="averages"), "averages has weights that do not train"),
        (frozen(Averages(name="averages")), "averages has weights that do not train"),
        (keras.Sequential([Averages(name="averages")]), "averages has weights that do not train"),
        (layers.SpectralNormalization(layers.Dense(4), name="spectral"), "spectral has weights that do not train"),
        (Penalised(name="penalised"), "penalised adds a loss"),
        (layers.Dense(4, activity_regularizer="orthogonal_regularizer", name="d"), "d has an activity_regularizer"),
    ],
)
def test_a_layer_that_does_something_for_each_slice_is_named(layer: keras.Layer, words: str) -> None:
    """A run that had to take smaller micro-batches would end with another model, and say that it is the same."""
    assert words in (reason(layer) or "")


@pytest.mark.parametrize(
    ("layer", "words"),
    [(layers.Dropout(0.5), ""), (layers.RandomFlip(), ""), (Noisy(name="noisy"), "noisy draws random numbers")],
)
def test_layers_of_keras_that_are_called_in_inference_draw_nothing(layer: keras.Layer, words: str) -> None:
    """Above a cut, each shrink of a network with dropout would be called a changed result."""
    inputs = keras.Input((4, 4, 3))
    whole = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layer(inputs))))
    assert words in (slices_decide(whole, WholeNetwork(whole), in_inference=True) or "")
    assert bool(words) == (slices_decide(whole, WholeNetwork(whole), in_inference=True) is not None)


@pytest.mark.parametrize(
    "layer",
    [
        frozen(layers.BatchNormalization()),
        frozen(layers.Dense(4)),
        layers.Normalization(mean=0.0, variance=1.0),
        layers.Dense(4, kernel_regularizer="l2", bias_regularizer="l1"),
        Doubles(),
        layers.Lambda(lambda x: 2 * x),
    ],
)
def test_a_layer_that_only_computes_is_not(layer: keras.Layer) -> None:
    """Each shrink of an ordinary network would be called a changed result."""
    assert reason(layer) is None
    assert reason(layer, model=OwnModel) is None


@pytest.mark.parametrize(("version", "is_divided"), [("3.13.2", False), ("3.14.0", True), ("4.0.0", True)])
@pytest.mark.parametrize(
    "layer", [layers.Dense(4, activity_regularizer="l2", name="d"), layers.ActivityRegularization(0.1, name="d")]
)
def test_activity_is_regularized_by_the_mean_only_in_newer_releases_of_keras(
    version: str, layer: keras.Layer, monkeypatch: pytest.MonkeyPatch, *, is_divided: bool
) -> None:
    """With Keras 3.13 a smaller micro-batch would regularize less, and nobody would be told."""
    monkeypatch.setattr(keras, "__version__", version)
    expected = None if is_divided else "d has an activity_regularizer, which takes each micro-batch as a whole"
    assert reason(layer) == expected


def test_keras_divides_as_its_version_says() -> None:
    """What is said of the release that is installed would be wrong."""
    layer = layers.ActivityRegularization(l1=1.0)
    layer(keras.ops.ones((2, 1)))
    assert (float(layer.losses[0]) == 1.0) == (reason(layers.ActivityRegularization(l1=1.0)) is None)
