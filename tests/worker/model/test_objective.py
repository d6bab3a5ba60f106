"""A compiled model keeps its own loss, optimizer and metrics, in whatever form `compile` was given them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from autofit.config.backbones import ModelSpec
from autofit.errors import UserError
from autofit.protocol.job import ModelSource
from autofit.worker.model.objective import make_objective
from tests.support.ids import steady

pytestmark = pytest.mark.slow

SPEC = ModelSpec(backbone=None, weights="none", image_size=(4, 4), trainable="all")
SOURCE = ModelSource(spec=SPEC, num_classes=3, optimizer="adam", learning_rate=1e-3)
LABELS = np.array([0, 2])
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]], np.float32)
CROSS_ENTROPY = float(-np.log([0.7, 0.4]).mean())


@pytest.mark.parametrize(
    ("loss", "one_hot"),
    [
        ("sparse_categorical_crossentropy", False),
        (keras.losses.SparseCategoricalCrossentropy(name="mine"), False),
        (keras.losses.sparse_categorical_crossentropy, False),
        (["sparse_categorical_crossentropy"], False),
        ("categorical_crossentropy", True),
        (keras.losses.CategoricalCrossentropy(), True),
    ],
    ids=steady,
)
def test_a_compiled_loss_is_kept(loss: Any, *, one_hot: bool) -> None:
    """A loss given by name, as a function or under another name would crash, or see labels in the wrong form."""
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", loss, metrics=["accuracy"])

    objective = make_objective(model, SOURCE, compiled=True)
    value = objective.loss_function(objective.encode(LABELS), PROBABILITIES)

    assert bool(objective.one_hot_classes) == one_hot
    assert float(value) == pytest.approx(CROSS_ENTROPY, rel=1e-5)
    assert objective.optimizer is model.optimizer
    assert list(objective.results()) == ["accuracy", "loss"]


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_one_unit_gets_labels_and_counts_as_in_fit(*, logits: bool, compiled: bool) -> None:
    """Labels of another shape would be broadcast to a matrix: a loss that falls and means nothing."""
    keras.utils.set_random_seed(0)
    head = keras.layers.Dense(1, None if logits else "sigmoid")
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), head])
    loss = keras.losses.BinaryCrossentropy(from_logits=logits)
    images, labels = np.random.default_rng(0).normal(size=(6, 4, 4, 3)).astype(np.float32), np.array([0, 1, 1, 0, 1, 1])
    accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0 if logits else 0.5)
    model.compile("sgd", loss, metrics=[accuracy, keras.metrics.AUC(from_logits=logits, name="auc")])
    expected = model.evaluate(images, labels, verbose=0, return_dict=True)
    given = {"loss": keras.saving.serialize_keras_object(loss)} if logits and not compiled else {}
    source = SOURCE.model_copy(update={"num_classes": 2, **given})

    objective = make_objective(model, source, compiled=compiled)
    outputs = model(images)
    numbers = keras.ops.convert_to_tensor(labels)
    objective.update_metrics(numbers, outputs)

    found = {name: float(value) for name, value in objective.results().items() if name != "loss"}
    names = ("accuracy", "auc") if compiled else ("accuracy",)
    assert found == pytest.approx({name: expected[name] for name in names})
    assert float(objective.loss_function(objective.encode(numbers), outputs)) == pytest.approx(expected["loss"])
    told = np.asarray(objective.told(outputs))
    assert (told.argmax(axis=1) == labels).mean() == pytest.approx(expected["accuracy"])


@pytest.mark.parametrize(
    ("metric", "accuracy", "is_said"),
    [
        ("accuracy", 1.0, True),
        (keras.metrics.BinaryAccuracy(name="accuracy"), 1.0, True),
        (keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.3), 0.5, False),
    ],
    ids=["by name", "as an object", "with a threshold of its own"],
)
def test_the_accuracy_of_logits_is_that_of_what_is_predicted(metric: Any, accuracy: float, *, is_said: bool) -> None:
    """The summary would say 0.5 and the confusion matrix beside it that all are right: Keras counts logits over 0.5."""
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True), metrics=[metric])
    objective = make_objective(model, SOURCE.model_copy(update={"num_classes": 2}), compiled=True)
    outputs = keras.ops.convert_to_tensor([[0.1], [0.2], [0.4], [0.7]])
    objective.update_metrics(keras.ops.ones((4,), "int64"), outputs)
    assert np.asarray(objective.told(outputs)).argmax(axis=1).tolist() == [1, 1, 1, 1]
    assert bool(objective.note) == is_said
    assert float(objective.results()["accuracy"]) == accuracy


class Measuring(keras.layers.Layer):  # type: ignore[misc]
    """Counts a mean of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = keras.metrics.Mean(name="activity")

    def call(self, inputs: Any) -> Any:
        """Count."""
        self.mean.update_state(inputs)
        return inputs


def test_a_metric_that_a_layer_counts_is_left_out_and_named() -> None:
    """It would be given the labels and the outputs, and the history have the mean of class numbers under its name."""
    flat = keras.layers.Flatten()
    model = keras.Sequential([keras.Input((4, 4, 3)), flat, Measuring(), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    objective = make_objective(model, SOURCE, compiled=True)
    assert list(objective.results()) == ["accuracy", "loss"]
    assert objective.note == "metrics that the model's layers count themselves are left out: activity"


@pytest.mark.parametrize(("name", "given"), [("optimizer", "sgd"), ("learning_rate", 0.5)])
def test_an_optimizer_beside_a_compiled_model_is_refused(name: str, given: Any) -> None:
    """It would silently do nothing."""
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    source = SOURCE.model_copy(update={name: given})
    with pytest.raises(UserError, match=f"^{name} {given!r} beside a compiled model: set it in compile"):
        make_objective(model, source, compiled=True)
    assert make_objective(model, source, compiled=False).optimizer is not model.optimizer
