"""A run with a backbone of KerasHub; left out where KerasHub is not installed."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest

import autofit
from tests.support.drawn import draw_tinted
from tests.support.hub import small_residual_network

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("keras_hub") is None, reason="KerasHub is not installed"),
    # Keras 3.13 to 3.15 over NumPy 2.3 and later, whenever a variable becomes an array, as in every save.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


def test_a_preset_is_trained_in_both_stages_and_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A preset would be accepted, and fail in the probe, the cache, the second stage or the prediction."""
    monkeypatch.setenv("AUTOFIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    draw_tinted(tmp_path / "photos", 20)
    small_residual_network(importlib.import_module("keras_hub")).save_to_preset(str(tmp_path / "preset"))

    result = autofit.run(
        tmp_path / "photos",
        backbone=f"hub:{tmp_path / 'preset'}",
        image_size=32,
        fine_tune_epochs=1,
        validation=0,  # so that there is no refit
        run_dir=tmp_path / "run",
    )

    assert [stage.name for stage in result.record.stages] == ["head", "fine-tune"]
    assert result.evaluate(tmp_path / "photos").accuracy > 0.7


def test_a_classifier_is_given_as_an_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights or its scaling of images would be others, or the same call of a notebook begin another run."""
    monkeypatch.setenv("AUTOFIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    draw_tinted(tmp_path / "photos", 10)
    hub = importlib.import_module("keras_hub")
    scaled = {"scale": (0.01, 0.02, 0.03), "offset": (-1.0, -2.0, -3.0)}
    converter = hub.layers.ResNetImageConverter(image_size=(32, 32), **scaled)
    network = small_residual_network(hub)
    preprocessor = hub.models.ResNetImageClassifierPreprocessor(image_converter=converter)
    classifier = hub.models.ResNetImageClassifier(backbone=network, preprocessor=preprocessor, num_classes=7)
    copied = type(network).from_config(network.get_config() | {"name": "copied"})
    copied.set_weights(network.get_weights())
    network.save_to_preset("preset")
    converter.save_to_preset("preset")

    result = autofit.run("photos", backbone=classifier)
    again = autofit.run("photos", backbone=type(classifier)(copied, num_classes=3, preprocessor=preprocessor))
    by_folder = autofit.run("photos", backbone="hub:preset")

    assert result.run_record.options.image_size == (32, 32)
    assert "ResNetBackbone" in result.run_dir.name
    assert again.run_dir == result.run_dir
    assert by_folder.run_dir != result.run_dir
    assert by_folder.weights_sha256 == result.weights_sha256
