"""The answers by private names of Keras and those without them are the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import pytest
from keras import layers

from autofit.worker.model.keras_internals import all_layers, draws_random_numbers, keeps_values

pytestmark = pytest.mark.slow  # imports TensorFlow

SIZE = (32, 32, 3)


@pytest.fixture
def nested() -> keras.Model:
    """A model with a model inside, a Sequential, and layers inside wrappers."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SIZE)
    flow = layers.RandomFlip(name="flip")(inputs)
    flow = keras.applications.MobileNet(weights=None, include_top=False, input_shape=SIZE, pooling="avg")(flow)
    flow = layers.Dropout(0.1, name="dropped")(layers.Reshape((2, 512))(flow))
    flow = layers.TimeDistributed(layers.BatchNormalization(name="wrapped"))(flow)
    flow = layers.Bidirectional(layers.LSTM(4, dropout=0.1))(flow)
    inner = keras.Sequential([keras.Input((8,)), layers.BatchNormalization(name="in_sequence"), layers.Dense(2)])
    return keras.Model(inputs, inner(flow))


def drawing(model: keras.Model) -> set[str]:
    return {layer.name for layer in all_layers(model) if draws_random_numbers(layer)}


def keeping(model: keras.Model) -> set[str]:
    return {layer.name for layer in all_layers(model) if not layer._layers and keeps_values(layer)}


def test_every_layer_is_found_once(nested: keras.Model) -> None:
    """A BatchNormalization inside a wrapper or an inner model would be trained though it is to be frozen."""
    names = [layer.name for layer in all_layers(nested)]
    assert {"flip", "conv1_bn", "wrapped", "in_sequence", "dropped"} <= set(names)
    assert len({id(layer) for layer in all_layers(nested)}) == len(names)
    assert nested not in all_layers(nested)


def test_layers_that_draw_are_known(nested: keras.Model) -> None:
    """A training whose result depends on the micro-batch would claim that it does not."""
    assert {"flip", "dropped"} <= drawing(nested)
    assert not {"conv1_bn", "wrapped", "in_sequence"} & drawing(nested)


def test_layers_that_keep_values_are_known(nested: keras.Model) -> None:
    """Averages that each micro-batch moves would change a result that is said not to change."""
    nested.get_layer(index=-1).trainable = False
    assert {"wrapped", "in_sequence", "conv1_bn"} <= keeping(nested)
    assert not {"flip", "dropped", "conv1"} & keeping(nested)


def test_a_keras_without_the_private_names_gives_the_same_answers(
    nested: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release of Keras that drops a private name would end every training, or train what is to be frozen."""
    assert callable(nested._flatten_layers)
    expected, expected_drawing = all_layers(nested), drawing(nested)

    monkeypatch.setattr(keras.Model, "_flatten_layers", None)
    found = all_layers(nested)
    for layer in found:
        del vars(layer)["_seed_generators"]

    assert len(found) == len(expected)
    assert {id(layer) for layer in found} == {id(layer) for layer in expected}
    assert drawing(nested) == expected_drawing


def test_without_the_private_name_the_public_variables_tell_which_layers_keep_values(nested: keras.Model) -> None:
    """Keras itself needs the name, so that it cannot be taken away from a layer."""
    for layer in all_layers(nested):
        names = ("trainable", "non_trainable_variables", "_seed_generators")
        public: Any = SimpleNamespace(**{name: getattr(layer, name) for name in names})
        assert layer._layers or keeps_values(public) == keeps_values(layer)
