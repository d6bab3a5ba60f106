"""A loss that micro-batches would change is refused; whatever is a mean over the samples passes."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from autofit.config.backbones import ModelSpec
from autofit.config.given_objects import keras_config
from autofit.errors import UserError
from autofit.protocol.job import ModelSource
from autofit.worker.model.mean_loss import require_weighted
from autofit.worker.model.objective import Objective, make_objective

pytestmark = pytest.mark.slow

SPEC = ModelSpec(backbone=None, weights="none", image_size=(4, 4), trainable="all")
losses, ops = keras.losses, keras.ops


@keras.saving.register_keras_serializable("mean_loss")  # type: ignore[untyped-decorator]
def soft_f1(labels: Any, outputs: Any) -> Any:
    """One less the F1 score of a batch, with probabilities in place of decisions."""
    labels = ops.one_hot(ops.cast(labels, "int32"), 3)
    return 1 - ops.mean(2 * ops.sum(labels * outputs, 0) / ops.sum(labels + outputs, 0))


@keras.saving.register_keras_serializable("mean_loss")  # type: ignore[untyped-decorator]
def one_number(labels: Any, outputs: Any) -> Any:
    """The mean over the samples, as one number."""
    return ops.mean(losses.sparse_categorical_crossentropy(labels, outputs))


@keras.saving.register_keras_serializable("mean_loss")  # type: ignore[untyped-decorator]
def noisy(labels: Any, outputs: Any) -> Any:
    """A loss of labels that are smoothed by chance."""
    noise = 0.1 * keras.random.uniform((), seed=None)
    return (1 - noise) * losses.sparse_categorical_crossentropy(labels, outputs) - noise * ops.mean(outputs, -1)


@keras.saving.register_keras_serializable("mean_loss")  # type: ignore[untyped-decorator]
def of_many(labels: Any, outputs: Any) -> Any:
    """A loss that cannot be computed of a few samples."""
    if outputs.shape[0] < 5:
        raise ValueError("too few")
    return losses.sparse_categorical_crossentropy(labels, outputs)


def objective(loss: Any, *, compiled: bool, units: int = 3) -> Objective:
    """The objective with a loss that is compiled into the model or given as an option."""
    activation = "softmax" if units > 1 else "sigmoid"
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(units, activation)])
    source = ModelSource(spec=SPEC, num_classes=max(2, units), optimizer="adam", learning_rate=1e-3)
    if compiled:
        model.compile(loss=loss)
    else:
        given = loss if isinstance(loss, str) else keras_config("loss", loss)
        source = source.model_copy(update={"loss": given})
    return make_objective(model, source, compiled=compiled)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("loss", "units", "message"),
    [
        (losses.Dice(), 1, r"^the loss Dice is not a mean over the samples.* for each sample, as with axis=-1$"),
        (losses.Tversky(0.7, 0.7), 3, r"^the loss Tversky is not a mean .*, as with axis=-1$"),
        (soft_f1, 3, r"^the loss soft_f1 is not a mean .*6 samples give 0\.\d+, in two parts 0\.\d+\): let .* sample$"),
    ],
    ids=["Dice", "Tversky", "soft F1"],
)
def test_a_loss_over_all_samples_at_once_is_refused(loss: Any, units: int, message: str, *, compiled: bool) -> None:
    """The weights would depend on the micro-batch, and so on the memory of the machine, and nobody would be told."""
    with pytest.raises(UserError, match=message):
        objective(loss, compiled=compiled, units=units)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("loss", "units"),
    [
        (losses.Dice(axis=-1), 1),
        (losses.Dice(), 3),  # of a softmax, whose rows all have the same sum
        (losses.CategoricalCrossentropy(label_smoothing=0.1), 3),
        (losses.CategoricalFocalCrossentropy(), 3),
        (losses.CategoricalHinge(), 3),
        (losses.KLDivergence(), 3),
        (losses.BinaryFocalCrossentropy(), 1),
        ("mean_squared_error", 1),
        (one_number, 3),
        (noisy, 3),
        (of_many, 3),
    ],
    ids=lambda given: getattr(given, "name", getattr(given, "__name__", given)),
)
def test_a_mean_over_the_samples_passes(loss: Any, units: int, *, compiled: bool) -> None:
    """Good losses would be refused, or one of which nothing is known."""
    assert objective(loss, compiled=compiled, units=units).loss_function is not None


@pytest.mark.parametrize("compiled", [False, True])
def test_a_loss_that_does_not_weight_samples_is_refused_with_class_weights(*, compiled: bool) -> None:
    """The classes would count as much as before, and their user believe that the rare one counts more."""
    with pytest.raises(UserError, match=r"^the loss .*one_number.* gives one number for all samples, so class_weight"):
        require_weighted(objective(one_number, compiled=compiled), 3, "class_weight")


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", losses.CategoricalFocalCrossentropy(), noisy])
def test_losses_that_weight_samples_pass(loss: Any) -> None:
    """Class weights would be refused where they work."""
    require_weighted(objective(loss, compiled=True), 3, "class_weight")
