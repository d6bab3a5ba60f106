"""A backbone that is given as an object has the name of a preset, which is saved once for each content."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import autofit
from autofit.api.backbone_objects import default_folder, named_backbone
from autofit.config import hub_presets
from autofit.errors import UserError


class Converter:
    """As an image converter of KerasHub."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def get_config(self) -> dict[str, Any]:
        """As Keras's."""
        return {"name": "converter", "scale": self.scale}

    def save_to_preset(self, folder: str) -> None:
        """As KerasHub's."""
        (Path(folder) / "image_converter.json").write_text(f'{{"scale": {self.scale}}}')


class Network:
    """As a backbone of KerasHub; each has another name, as Keras counts them up."""

    made = 0

    def __init__(self, weight: float = 1.0, *, depth: int = 2, trainable: bool = True) -> None:
        Network.made += 1
        self.name, self.weight, self.depth, self.trainable = f"network_{Network.made}", weight, depth, trainable
        self.inputs: list[Any] = []
        self.saved = 0
        self.on_save: Callable[[], None] = lambda: None

    def get_config(self) -> dict[str, Any]:
        """As Keras's."""
        return {"name": self.name, "trainable": self.trainable, "depth": self.depth, "dtype": object}

    def get_weights(self) -> list[Any]:
        """As Keras's."""
        return [np.full((2, 2), self.weight, np.float32)]

    def save_to_preset(self, folder: str) -> None:
        """As KerasHub's."""
        self.saved += 1
        (Path(folder) / "config.json").write_text("{}")
        self.on_save()
        (Path(folder) / "model.weights.h5").write_bytes(bytes(8))


class Task(Network):
    """As an image classifier of KerasHub."""

    def __init__(self, backbone: Network, converter: Converter | None) -> None:
        super().__init__()
        self.backbone, self.preprocessor = backbone, SimpleNamespace(image_converter=converter)


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return default_folder()


def files(name: str) -> list[str]:
    return names_in(Path(name.removeprefix("hub:")))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_object_is_saved_once_and_named_by_its_class_and_content(data_folder: Path) -> None:
    """A notebook that is run again would fill the disk, or not find the run that it has begun."""
    first, again = Network(), Network(trainable=False)
    name = named_backbone(first)
    assert name.startswith(f"hub:{data_folder}/Network-")
    assert files(name) == ["config.json", "model.weights.h5"]
    assert named_backbone(again) == named_backbone(first) == name
    assert (first.saved, again.saved) == (1, 0)
    assert names_in(data_folder) == [Path(name.removeprefix("hub:")).name]


def test_other_weights_layers_and_preprocessing_are_other_backbones() -> None:
    """A call with another backbone would return the model of the former one."""
    tasks = [Task(Network(), Converter(scale)) for scale in (1.0, 0.5)]
    objects = [Network(), Network(2.0), Network(depth=3), *tasks]
    names = [named_backbone(each) for each in objects]
    assert len(set(names)) == len(names)
    assert files(names[-1]) == ["config.json", "image_converter.json", "model.weights.h5"]


def test_of_a_task_the_backbone_is_used() -> None:
    """The head of another task would be trained on, or its preprocessing be lost."""
    network = Network()
    assert named_backbone(Task(network, None)) == named_backbone(network)


def test_whatever_else_a_call_takes_stays() -> None:
    """Names and functions could no longer be given."""
    assert named_backbone("ResNet50") == "ResNet50"
    assert named_backbone(None) is None
    assert named_backbone(print) is print
    first, second = named_backbone([Network(), "ResNet50"])
    assert (first, second) == (named_backbone(Network()), "ResNet50")


def test_what_is_no_network_is_refused() -> None:
    """A tokenizer would be saved, and fail in the worker."""
    with pytest.raises(UserError, match="backbone is a Converter, which has no network: give a backbone of KerasHub"):
        named_backbone(Converter(1.0))


def failing(error: Exception) -> Network:
    def fail() -> None:
        raise error

    network = Network()
    network.on_save = fail
    return network


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            r"cannot be saved in .* \(No space left on device\): make room",
        ),
        (ValueError("no\nsuch layer"), r"KerasHub cannot save \(ValueError: no such layer\): give its preset as 'hub:"),
    ],
)
def test_what_cannot_be_saved_leaves_nothing(data_folder: Path, error: Exception, said: str) -> None:
    """Half a preset would be taken for a whole one by the next call."""
    with pytest.raises(UserError, match=said) as raised:
        named_backbone(failing(error))
    assert "\n" not in str(raised.value)
    assert names_in(data_folder) == []


def test_two_processes_may_save_the_same_one(data_folder: Path) -> None:
    """One of two notebooks that start together would end with an error."""
    other, network = Network(), Network()
    network.on_save = lambda: named_backbone(other)
    name = named_backbone(network)
    assert (other.saved, network.saved) == (1, 1)
    assert names_in(data_folder) == [Path(name.removeprefix("hub:")).name]


def test_the_functions_take_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option would say that it takes an object, and one of the functions refuse it."""
    monkeypatch.setattr(hub_presets, "is_installed", lambda name: name == "keras_hub")
    asked: dict[str, Any] = {"image_size": "no size", "backbone": Network()}
    calls: dict[str, Callable[[], Any]] = {
        "run": lambda: autofit.run(tmp_path, **asked),
        "probe": lambda: autofit.probe(**asked),
        "sweep": lambda: autofit.sweep([asked["backbone"]], ["no size"]),
        "estimate": lambda: autofit.estimate(**asked),
        "check": lambda: autofit.check(tmp_path, **asked),
        "extract": lambda: autofit.extract(tmp_path, **asked),
    }
    for call in calls.values():
        with pytest.raises(UserError, match="image_size"):
            call()
