"""The compiled steps are traced once, before which the optimizer has its variables: a trace takes up to ten seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from autofit.config.backbones import ModelSpec
from autofit.errors import UserError
from autofit.protocol.job import ModelSource
from autofit.worker.execution.sliced_model import SplitNetwork, WholeNetwork
from autofit.worker.execution.step_options import StepOptions
from autofit.worker.execution.steps import EvaluateStep, Tally, TrainStep, compile_forward, tensors_of
from autofit.worker.model.builder import build, build_from_function
from autofit.worker.model.objective import Objective, make_objective

pytestmark = pytest.mark.slow

SIZE, CLASSES = (8, 8), 3
SPEC = ModelSpec(backbone=None, weights="none", image_size=SIZE, trainable="all")
SOURCE = ModelSource(spec=SPEC, num_classes=CLASSES, optimizer="adam", learning_rate=1e-3)
IMAGES = tf.TensorSpec((None, *SIZE, 3), tf.uint8)


def small(shape: tuple[int, int, int], classes: int) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(classes, "softmax"),
        ]
    )


@pytest.fixture
def model() -> keras.Model:
    return build_from_function(small, SIZE, CLASSES, seed=0).model


@pytest.fixture
def objective(model: keras.Model) -> Objective:
    return make_objective(model, SOURCE, compiled=False)


def samples(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    images = np.random.default_rng(count).integers(0, 256, (count, *SIZE, 3), np.uint8)
    return images, np.arange(count) % CLASSES, np.ones(count, np.float32)


def test_an_update_leaves_its_metrics_on_the_device(model: keras.Model, objective: Objective) -> None:
    """Reading them waits for the device, in each step."""
    step = TrainStep(WholeNetwork(model), objective, IMAGES)
    logs = step.commit(step.accumulate(*samples(8), 8), 8)
    assert {name: isinstance(value, tf.Tensor) for name, value in logs.items()} == {"accuracy": True, "loss": True}


def test_an_update_is_traced_once_for_all_sizes(model: keras.Model, objective: Objective) -> None:
    """The last batch of an epoch, a ramp and a shrink would each trace the network anew."""
    step = TrainStep(WholeNetwork(model), objective, IMAGES)
    for count, micro in [(8, 8), (8, 2), (5, 2), (1, 1)]:
        step.commit(step.accumulate(*samples(count), micro), count)
    assert step._accumulate.experimental_get_tracing_count() == 1
    assert step._commit.experimental_get_tracing_count() == 1


def test_the_optimizer_has_its_variables_before_the_trace(model: keras.Model, objective: Objective) -> None:
    """It would make them inside the first trace, and the second step would be traced again."""
    before = list(objective.optimizer.variables)
    assert len(before) > 2 * len(model.trainable_variables)
    step = TrainStep(WholeNetwork(model), objective, IMAGES)
    step.commit(step.accumulate(*samples(4), 4), 4)
    assert [id(variable) for variable in objective.optimizer.variables] == [id(variable) for variable in before]


def test_a_validation_and_an_extraction_are_traced_once(model: keras.Model, objective: Objective) -> None:
    """Each size of a last batch would cost seconds of tracing."""
    evaluate, forward = EvaluateStep(model, objective, IMAGES), compile_forward(model)
    tally = Tally(tensors_of(evaluate.variables), keeps_outputs=True)
    for count in (8, 3, 1):
        images, labels, _ = samples(count)
        evaluate(images, labels, tally)
        forward(images)
    assert evaluate._run.experimental_get_tracing_count() == 1
    assert int(np.sum(tally.values[-1])) == sum(map(len, tally.outputs)) == 12
    assert forward.experimental_get_tracing_count() == 1


def normalized_by_spectrum(shape: tuple[int, int, int], classes: int) -> keras.Model:
    """A network with a layer that sets its kernel in each call of the training."""
    convolution = keras.layers.Conv2D(4, 3, padding="same")
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.SpectralNormalization(convolution, name="spectral"),
            *(keras.layers.Conv2D(8, 3, padding="same", activation="relu") for _ in range(3)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(classes, "softmax"),
        ]
    )


@pytest.mark.parametrize("segments", [0, 3])
def test_a_layer_that_sets_its_own_weights_is_refused(segments: int) -> None:
    """What it sets would be forgotten after the step: a validation sees the kernel as it never was in the training."""
    model = build_from_function(normalized_by_spectrum, SIZE, CLASSES, seed=0).model
    step = TrainStep(WholeNetwork(model, segments), make_objective(model, SOURCE, compiled=False), IMAGES)
    with pytest.raises(UserError, match=r"sets its weight .*spectral.*kernel whenever it is called.*: remove that"):
        step.accumulate(*samples(4), 4)


SHARED = keras.random.SeedGenerator(1)


@keras.saving.register_keras_serializable("test_steps")
class Noisy(keras.layers.Layer):  # type: ignore[misc]  # Keras is not typed
    """Adds numbers that it draws without a seed generator of its own."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Add them in training."""
        return inputs + keras.random.normal(keras.ops.shape(inputs)) if training else inputs


@keras.saving.register_keras_serializable("test_steps")
class DrawingOutside(Noisy):
    """Draws from a generator that no layer has."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Add numbers in training."""
        return inputs + keras.random.normal(keras.ops.shape(inputs), seed=SHARED) if training else inputs


def with_noise(noise: type[keras.layers.Layer]) -> Callable[..., keras.Model]:
    """A network with noise between its layers."""

    def network(shape: tuple[int, int, int], classes: int) -> keras.Model:
        middle = [layer for _ in range(3) for layer in (keras.layers.Conv2D(4, 3, padding="same"), noise())]
        ends = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(classes, "softmax")]
        return keras.Sequential([keras.Input(shape), keras.layers.Rescaling(1 / 255), *middle, *ends])

    return network


@pytest.mark.parametrize("segments", [0, 3])
def test_numbers_drawn_without_a_seed_generator_differ_from_step_to_step(segments: int) -> None:
    """Each image would get the same noise in each epoch, and learn it by heart: `model.fit` draws anew."""
    model = build_from_function(with_noise(Noisy), SIZE, CLASSES, seed=0).model
    objective = replace(make_objective(model, SOURCE, compiled=False), optimizer=keras.optimizers.SGD(0.0))
    objective.optimizer.build(model.trainable_variables)
    step = TrainStep(WholeNetwork(model, segments), objective, IMAGES)
    losses, states = [], []
    for _ in range(2):
        of_parts, computed = (step.accumulate(*samples(8), micro) for micro in (2, 8))
        losses.append(float(computed[0]))
        states += [[int(value) for value in each[2][-1]] for each in (of_parts, computed)]
        step.commit(computed, 8)
    assert losses[0] != losses[1]
    assert len({tuple(state) for state in states}) == 4  # a micro-batch draws numbers of its own


@pytest.mark.parametrize("segments", [0, 3])
def test_a_layer_that_draws_from_a_generator_outside_of_it_is_refused(segments: int) -> None:
    """It would draw the same numbers in each step, and nobody would know."""
    model = build_from_function(with_noise(DrawingOutside), SIZE, CLASSES, seed=0).model
    step = TrainStep(WholeNetwork(model, segments), make_objective(model, SOURCE, compiled=False), IMAGES)
    with pytest.raises(
        UserError, match=r"seed_generator\S*, a SeedGenerator that belongs to none .* make it an attribute"
    ):
        step.accumulate(*samples(4), 4)


def with_losses_of_layers(shape: tuple[int, int, int], classes: int) -> keras.Model:
    """A network whose layers add losses of their weights and of what they put out."""
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, kernel_regularizer="l2", activity_regularizer="l1"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(classes, "softmax"),
        ]
    )


def test_a_validation_counts_the_losses_that_layers_add() -> None:
    """The loss would be lower in validation than in training, where these are counted, and than in `model.evaluate`."""
    model = build_from_function(with_losses_of_layers, SIZE, CLASSES, seed=0).model
    objective = make_objective(model, SOURCE, compiled=False)
    evaluate = EvaluateStep(model, objective, IMAGES)
    tally = Tally(tensors_of(evaluate.variables))
    images, labels, _ = samples(8)
    evaluate(images, labels, tally)  # at once: before Keras 3.14 an activity regularizer's loss is a sum over the batch
    for variable, value in zip(evaluate.variables, tally.values, strict=True):
        variable.assign(value)
    found = float(objective.results()["loss"])
    model.compile(loss="sparse_categorical_crossentropy")
    assert found == pytest.approx(model.evaluate(images, labels, batch_size=8, verbose=0), rel=1e-5)


def test_padding_changes_no_gradient(calibrated: Callable[[str], Path]) -> None:
    """Rows of zeros would be learned from, or the share of a slice be taken of the padded one."""
    spec = ModelSpec(
        backbone="MobileNet",
        weights=str(calibrated("MobileNet")),
        image_size=(64, 64),
        trainable="all",
        dropout=0.0,
    )
    source = ModelSource(spec=spec, num_classes=CLASSES, optimizer="adam", learning_rate=1e-3)
    built = build(spec, CLASSES, lambda _: None)
    assert built.head is not None
    network = SplitNetwork(built.features, built.head, built.head_layers)
    images = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), np.uint8)
    labels, weights = np.arange(12) % CLASSES, np.linspace(0.5, 2, 12, dtype=np.float32)

    results = []
    for pads in (False, True):
        objective = make_objective(built.model, source, compiled=False)
        step = TrainStep(network, objective, tf.TensorSpec((None, 64, 64, 3), tf.uint8), StepOptions(pads=pads))
        loss, gradients, _, metrics = step.accumulate(images, labels, weights, 8)
        results.append((loss, gradients, metrics))

    (loss, gradients, metrics), (padded_loss, padded_gradients, padded_metrics) = results
    np.testing.assert_allclose(padded_loss, loss, rtol=1e-5)
    np.testing.assert_allclose(padded_metrics, metrics)
    differences = [tf.norm(a - b) / tf.norm(a) for a, b in zip(gradients, padded_gradients, strict=True)]
    assert max(map(float, differences)) < 1e-4
