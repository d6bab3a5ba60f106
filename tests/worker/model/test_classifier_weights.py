"""Weights of a whole classifier are cut, and what was loaded is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from autofit.config.backbones import ModelSpec
from autofit.errors import UserError
from autofit.protocol.messages import Phase
from autofit.worker.model.builder import BuiltModel, build
from autofit.worker.model.classifier_weights import classes_of_top
from autofit.worker.model.weights import weights_sha256

pytestmark = pytest.mark.slow

SIZE = (32, 32)
SUFFIXES = (".h5", ".weights.h5", ".keras")


def saved(model: keras.Model, path: Path) -> Path:
    (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)
    return path


def built(weights: str, said: list[str], backbone: str = "MobileNetV2", **options: Any) -> BuiltModel:
    spec = ModelSpec(backbone=backbone, weights=weights, image_size=SIZE, trainable="all")
    return build(spec, 3, lambda _: None, on_message=said.append, **options)


def backbone_of(model: BuiltModel) -> keras.Model:
    return next(layer for layer in model.model.layers if isinstance(layer, keras.Model))


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    """MobileNetV2 for seven classes, with weights that no spec's seed gives, and an optimizer."""
    keras.utils.set_random_seed(99)
    model = keras.applications.MobileNetV2(weights=None, classes=7, input_shape=(64, 64, 3))
    model.compile("adam", "categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.mark.parametrize("suffix", [".h5", *(pytest.param(suffix, marks=pytest.mark.whole) for suffix in SUFFIXES[1:])])
def test_the_top_of_a_classifier_is_left_out_and_that_is_said(
    suffix: str, classifier: keras.Model, tmp_path: Path
) -> None:
    """The file would be refused, or cut without a word, or its layers be loaded into others."""
    said: list[str] = []
    model = backbone_of(built(str(saved(classifier, tmp_path / f"whole{suffix}")), said))
    without_top = keras.Model(classifier.input, classifier.layers[-2].output)
    assert weights_sha256(model) == weights_sha256(without_top)
    assert said == [f"weights of 104 layers loaded from whole{suffix}; its top for 7 classes was left out"]


@pytest.fixture(scope="module")
def resnet() -> keras.Model:
    """ResNet50 without its top, with weights that no spec's seed gives."""
    keras.utils.set_random_seed(99)
    return keras.applications.ResNet50(weights=None, include_top=False, input_shape=(*SIZE, 3))


@pytest.mark.whole
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_without_a_top_is_loaded_whole(suffix: str, resnet: keras.Model, tmp_path: Path) -> None:
    """A convolution of the backbone would be taken for a top, as ResNet50's from 2,048 channels to 512."""
    said: list[str] = []
    model = backbone_of(built(str(saved(resnet, tmp_path / f"mine{suffix}")), said, "ResNet50"))
    assert weights_sha256(model) == weights_sha256(resnet)
    assert said == [f"weights of 106 layers loaded from mine{suffix}"]


def test_a_classifier_of_another_network_is_refused(classifier: keras.Model, tmp_path: Path) -> None:
    """Its layers would be loaded wherever their shapes happen to fit."""
    path = saved(classifier, tmp_path / "other.h5")
    with pytest.raises(UserError, match="does not fit MobileNet ") as caught:
        built(str(path), [], "MobileNet")
    assert "\n" not in str(caught.value)


NO_TOP: dict[str, Callable[..., keras.Model]] = {
    name: getattr(keras.applications, name)
    for name in ("EfficientNetB0", "MobileNetV3Small", "DenseNet121", "VGG16", "ConvNeXtTiny")
}


@pytest.mark.parametrize(
    "name", [name if name == "VGG16" else pytest.param(name, marks=pytest.mark.whole) for name in NO_TOP]
)
def test_no_backbone_without_its_top_seems_to_have_one(name: str, tmp_path: Path) -> None:
    """Good weights would be refused."""
    model = NO_TOP[name](weights=None, include_top=False, input_shape=(*SIZE, 3), pooling="avg")
    assert classes_of_top(saved(model, tmp_path / "x.weights.h5"), model.output_shape[-1]) is None


def test_without_loading_the_network_is_the_same_but_for_its_weights(tmp_path: Path) -> None:
    """A probe would need weights that are not there, or measure another network than the training has."""
    heard: list[Phase] = []
    spec = ModelSpec(backbone="MobileNetV2", weights=str(tmp_path / "gone.h5"), image_size=SIZE, trainable="all")
    model = build(spec, 3, heard.append, loads=False)
    assert heard == [Phase.BUILD]
    normalizations = [x for x in backbone_of(model).layers if isinstance(x, keras.layers.BatchNormalization)]
    assert normalizations
    assert not any(layer.trainable for layer in normalizations)
    assert np.isfinite(model.model(np.zeros((1, *SIZE, 3), np.float32)).numpy()).all()
