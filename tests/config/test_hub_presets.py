"""Backbones of KerasHub are named by a preset, and refused in one line where they cannot be used."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from autofit.config import hub_presets
from autofit.config.backbones import find
from autofit.config.options import make_options
from autofit.errors import UserError


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_presets, "is_installed", lambda name: name == "keras_hub")


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    folder = tmp_path / "my preset"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="ascii")
    return folder


def test_without_kerashub_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker would start, wait for TensorFlow and end with a ModuleNotFoundError."""
    monkeypatch.setattr(hub_presets, "is_installed", lambda _: False)
    with pytest.raises(UserError, match=r"needs KerasHub: pip install 'autofit-keras\[hub\]'"):
        make_options(backbone="hub:resnet_50_imagenet")


@pytest.mark.usefixtures("installed")
def test_a_preset_is_a_name_or_a_folder(preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker, in another folder than its parent, would look for a relative one in vain."""
    monkeypatch.chdir(tmp_path)
    before = "keras_hub" in sys.modules
    options = make_options(backbone="hub:resnet_50_imagenet")
    assert (options.backbone, options.image_size) == ("hub:resnet_50_imagenet", (224, 224))
    assert make_options(backbone="hub:my preset").backbone == f"hub:{preset}"
    assert make_options(backbone=f"HUB:{preset}").backbone == f"hub:{preset}"
    assert ("keras_hub" in sys.modules) == before


@pytest.mark.usefixtures("installed")
def test_a_preset_has_its_own_weights_or_none(preset: Path, tmp_path: Path) -> None:
    """A report would speak of ImageNet where a preset was trained on something else, or a file be ignored."""
    backbone = f"hub:{preset}"
    assert make_options(backbone=backbone).weights == "preset"
    assert make_options(backbone=backbone).trainable == "head"
    untrained = make_options(backbone=backbone, weights="none")
    assert (untrained.weights, untrained.trainable) == ("none", "all")
    (tmp_path / "w.h5").touch()
    with pytest.raises(UserError, match="are for a network of keras"):
        make_options(backbone=backbone, weights=tmp_path / "w.h5")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hub:", "names no preset: give one"),
        ("hub:/nowhere", "there is no such folder"),
        ("hub:~/nowhere", "there is no such folder"),
        ("hub:.", "the folder holds no config.json"),
    ],
)
def test_what_is_no_preset_is_refused(name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error in a path would be looked for on the network."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as refused:
        make_options(backbone=name)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("file", "content", "size"),
    [
        ("image_converter.json", {"config": {"image_size": [160, 192]}}, 192),
        ("preprocessor.json", {"config": {"image_converter": {"config": {"image_size": [96, 96]}}}}, 96),
        ("image_converter.json", {"config": {"image_size": [None, None]}}, 224),
        ("image_converter.json", [], 224),
        ("config.json", {"config": {"image_shape": [128, 96, 3]}}, 128),
        ("config.json", {"config": {"image_shape": [None, None, 3]}}, 224),
        ("other.json", {}, 224),
    ],
)
def test_the_size_of_the_images_is_that_of_the_preset(preset: Path, file: str, content: Any, size: int) -> None:
    """A network would be fed images of another size than it was trained on."""
    (preset / file).write_text(json.dumps(content), encoding="ascii")
    assert find(f"hub:{preset}").default_size == size
