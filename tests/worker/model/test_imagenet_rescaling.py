"""EfficientNet sees inputs of the scale that the weights of a file were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from autofit.config.backbones import ModelSpec
from autofit.worker.model.builder import build

pytestmark = pytest.mark.slow

SIZE = (224, 224)  # the only one for which Keras has a top with ImageNet weights
STATISTICS = [
    np.array([0.485, 0.456, 0.406], np.float32),
    np.array([0.229, 0.224, 0.225], np.float32),
    np.array(0, np.int32),
]


def efficientnet(weights: str | None = None, *, top: bool = False) -> keras.Model:
    shape = {"input_shape": (*SIZE, 3), "classes": 1000}
    return keras.applications.EfficientNetB0(weights=weights, include_top=top, **shape)


def saved(model: keras.Model, path: Path) -> Path:
    (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)
    return path


def randomized(model: keras.Model) -> keras.Model:
    """The network with other weights than it begins with, so that the scale of its inputs shows in its outputs."""
    random = np.random.default_rng(7)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(weight + random.uniform(-0.2, 0.2, weight.shape))
    return model


@pytest.fixture(scope="module", params=[False, True], ids=["without its top", "with its top"])
def networks(request: pytest.FixtureRequest, tmp_path_factory: Any) -> tuple[keras.Model, keras.Model]:
    """A network that has ImageNet's mean and deviation, and the one that Keras makes for such ImageNet weights."""
    plain = randomized(efficientnet(top=request.param))
    normalization = next(layer for layer in plain.layers if isinstance(layer, keras.layers.Normalization))
    normalization.set_weights(STATISTICS)
    path = saved(plain, tmp_path_factory.mktemp("downloaded") / "x.weights.h5")
    plain.load_weights(path)  # only now the Normalization uses its statistics
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(path))
        return plain, efficientnet("imagenet", top=request.param)


def pooled(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The features of a network of Keras's for some images."""
    last = model.get_layer("top_activation").output
    return np.asarray(keras.Model(model.input, keras.layers.GlobalAveragePooling2D()(last))(images))


def features_from(path: Path, said: list[str], images: np.ndarray) -> np.ndarray:
    """The features by a backbone that autofit builds with a file."""
    spec = ModelSpec(backbone="EfficientNetB0", weights=str(path), image_size=SIZE, trainable="head")
    built = build(spec, 3, lambda _: None, on_message=said.append)
    assert built.features is not None
    return np.asarray(built.features(images))


IMAGES = np.random.default_rng(1).integers(0, 256, (1, *SIZE, 3)).astype("float32")


WHOLE = pytest.mark.whole


@pytest.mark.parametrize(
    "name", ["mine.weights.h5", *(pytest.param(f"mine.{x}", marks=WHOLE) for x in ("keras", "h5"))]
)
def test_a_file_saved_from_imagenet_weights_has_keras_features(
    name: str, networks: tuple[keras.Model, keras.Model], tmp_path: Path
) -> None:
    """The pretrained layers would see inputs half as large as they were trained on, and every feature would be off."""
    _, of_keras = networks
    said: list[str] = []
    found = features_from(saved(of_keras, tmp_path / name), said, IMAGES)
    np.testing.assert_allclose(found, pooled(of_keras, IMAGES), rtol=1e-4)
    assert "rescaled" not in said[0]


@pytest.mark.parametrize("name", ["efficientnetb0_notop.h5", pytest.param("renamed.h5", marks=WHOLE)])
def test_keras_own_file_has_keras_features(
    name: str, networks: tuple[keras.Model, keras.Model], tmp_path: Path
) -> None:
    """A file that Keras offers for download, from a time without the rescaling, would be refused or read wrongly."""
    plain, of_keras = networks
    found = features_from(saved(plain, tmp_path / name), [], IMAGES)
    np.testing.assert_allclose(found, pooled(of_keras, IMAGES), rtol=1e-4)


def test_a_network_saved_without_the_rescaling_stays_without(
    networks: tuple[keras.Model, keras.Model], tmp_path: Path
) -> None:
    """Weights that were trained on inputs of that scale would get others, or nobody would be told of the odd scale."""
    plain, of_keras = networks
    said: list[str] = []
    found = features_from(saved(plain, tmp_path / "odd.weights.h5"), said, IMAGES)
    np.testing.assert_allclose(found, pooled(plain, IMAGES), rtol=1e-4)
    assert not np.allclose(found, pooled(of_keras, IMAGES), rtol=1e-2)
    assert said[0].endswith("; inputs are not rescaled as for Keras's ImageNet weights, nor were they there")


@pytest.mark.parametrize("name", ["mine.h5", pytest.param("mine.weights.h5", marks=WHOLE)])
def test_weights_without_imagenet_statistics_are_loaded_as_they_are(name: str, tmp_path: Path) -> None:
    """A network that was trained from scratch would get inputs twice as large as before."""
    scratch = randomized(efficientnet())
    next(layer for layer in scratch.layers if isinstance(layer, keras.layers.Normalization)).set_weights(
        [np.zeros(3, np.float32), np.ones(3, np.float32), np.int32(0)]
    )
    said: list[str] = []
    found = features_from(saved(scratch, tmp_path / name), said, IMAGES)
    np.testing.assert_allclose(found, pooled(scratch, IMAGES), rtol=1e-4)
    assert "rescaled" not in said[0]
