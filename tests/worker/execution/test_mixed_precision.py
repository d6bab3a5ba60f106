"""Steps in 16 bits: the gradients of float32 to tolerance, and the scale of a loss in float16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from autofit.config.backbones import ModelSpec, find
from autofit.config.precisions import Precision
from autofit.protocol.job import ModelSource
from autofit.worker.execution.loss_scale import LEAST_SCALE, MOST_SCALE, LossScale
from autofit.worker.execution.sliced_model import SplitNetwork, WholeNetwork
from autofit.worker.execution.step_options import StepOptions
from autofit.worker.execution.steps import EvaluateStep, Tally, TrainStep, scaled_back, tensors_of
from autofit.worker.model.builder import build, build_from_function
from autofit.worker.model.keras_internals import all_layers
from autofit.worker.model.objective import make_objective

pytestmark = pytest.mark.slow

CLASSES, COUNT = 3, 6
SMALL = (16, 16)
OTHERS = ("ResNet50V2", "DenseNet121", "EfficientNetB0", "VGG16", "Xception", "ConvNeXtTiny")


def samples(size: tuple[int, int]) -> tuple[Any, Any, Any]:
    images = np.random.default_rng(0).integers(0, 256, (COUNT, *size, 3), np.uint8)
    return images, np.arange(COUNT) % CLASSES, np.ones(COUNT, np.float32)


def gradients_of(backbone: str, precision: Precision, segments: int = 0) -> np.ndarray:
    """The gradients of a step in two micro-batches, of all weights in a row; a scale is taken out again."""
    side = max(64, find(backbone).min_size)
    spec = ModelSpec(backbone=backbone, weights="none", image_size=(side, side), trainable="all", precision=precision)
    built = build(spec, CLASSES, lambda _: None)
    assert built.head is not None
    for layer in all_layers(built.model):
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False  # with the statistics of three images, rounding is blown up
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0  # the numbers that are drawn depend on their type
    network = SplitNetwork(built.features, built.head, built.head_layers, segments)
    source = ModelSource(spec=spec, num_classes=CLASSES, optimizer="sgd", learning_rate=1e-3)
    scale = LossScale(value=1024.0) if precision == "mixed_float16" else None
    objective = make_objective(built.model, source, compiled=False)
    step = TrainStep(network, objective, tf.TensorSpec((None, side, side, 3), tf.uint8), StepOptions(loss_scale=scale))
    _, gradients, _, _ = step.accumulate(*samples((side, side)), 4)
    assert {g.dtype for g in gradients} == {tf.float32}
    return np.concatenate([np.ravel(g) for g in gradients]) / (scale.value if scale else 1.0)


@pytest.mark.parametrize(
    "backbone",
    ["MobileNet", *(pytest.param(name, marks=pytest.mark.whole) for name in ("MobileNetV2", "ResNet50", *OTHERS))],
)
@pytest.mark.parametrize("precision", [pytest.param("mixed_bfloat16", marks=pytest.mark.whole), "mixed_float16"])
def test_gradients_are_those_of_float32_to_tolerance(backbone: str, precision: Precision) -> None:
    """Training would go elsewhere: layers without the policy's casts, a loss in 16 bits, a scale that stays in."""
    exact, rounded = gradients_of(backbone, "float32"), gradients_of(backbone, precision)
    tolerance = 0.3 if precision == "mixed_bfloat16" else 0.12  # of 8 and of 11 bits, through up to 80 layers
    assert 0 < np.linalg.norm(rounded - exact) < tolerance * np.linalg.norm(exact)


@pytest.mark.whole
def test_activations_computed_again_in_16_bits_give_the_same_gradients() -> None:
    """The segments between would be cast to 32 bits, or the second computation be another one."""
    whole = gradients_of("MobileNet", "mixed_bfloat16")
    again = gradients_of("MobileNet", "mixed_bfloat16", segments=4)
    assert np.linalg.norm(again - whole) < 0.02 * np.linalg.norm(whole)


def float16_network(shape: tuple[int, int, int], classes: int) -> keras.Model:
    """A user's network; its layers are given the policy by the option."""
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, activity_regularizer="l2"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(classes, "softmax"),
        ]
    )


def float16_step(
    scale: float, network: Callable[..., keras.Model] = float16_network, segments: int = 0
) -> tuple[TrainStep, keras.Model]:
    """A step that begins with this scale."""
    spec = ModelSpec(backbone=None, weights="none", image_size=SMALL, trainable="all", precision="mixed_float16")
    model = build_from_function(network, SMALL, CLASSES, seed=0, precision="mixed_float16").model
    source = ModelSource(spec=spec, num_classes=CLASSES, optimizer="sgd", learning_rate=0.1)
    objective = make_objective(model, source, compiled=False)
    images = tf.TensorSpec((None, *SMALL, 3), tf.uint8)
    options = StepOptions(loss_scale=LossScale(value=scale))
    return TrainStep(WholeNetwork(model, segments), objective, images, options), model


def committed(step: TrainStep, micro: int = 4) -> dict[str, float]:
    """The metrics after an update."""
    logs = step.commit(step.accumulate(*samples(SMALL), micro), COUNT)
    return {name: float(value) for name, value in logs.items()}


def test_a_finite_step_updates_and_counts() -> None:
    """Gradients would stay multiplied by the scale, or nothing be learned."""
    step, model = float16_step(64.0)
    before = model.get_weights()
    committed(step)
    assert step.loss_scale == LossScale(value=64.0, finite_steps=1)
    assert not step.is_skipped
    assert max(float(np.abs(a - b).max()) for a, b in zip(model.get_weights(), before, strict=True)) > 1e-4


def test_a_step_with_infinite_gradients_changes_no_weight_and_halves_the_scale() -> None:
    """Weights would become no numbers for good, by a rounding that half the scale avoids."""
    step, model = float16_step(MOST_SCALE)
    trained = [variable.numpy() for variable in model.trainable_variables]
    logs = committed(step, micro=2)
    assert step.is_skipped
    assert step.loss_scale == LossScale(value=MOST_SCALE / 2)
    for variable, value in zip(model.trainable_variables, trained, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert int(step._objective.optimizer.iterations) == 0
    assert np.isfinite(logs["loss"])


def test_with_the_least_scale_the_loss_says_that_the_training_has_diverged() -> None:
    """All updates would be skipped to the last epoch, and the run end as if it had learned."""
    step, model = float16_step(LEAST_SCALE)
    last = model.layers[-1]
    kernel, bias = last.get_weights()
    last.set_weights([np.full_like(kernel, np.nan), bias])
    assert np.isnan(committed(step)["loss"])
    assert step.is_skipped


def test_the_update_does_not_depend_on_the_scale() -> None:
    """The scale would be a second learning rate, or that of layers' own losses be left out."""
    updates = []
    for scale in (256.0, 1024.0):
        step, model = float16_step(scale)
        committed(step)
        updates.append(np.concatenate([np.ravel(w) for w in model.get_weights()]))
    np.testing.assert_allclose(updates[0], updates[1], rtol=0.02, atol=1e-4)


def with_other_weights(shape: tuple[int, int, int], classes: int) -> keras.Model:
    """A user's network in which two layers have weights of 64 and of 16 bits."""
    own = [layers.Conv2D(4, 3, dtype="float64"), layers.Conv2D(4, 3, dtype="float16")]
    ends = [layers.GlobalAveragePooling2D(), layers.Dense(classes, "softmax")]
    return keras.Sequential([keras.Input(shape), layers.Rescaling(1 / 255), *own, *ends])


def test_weights_of_other_numbers_than_float32_train() -> None:
    """The first update would end in a TypeError of TensorFlow."""
    step, model = float16_step(64.0, with_other_weights)
    before = [variable.numpy() for variable in model.trainable_variables]
    assert {value.dtype for value in before} == {np.dtype(name) for name in ("float16", "float32", "float64")}
    committed(step)
    assert not step.is_skipped
    assert all((v.numpy() != value).any() for v, value in zip(model.trainable_variables, before, strict=True))


@pytest.mark.parametrize("scale", [LEAST_SCALE, MOST_SCALE])
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
def test_each_scale_can_be_taken_out_of_each_kind_of_gradient(dtype: tf.DType, scale: float) -> None:
    """A scale that is infinite in float16 would make all gradients zero, and nothing would be learned."""
    (gradient,) = scaled_back([tf.constant([scale / 2**10], dtype)], tf.constant(scale))
    assert gradient.dtype == dtype
    assert float(gradient[0]) == 2.0**-10


def with_large_activations(shape: tuple[int, int, int], classes: int) -> keras.Model:
    """A network whose regularizer sums squares to millions."""
    regularized = layers.Conv2D(8, 3, activation="relu", activity_regularizer=keras.regularizers.L2(1e-6))
    pooled = [layers.Conv2D(8, 3), layers.GlobalAveragePooling2D(), layers.Rescaling(0.01)]
    return keras.Sequential([keras.Input(shape), regularized, *pooled, layers.Dense(classes, "softmax")])


@pytest.mark.parametrize("segments", [0, 3])
def test_the_outputs_of_layers_are_regularized_in_float32(segments: int) -> None:
    """The sum of squares of a usual feature map would be infinite, and the learning rate be blamed for it."""
    step, model = float16_step(64.0, with_large_activations, segments)
    regularizer = model.layers[0].activity_regularizer
    losses = [committed(step)["loss"]]
    assert not step.is_skipped
    evaluate = EvaluateStep(model, step._objective, tf.TensorSpec((None, *SMALL, 3), tf.uint8))
    images, labels, _ = samples(SMALL)
    tally = Tally(tensors_of(evaluate.variables))
    evaluate(images, labels, tally)
    losses.append(float(tally.values[0]))
    assert np.isfinite(losses).all()
    assert model.layers[0].activity_regularizer is regularizer


def test_a_compiled_model_with_a_scaled_loss_is_trained_by_the_optimizer_inside() -> None:
    """The scale of Keras's optimizer would divide gradients that were never multiplied, and be lost on resuming."""

    def network(shape: tuple[int, int, int], classes: int) -> keras.Model:
        model = float16_network(shape, classes)
        model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5)), "sparse_categorical_crossentropy")
        return model

    model = build_from_function(network, SMALL, CLASSES, seed=0).model
    spec = ModelSpec(backbone=None, weights="none", image_size=SMALL, trainable="all")
    source = ModelSource(spec=spec, num_classes=CLASSES, optimizer="adam", learning_rate=1e-3)
    objective = make_objective(model, source, compiled=True)
    assert type(objective.optimizer) is keras.optimizers.SGD
    step = TrainStep(WholeNetwork(model), objective, tf.TensorSpec((None, *SMALL, 3), tf.uint8))
    computed = step.accumulate(*samples(SMALL), COUNT)
    before = [variable.numpy() for variable in model.trainable_variables]
    step.commit(computed, COUNT)
    for variable, value, gradient in zip(model.trainable_variables, before, computed[1], strict=True):
        np.testing.assert_allclose(variable.numpy(), value - 0.5 * gradient.numpy(), atol=1e-6)
