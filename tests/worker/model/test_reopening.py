"""A model that could be saved and not opened again is found out before the training."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from autofit.errors import UserError
from autofit.worker.model.reopening import check_reopens

pytestmark = pytest.mark.slow


@keras.saving.register_keras_serializable("reopening")
class Doubled(keras.layers.Layer):  # type: ignore[misc]
    """Twice its input."""

    def call(self, inputs: Any) -> Any:
        """Double."""
        return inputs * 2


class Unregistered(Doubled):
    """The same, not registered."""


@keras.saving.register_keras_serializable("reopening")
class Forgetful(keras.layers.Layer):  # type: ignore[misc]
    """A layer whose configuration lacks its argument."""

    def __init__(self, factor: float, **others: Any) -> None:
        super().__init__(**others)
        self.factor = factor

    def get_config(self) -> dict[str, Any]:
        """Forget the factor."""
        return dict(super().get_config())


class WithoutConfig(Doubled):
    """A layer whose configuration cannot be made."""

    def get_config(self) -> dict[str, Any]:
        """Raise, as Keras does where an argument is no plain value."""
        raise NotImplementedError("WithoutConfig has an argument that is no plain value")


@keras.saving.register_keras_serializable("reopening")  # type: ignore[untyped-decorator]
def squared(values: Any) -> Any:
    """The square."""
    return values**2


def not_registered(values: Any, _: Any = None) -> Any:
    """An activation or loss."""
    return values


def model_with(layer: Any, loss: Any = None) -> keras.Model:
    """A network with a layer in it, compiled if there is a loss."""
    model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(3, "softmax")])
    if loss is not None:
        model.compile("sgd", loss, metrics=["accuracy"])
    return model


@pytest.mark.parametrize(
    "model",
    [
        lambda: model_with(Doubled()),
        lambda: model_with(keras.layers.Dense(2, squared), squared),
        lambda: model_with(keras.layers.Lambda(squared)),
        lambda: model_with(keras.layers.Dense(2, "relu"), "sparse_categorical_crossentropy"),
        lambda: model_with(keras.Sequential([keras.Input((4,)), Doubled()]), keras.losses.CategoricalCrossentropy()),
    ],
    ids=["layer", "function", "named function in a Lambda", "Keras's own", "nested"],
)
def test_a_model_that_opens_again_is_taken(model: Any) -> None:
    """A sound model would be refused."""
    check_reopens(model())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: model_with(Unregistered()), "Unregistered is not registered: decorate"),
        (lambda: model_with(keras.Sequential([keras.Input((4,)), Unregistered()])), "Unregistered is not registered"),
        (lambda: model_with(keras.layers.Dense(2, not_registered)), "not_registered is not registered"),
        (lambda: model_with(Doubled(), not_registered), "not_registered is not registered"),
        (lambda: model_with(keras.layers.Lambda(lambda x: x + 1)), "holds a lambda"),
        (lambda: model_with(keras.layers.Dense(2, lambda x: x + 1)), "holds a lambda"),
        (lambda: model_with(Doubled(), lambda true, _: true), "holds a lambda"),
        (lambda: model_with(Forgetful(2.0)), "Forgetful cannot be made from its get_config"),
        (lambda: model_with(WithoutConfig()), "could not be saved .*no plain value.*get_config"),
    ],
    ids=["layer", "nested", "activation", "loss", "Lambda", "lambda", "lambda loss", "forgetful", "no config"],
)
def test_a_model_that_would_not_open_is_refused(model: Any, message: str) -> None:
    """Hours later the run would end with a file that nobody can open."""
    with pytest.raises(UserError, match=message) as refused:
        check_reopens(model())
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500
