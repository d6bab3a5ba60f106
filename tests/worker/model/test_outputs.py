"""What a user's model gives, and in which form its loss and metrics take the labels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from autofit.errors import UserError
from autofit.protocol.model_jobs import OutputKind
from autofit.worker.model.outputs import class_count, label_classes, output_kind, probabilities_of, single_loss

pytestmark = pytest.mark.slow

SHAPE = (2, 2, 3)
CLASSES = 3
LOGITS = np.array([[2.0, -1.0, 0.5]], np.float32)


def sparse_of_logits(labels: Any, logits: Any) -> Any:
    """A loss of class numbers and logits."""
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def of_one_hot(labels: Any, probabilities: Any) -> Any:
    """A loss of one-hot labels."""
    return -keras.ops.sum(labels * keras.ops.log(probabilities), axis=-1)


def of_numbers(labels: Any, probabilities: Any) -> Any:
    """A loss of class numbers, under a name that does not say so."""
    return of_one_hot(keras.ops.one_hot(keras.ops.cast(labels, "int32"), CLASSES), probabilities)


def of_neither(*_: Any) -> Any:
    """A loss that takes no labels of ours."""
    raise RuntimeError("no")


def network(activation: str | None, loss: Any = None) -> keras.Model:
    """A small classifier, compiled if there is a loss."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(CLASSES, activation)])
    if loss is not None:
        model.compile("sgd", loss)
    return model


@pytest.mark.parametrize(
    ("activation", "loss", "kind"),
    [
        ("softmax", None, "probabilities"),
        ("softmax", "sparse_categorical_crossentropy", "probabilities"),
        ("sigmoid", "binary_crossentropy", "probabilities"),
        (None, keras.losses.SparseCategoricalCrossentropy(from_logits=True), "logits"),
        (None, keras.losses.CategoricalFocalCrossentropy(from_logits=True), "logits"),
        (None, keras.losses.BinaryCrossentropy(from_logits=True), "binary logits"),
        (None, sparse_of_logits, "logits"),
    ],
)
def test_what_a_model_gives_follows_from_its_loss(activation: str | None, loss: Any, kind: OutputKind) -> None:
    """Logits would be shown as probabilities: 7.3 for a cat."""
    assert output_kind(network(activation, loss), SHAPE) == kind


@pytest.mark.parametrize(
    ("activation", "loss", "message"),
    [
        (None, None, "not compiled and its outputs are no probabilities"),
        (None, "sparse_categorical_crossentropy", "but its loss sparse_categorical_crossentropy takes them"),
        (None, keras.losses.CategoricalCrossentropy(), "but its loss CategoricalCrossentropy takes them"),
        ("softmax", keras.losses.SparseCategoricalCrossentropy(from_logits=True), "leave out one of the two"),
    ],
)
def test_a_loss_of_other_outputs_is_refused(activation: str | None, loss: Any, message: str) -> None:
    """It would train for hours, and learn little: a softmax twice, or a logarithm of negative numbers."""
    with pytest.raises(UserError, match=message):
        output_kind(network(activation, loss), SHAPE)


@pytest.mark.parametrize(
    ("activation", "loss", "kind"),
    [
        ("sigmoid", "binary_crossentropy", "one probability"),
        ("sigmoid", None, "one probability"),
        ("sigmoid", keras.losses.MeanSquaredError(), "one probability"),
        (None, keras.losses.BinaryCrossentropy(from_logits=True), "one logit"),
        (None, keras.losses.BinaryFocalCrossentropy(from_logits=True), "one logit"),
        ("sigmoid", keras.losses.BinaryCrossentropy(from_logits=True), "leave out one of the two"),
        (None, "binary_crossentropy", "gives no probability: end it with a sigmoid"),
        (None, None, "gives no probability: end it with a sigmoid"),
        ("sigmoid", "sparse_categorical_crossentropy", "its loss is sparse_categorical_crossentropy: compile it with"),
    ],
)
def test_one_unit_for_two_classes_goes_with_its_loss(activation: str | None, loss: Any, kind: str) -> None:
    """The most usual model for two classes would be refused, or a logit be taken for a probability."""
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(1, activation)])
    if loss is not None:
        model.compile("sgd", loss)
    if kind.startswith("one"):
        assert output_kind(model, SHAPE) == kind
        assert class_count(model, kind) == 2
    else:
        with pytest.raises(UserError, match=kind):
            output_kind(model, SHAPE)


def test_one_unit_is_the_probability_of_the_second_class() -> None:
    """`predict` would give one column, of which nobody knows whether it is a cat or a dog."""
    units = np.array([[0.0], [0.5]], np.float32)
    assert probabilities_of(units, "one probability").tolist() == [[1, 0], [0.5, 0.5]]
    assert probabilities_of(units, "one logit")[1].tolist() == pytest.approx([0.3775407, 0.6224593])


def test_probabilities_are_made_of_logits() -> None:
    """A prediction would not sum to 1."""
    np.testing.assert_allclose(probabilities_of(LOGITS, "logits"), [[0.78559, 0.03911, 0.17529]], atol=1e-5)
    np.testing.assert_allclose(probabilities_of(LOGITS, "binary logits"), [[0.88080, 0.26894, 0.62246]], atol=1e-5)
    assert probabilities_of(LOGITS, "probabilities") is LOGITS


@pytest.mark.parametrize(
    ("thing", "width"),
    [
        (single_loss(sparse_of_logits), 0),
        (single_loss(of_numbers), 0),
        (single_loss(of_one_hot), CLASSES),
        (single_loss("sparse_categorical_crossentropy"), 0),
        (keras.losses.SparseCategoricalCrossentropy(name="mine"), 0),
        (single_loss("kl_divergence"), CLASSES),
        (keras.losses.CategoricalCrossentropy(), CLASSES),
        (keras.metrics.CategoricalAccuracy(), CLASSES),
        (keras.metrics.Precision(), CLASSES),
        (keras.metrics.SparseTopKCategoricalAccuracy(2), 0),
        (keras.metrics.MeanMetricWrapper(of_numbers), 0),
        (keras.metrics.MeanMetricWrapper(of_one_hot), CLASSES),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_labels_have_the_form_that_a_loss_or_metric_takes(thing: Any, width: int) -> None:
    """A loss would crash, or learn from labels that mean something else."""
    assert label_classes(thing, CLASSES) == width


class OwnLoss(keras.losses.Loss):  # type: ignore[misc]
    """A loss of squares, of each sample or of each class."""

    def __init__(self, axis: int | None) -> None:
        super().__init__()
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The squares of the differences, or their mean over an axis."""
        squares = keras.ops.square(y_true - y_pred)
        return squares if self.axis is None else keras.ops.mean(squares, axis=self.axis)


def test_a_loss_of_ones_own_class_gives_a_number_for_each_sample() -> None:
    """One that gives a number for each class would crash in a compiled step, in forty lines."""
    assert label_classes(OwnLoss(-1), CLASSES) == CLASSES
    with pytest.raises(UserError, match=r"it gives \(5, 3\) and not a number for each of 5 samples"):
        label_classes(OwnLoss(None), CLASSES)


def test_a_loss_that_takes_no_labels_is_refused() -> None:
    """Its error would come out of a compiled step, in forty lines."""
    with pytest.raises(UserError, match=r"'of_neither' takes neither class numbers .* \(RuntimeError: no\)"):
        label_classes(single_loss(of_neither), CLASSES)
