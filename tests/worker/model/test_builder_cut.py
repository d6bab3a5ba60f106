"""A model that is cut: what trains, and that its two parts are what is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from autofit.config.backbones import ModelSpec
from autofit.errors import UserError
from autofit.worker.model.bn_folding import folded
from autofit.worker.model.builder import BuiltModel, TrainedPart, build, build_from_function
from autofit.worker.model.keras_internals import all_layers

pytestmark = [
    pytest.mark.slow,
    # Keras 3.13 to 3.15 over NumPy 2.3 and later, whenever a variable becomes an array, as in every save.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

SIZE, CLASSES = (32, 32), 3
CUT = "conv_pw_9_relu"


def built(backbone: str = "MobileNet", **changes: Any) -> BuiltModel:
    fields = {"backbone": backbone, "weights": "none", "image_size": SIZE, "trainable": "head", "cut": CUT}
    return build(ModelSpec.model_validate(fields | changes), CLASSES, lambda _: None)


def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, *SIZE, 3)).astype("float32")


@pytest.fixture(scope="module")
def model() -> BuiltModel:
    return built(hidden_units=5, dropout=0.5)


def test_both_parts_are_the_model(model: BuiltModel) -> None:
    """Something else would be trained than what is saved."""
    assert model.features is not None
    assert model.head is not None
    activations = model.features(images())
    assert (model.cut, model.feature_shape) == (CUT, (2, 2, 512))
    assert tuple(activations.shape[1:]) == model.feature_shape
    flow = activations
    for layer in model.head_layers:
        flow = layer(flow)
    expected = np.asarray(model.model(images()))
    np.testing.assert_allclose(model.head(activations), expected, rtol=1e-5)
    np.testing.assert_allclose(flow, expected, rtol=1e-5)
    np.testing.assert_allclose(folded(model.features)(images()), activations, rtol=1e-4, atol=1e-4)


def test_only_what_is_above_the_cut_trains_and_no_normalization(model: BuiltModel) -> None:
    """Constants would change, or the layers that were to be fine-tuned would not."""
    assert model.features is not None
    assert model.head is not None
    assert model.frozen
    assert model.features.trainable_variables == []
    trained = [variable.path.split("/")[-2] for variable in model.model.trainable_variables]
    above = [f"conv_{kind}_{number}" for number in (10, 11, 12, 13) for kind in ("dw", "pw")]
    assert trained == [*above, "hidden", "hidden", "probabilities", "probabilities"]
    assert {id(v) for v in model.head.trainable_variables} == {id(v) for v in model.model.trainable_variables}
    assert not any(x.trainable for x in all_layers(model.model) if isinstance(x, layers.BatchNormalization))


def test_what_is_trained_above_the_cut_is_in_the_saved_model(model: BuiltModel, tmp_path: Path) -> None:
    """The fine-tuning would be lost, or the file need autofit to be opened."""
    assert model.head is not None
    for variable in model.head.trainable_variables:
        variable.assign(variable + 0.01)
    assert model.features is not None
    expected = np.asarray(model.head(model.features(images())))
    model.model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", custom_objects={}, safe_mode=True)
    np.testing.assert_allclose(again(images()), expected, rtol=1e-5)


def test_the_layers_below_have_the_weights_that_they_have_without_a_cut(model: BuiltModel) -> None:
    """A stage that begins with a cut would begin with other weights than the stage before it had."""
    whole = built(cut=None, hidden_units=5)
    for one, other in zip(whole.model.weights[:20], model.model.weights[:20], strict=True):
        np.testing.assert_array_equal(one, other)


def test_at_the_input_everything_trains() -> None:
    """The first layers would stay frozen without a word."""
    model = built(cut="input", trainable="all", weights="none")
    assert (model.cut, model.frozen) == (None, False)


def test_the_layer_is_named_that_can_be_cut() -> None:
    """The user would have to guess."""
    with pytest.raises(UserError, match="fine_tune_from 'conv_pw_99' is no layer"):
        built(cut="conv_pw_99")


def user_network(shape: tuple[int, int, int], classes: int) -> keras.Model:
    """A network of a user, for images of any size, with a network inside."""
    inside = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(None, None, 3), pooling="avg")
    inputs = keras.Input((None, None, shape[2]))
    flow = layers.Dropout(0.3)(inside(layers.Rescaling(1 / 127.5, -1)(inputs)))
    return keras.Model(inputs, layers.Dense(classes, "softmax")(flow))


def test_a_users_network_is_cut_inside_the_network_that_it_contains() -> None:
    """Only whole networks of a user's own could be trained."""
    model = build_from_function(user_network, SIZE, CLASSES, seed=0, part=TrainedPart(CUT))
    assert model.features is not None
    assert model.head is not None
    assert model.cut is not None
    assert model.cut.endswith(f"/{CUT}")
    assert (model.frozen, model.feature_shape) == (True, (2, 2, 512))
    assert [type(layer) for layer in model.head_layers[1:]] == [layers.Dropout, layers.Dense]
    np.testing.assert_allclose(model.head(model.features(images())), model.model(images()), rtol=1e-5)
    assert {id(v) for v in model.head.trainable_variables} == {id(v) for v in model.model.trainable_variables}
    assert len(model.model.trainable_variables) == 8 + 2
