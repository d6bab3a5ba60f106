"""Loss, metrics and steps where an image may have any number of labels."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from autofit.config.backbones import ModelSpec
from autofit.config.multi_label_figures import multi_label_figures
from autofit.errors import UserError
from autofit.protocol.job import ModelSource
from autofit.worker.execution.sliced_model import WholeNetwork
from autofit.worker.execution.steps import EvaluateStep, Tally, TrainStep, tensors_of
from autofit.worker.model.builder import build_from_function
from autofit.worker.model.multi_label import LabelCrossentropy, LabelScores
from autofit.worker.model.objective import make_objective

pytestmark = pytest.mark.slow  # TensorFlow is loaded

SIZE, CLASSES = (8, 8), 3
SPEC = ModelSpec(backbone=None, weights="none", image_size=SIZE, trainable="all")
SOURCE = ModelSource(spec=SPEC, num_classes=CLASSES, optimizer="sgd", learning_rate=0.1, multi_label=True)
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (11, *SIZE, 3), np.uint8)
LABELS = RANDOM.integers(0, 2, (11, CLASSES)).astype(np.float32)
WEIGHTS = RANDOM.uniform(0.2, 3, (11, CLASSES)).astype(np.float32)


def network(activation: str = "sigmoid") -> keras.Model:
    layers = [keras.Input((*SIZE, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(CLASSES, activation)])


def test_the_metrics_are_those_of_their_definitions() -> None:
    """An epoch's figures would not be comparable with those of a solved head."""
    truth = RANDOM.integers(0, 2, (400, CLASSES))
    truth[:, 2] = 0
    probabilities = 1 / (1 + np.exp(-(RANDOM.normal(size=truth.shape) * 3 + truth)))
    scores = LabelScores(CLASSES)
    for start in range(0, 400, 150):
        part = slice(start, start + 150)
        scores.update_state(tf.constant(truth[part], tf.float32), tf.constant(probabilities[part], tf.float32))
    expected = multi_label_figures(probabilities, truth, 0.5)
    found = {name: float(value) for name, value in scores.result().items()}
    assert found["mean_average_precision"] == pytest.approx(expected.mean_average_precision, abs=2e-3)
    assert found["f1"] == pytest.approx(expected.f1, abs=1e-6)
    scores.reset_state()
    assert {float(value) for value in scores.result().values()} == {0.0}


def test_the_loss_is_the_mean_over_samples_and_labels() -> None:
    """It would be another one than the solver's, and stages not be comparable."""
    likelihood = np.array([[0.9, 0.8, 0.4]])
    value = LabelCrossentropy()(np.array([[1.0, 0.0, 1.0]]), np.array([[0.9, 0.2, 0.4]]))
    assert float(value) == pytest.approx(-np.log(likelihood).mean(), rel=1e-5)


def test_micro_batches_change_no_update_and_count_each_sample_once() -> None:
    """A step that ran out of memory would be repeated as another one."""
    results = []
    for micro in (11, 4, 1):
        keras.utils.set_random_seed(0)
        model = build_from_function(lambda *_: network(), SIZE, CLASSES, seed=0, multi_label=True).model
        objective = make_objective(model, SOURCE, compiled=False)
        step = TrainStep(WholeNetwork(model), objective, tf.TensorSpec((None, *SIZE, 3), tf.uint8))
        logs = step.commit(step.accumulate(IMAGES, LABELS, WEIGHTS, micro), len(IMAGES))
        results.append((model.get_weights(), {name: float(value) for name, value in logs.items()}))
    (whole, logs), *others = results
    assert set(logs) == {"loss", "mean_average_precision", "f1"}
    for weights, other in others:
        for one, two in zip(whole, weights, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
        assert other == pytest.approx(logs, rel=1e-5)


def test_a_validation_counts_the_labels_that_were_told() -> None:
    """A label that is never told would not be warned of."""
    model = network()
    objective = make_objective(model, SOURCE, compiled=False)
    step = EvaluateStep(model, objective, tf.TensorSpec((None, *SIZE, 3), tf.uint8))
    tally = Tally(tensors_of(step.variables))
    for part in (slice(6), slice(6, None)):
        step(IMAGES[part], LABELS[part], tally)
    told = (model.predict(IMAGES.astype(np.float32), verbose=0) >= 0.5).sum(axis=0)
    assert np.asarray(tally.values[-1]).tolist() == told.tolist()


def test_a_model_that_does_not_give_probabilities_of_each_label_is_refused() -> None:
    """Logits would be taken for probabilities, or a loss of the user's be left out."""
    with pytest.raises(UserError, match=r"with multi_label each output .* end it with a sigmoid"):
        build_from_function(lambda *_: network("linear"), SIZE, CLASSES, seed=0, multi_label=True)
    with pytest.raises(UserError, match="labels do not exclude each other, as in a softmax"):
        build_from_function(lambda *_: network("softmax"), SIZE, CLASSES, seed=0, multi_label=True)
    model = network()
    model.compile("sgd", "binary_crossentropy")
    with pytest.raises(UserError, match="multi_label has a loss of its own: leave the model uncompiled"):
        make_objective(model, SOURCE, compiled=True)
