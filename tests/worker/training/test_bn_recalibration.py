"""The averages of BatchNormalization are those of the images, in layers that see each other's batch statistics."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from autofit.worker.execution.microbatch import MicroBatcher
from autofit.worker.model.builder import BuiltModel
from autofit.worker.training.bn_recalibration import (
    BatchNormRecalibration,
    batch_statistics,
    recalibration_for,
    training_layers,
)
from tests.support.records import make_plan

pytestmark = pytest.mark.slow  # loads Keras

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 6, 6, 3), dtype=np.uint8)


def network(*, dropout: float = 0.0, momentum: float = 0.99) -> keras.Sequential:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.BatchNormalization(momentum=momentum, name="first"),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Dropout(dropout),
            keras.layers.BatchNormalization(momentum=momentum, name="second"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, "softmax"),
        ]
    )


def averages(model: keras.Model) -> list[np.ndarray]:
    layers = (model.get_layer("first"), model.get_layer("second"))
    return [v.numpy() for layer in layers for v in (layer.moving_mean, layer.moving_variance)]


def recalibrated(model: keras.Model, *, batch: int = 12, micro: int = 12) -> list[np.ndarray]:
    recalibration = BatchNormRecalibration(model, training_layers(model))
    recalibration.begin()
    for start in range(0, len(IMAGES), batch):
        recalibration.add(IMAGES[start : start + batch], MicroBatcher(micro, lambda _: None))
    recalibration.finish()
    return averages(model)


def second_input(model: keras.Model) -> np.ndarray:
    """The second layer's input where the first normalizes with the statistics of all images, and nothing is dropped."""
    pixels = IMAGES / np.float32(255)
    mean, variance = pixels.mean((0, 1, 2)), pixels.var((0, 1, 2))
    normalized = (pixels - mean) / np.sqrt(variance + model.get_layer("first").epsilon)
    convolution = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    return np.asarray(convolution(normalized.astype("float32")))


@pytest.mark.parametrize("momentum", [0.5, 0.999])
def test_the_averages_are_the_means_and_variances_of_the_images(momentum: float) -> None:
    """Validation would go on with averages of other weights; with a dropout in them they would not be of inference."""
    model = network(dropout=0.6, momentum=momentum)
    first_mean, first_variance, second_mean, second_variance = recalibrated(model)
    pixels, inner = IMAGES / 255, second_input(model)
    np.testing.assert_allclose(first_mean, pixels.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(first_variance, pixels.var((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(second_mean, inner.mean((0, 1, 2)), rtol=1e-3)
    np.testing.assert_allclose(second_variance, inner.var((0, 1, 2)), rtol=1e-3)


@pytest.mark.parametrize(("batch", "micro"), [(5, 5), (12, 4), (8, 3)])
def test_images_count_alike_in_parts_of_any_size(batch: int, micro: int) -> None:
    """The variance between the parts would be missing, or a short last batch would weigh as much as a whole one."""
    first_mean, first_variance, _, _ = recalibrated(network(), batch=batch, micro=micro)
    np.testing.assert_allclose(first_mean, (IMAGES / 255).mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(first_variance, (IMAGES / 255).var((0, 1, 2)), rtol=1e-4)


def test_a_layer_with_several_places_in_a_network_has_the_mean_of_theirs() -> None:
    """Its averages would be twice as large as its inputs, and a validation be of a network that nobody trained."""
    normalization = keras.layers.BatchNormalization(scale=False, center=False, momentum=0.9, name="shared")
    inputs = keras.Input((6, 6, 3))
    pixels = keras.layers.Rescaling(1 / 255)(inputs)
    outputs = keras.layers.Concatenate()([normalization(pixels), normalization(pixels)])
    model = keras.Model(inputs, outputs)
    recalibration = BatchNormRecalibration(model, training_layers(model))
    recalibration.begin()
    recalibration.add(IMAGES, MicroBatcher(12, lambda _: None))
    recalibration.finish()
    np.testing.assert_allclose(normalization.moving_mean, (IMAGES / 255).mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(normalization.moving_variance, (IMAGES / 255).var((0, 1, 2)), rtol=1e-4)


def test_what_the_averages_were_before_does_not_count() -> None:
    """A run that was killed in a validation repeats its recalibration, and would end with other bits."""
    model = network(dropout=0.3)
    once = recalibrated(model)
    model.get_layer("first").moving_variance.assign([7.0, 8.0, 9.0])
    for before, after in zip(once, recalibrated(model), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_frozen_layer_keeps_its_averages_and_normalizes_with_them() -> None:
    """A pretrained backbone's statistics would be overwritten by those of a few hundred images."""
    model = network()
    frozen, before = model.get_layer("first"), averages(model)
    frozen.trainable = False
    after = recalibrated(model)
    np.testing.assert_array_equal(before[:2], after[:2])
    assert not np.allclose(before[3], after[3])
    frozen.trainable = model.get_layer("second").trainable = False
    assert recalibration_for(built(model), make_plan(recalibration_images=8)) is None


class ForInference(keras.layers.Layer):  # type: ignore[misc]  # Keras is not typed
    """A user's own layer, whose BatchNormalization is to keep its averages, as in Keras's guide to fine-tuning."""

    def __init__(self) -> None:
        super().__init__()
        self.normalization = keras.layers.BatchNormalization(name="inner")

    def call(self, inputs: Any) -> Any:
        """Normalize with the averages, always."""
        return self.normalization(inputs, training=False)


def test_a_layer_that_trains_with_its_averages_keeps_them() -> None:
    """Each validation would put others in their place, and change what the next training step computes."""
    inner = ForInference()
    model = keras.Sequential(
        [keras.Input((6, 6, 3)), inner, keras.layers.BatchNormalization(name="outer"), keras.layers.Flatten()]
    )
    assert [layer.name for layer in training_layers(model)] == ["outer"]
    assert not model.get_layer("outer").moving_mean.numpy().any()  # it was not trained


def test_averages_that_never_move_stay() -> None:
    """What one call adds to them is nothing, and would be divided by nothing."""
    model = network(momentum=1.0)
    assert recalibration_for(built(model), make_plan(recalibration_images=8)) is None


def test_an_old_plan_asks_for_no_recalibration() -> None:
    """A run that is resumed would validate otherwise than it began."""
    model = network()
    assert recalibration_for(built(model), make_plan()) is None
    assert recalibration_for(built(model), make_plan(recalibration_images=8)) is not None


def test_the_model_is_as_before_and_its_training_too() -> None:
    """A layer would stay in training, or a training step would depend on whether there was a validation."""
    model = network()
    before = [v.numpy() for v in model.trainable_variables], model(IMAGES, training=True).numpy()
    batch_statistics(model, training_layers(model), IMAGES.astype("float32"))
    recalibrated(model)
    for old, now in zip(before[0], model.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, now.numpy())
    np.testing.assert_array_equal(before[1], model(IMAGES, training=True).numpy())
    once = model(IMAGES[:3], training=False).numpy()
    np.testing.assert_allclose(once[:1], model(IMAGES[:1], training=False).numpy(), rtol=1e-5)


def built(model: keras.Model) -> BuiltModel:
    return BuiltModel(model, None, None, (), frozen=False, compiled=False)
