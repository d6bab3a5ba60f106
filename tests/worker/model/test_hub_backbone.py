"""Backbones of KerasHub, from presets in folders; left out where KerasHub is not installed."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from autofit.config.backbones import ModelSpec
from autofit.errors import UserError
from autofit.worker.model.bn_folding import folded
from autofit.worker.model.builder import BuiltModel, build
from autofit.worker.model.classifier_weights import weighted_layers
from autofit.worker.model.keras_internals import all_layers
from tests.support.hub import small_residual_network

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("keras_hub") is None, reason="KerasHub is not installed"),
    # Keras 3.13 to 3.15 over NumPy 2.3 and later, whenever a variable becomes an array, as in every save.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

SIZE, CLASSES = (32, 32), 3
SCALE, OFFSET = (0.01, 0.02, 0.03), (-1.0, -2.0, -3.0)


@pytest.fixture(scope="module")
def keras_hub() -> Any:
    """KerasHub; its import takes seconds, which the collection of the tests should not."""
    return importlib.import_module("keras_hub")


@pytest.fixture(scope="module")
def network(keras_hub: Any) -> Any:
    return small_residual_network(keras_hub)


@pytest.fixture(scope="module")
def preset(keras_hub: Any, network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preset")
    network.save_to_preset(str(folder))
    keras_hub.layers.ResNetImageConverter(image_size=SIZE, scale=SCALE, offset=OFFSET).save_to_preset(str(folder))
    return folder


def built(preset: Path, messages: list[str] | None = None, **changes: Any) -> BuiltModel:
    fields = {"backbone": f"hub:{preset}", "weights": "preset", "image_size": SIZE, "trainable": "head"}
    note = (messages if messages is not None else []).append
    loads = changes.pop("loads", True)
    return build(ModelSpec.model_validate(fields | changes), CLASSES, lambda _: None, on_message=note, loads=loads)


def images(size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, *size, 3)).astype("float32")


def test_the_features_are_those_of_the_preset(network: Any, preset: Path) -> None:
    """Weights would stay random, or images be scaled in another way than the network was trained with."""
    messages: list[str] = []
    model = built(preset, messages)
    expected = np.asarray(network(images() * SCALE + OFFSET)).mean(axis=(1, 2))
    assert model.features is not None
    np.testing.assert_allclose(model.features(images()), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(folded(model.features)(images()), expected, rtol=1e-3, atol=1e-4)
    assert messages == [f"weights of {len(weighted_layers(network))} layers loaded from hub:{preset}"]
    assert [layer.name for layer in all_layers(model.model) if layer.trainable_weights] == ["probabilities"]


def test_a_scaling_by_arrays_is_understood_and_one_that_cannot_be_loaded_refused(
    keras_hub: Any, network: Any, tmp_path: Path
) -> None:
    """The worker would end with a traceback, or the network silently get values of 0 to 255."""
    network.save_to_preset(str(tmp_path))
    arrays = {"scale": np.array(SCALE), "offset": np.array(OFFSET)}
    keras_hub.layers.ResNetImageConverter(image_size=SIZE, **arrays).save_to_preset(str(tmp_path))
    features = built(tmp_path).features
    assert features is not None
    expected = np.asarray(network(images() * SCALE + OFFSET)).mean(axis=(1, 2))
    np.testing.assert_allclose(features(images()), expected, rtol=1e-4, atol=1e-5)
    (tmp_path / "image_converter.json").write_text("{}")
    with pytest.raises(UserError, match=r"the image converter of backbone .* cannot be loaded"):
        built(tmp_path)
    with pytest.raises(UserError, match="there is no such folder: correct its name; if it was there, bring it back"):
        built(tmp_path / "other")


def test_a_preset_trains_whole_and_above_a_cut(preset: Path) -> None:
    """Only its head could be trained."""
    whole = built(preset, trainable="all", weights="none")
    assert any(
        isinstance(layer, keras.layers.BatchNormalization) and layer.trainable for layer in all_layers(whole.model)
    )
    cut = built(preset, trainable="all", cut="0.5")
    assert cut.cut is not None
    assert cut.features is not None
    assert cut.head is not None
    np.testing.assert_allclose(cut.head(cut.features(images())), cut.model(images()), rtol=1e-5)
    assert cut.head.trainable_weights
    assert not cut.features.trainable_weights


def test_a_preset_computes_in_16_bits_where_asked(preset: Path) -> None:
    """Its saved configuration says float32, which would win over the policy."""
    mixed, plain = built(preset, precision="mixed_bfloat16"), built(preset)
    assert mixed.features is not None
    assert plain.features is not None
    assert mixed.features(images()).dtype == "bfloat16"
    assert mixed.model(images()).dtype == "float32"
    for one, other in zip(mixed.features.get_weights(), plain.features.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_probe_takes_the_network_without_its_weights(network: Any, preset: Path, tmp_path: Path) -> None:
    """A probe would read a gigabyte of weights to measure memory."""
    for file in preset.iterdir():
        if not file.name.endswith(".h5"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    model = built(tmp_path, loads=False)
    assert model.feature_shape == (64,)
    assert model.model.count_params() == network.count_params() + 64 * CLASSES + CLASSES


def test_the_saved_model_opens_in_plain_keras(preset: Path, tmp_path: Path) -> None:
    """A model could be used only where KerasHub is."""
    model = built(preset).model
    model.save(tmp_path / "model.keras")
    assert b"keras_hub" not in (tmp_path / "model.keras").read_bytes()
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "model.keras")(images()), model(images()), rtol=1e-5)


def test_a_transformer_is_pooled_over_its_tokens_and_takes_its_own_size_only(keras_hub: Any, tmp_path: Path) -> None:
    """It would be refused for having no maps, or fail inside Keras with another size."""
    network = keras_hub.models.ViTBackbone(
        image_shape=(*SIZE, 3), patch_size=8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    network.save_to_preset(str(tmp_path))
    messages: list[str] = []
    model = built(tmp_path, messages)
    assert model.features is not None
    np.testing.assert_allclose(
        model.features(images()), np.asarray(network(images())).mean(axis=1), rtol=1e-3, atol=1e-5
    )
    assert any("does not say how images are to be scaled" in message for message in messages)
    with pytest.raises(UserError, match="takes images of 32x32 only, not 40x40: give image_size 32x32"):
        built(tmp_path, image_size=(40, 40))


def test_what_is_no_preset_for_images_is_refused_in_one_line(keras_hub: Any, tmp_path: Path) -> None:
    """A page of an error of KerasHub's would be shown."""
    (tmp_path / "config.json").write_text("{}", encoding="ascii")
    with pytest.raises(UserError, match="cannot be loaded") as refused:
        built(tmp_path)
    assert "\n" not in str(refused.value)
    text = keras_hub.models.AlbertBackbone(
        vocabulary_size=20, num_layers=1, num_heads=2, embedding_dim=4, hidden_dim=8, intermediate_dim=8
    )
    text.save_to_preset(str(tmp_path / "text"))
    with pytest.raises(UserError, match="is not from one RGB image to one output"):
        built(tmp_path / "text")
