"""The loop is autofit's own; on plain data nobody may be able to tell it from `model.fit`."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import autofit
from autofit.config.backbones import ModelSpec
from autofit.dataset import ImageIndex
from autofit.demo.data import write_photos
from autofit.demo.network import digit_network
from autofit.errors import InterruptedRunError
from autofit.input.epoch_order import epoch_order
from autofit.worker.image_sequence import ImageSequence
from autofit.worker.model.builder import build, build_from_function

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers]

BATCH, PHOTOS_A_DIGIT = 64, 20
RELATIVE = 1e-5


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of the demo's photos of each digit: two batches and a half to train on."""
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder)
    for photo in (photo for label in folder.iterdir() for photo in sorted(label.glob("*.png"))[PHOTOS_A_DIGIT:]):
        photo.unlink()
    return folder


class InOrder(keras.utils.PyDataset):  # type: ignore[misc]
    """The training images in the order that autofit takes them in, epoch by epoch."""

    def __init__(self, index: ImageIndex, image_size: int) -> None:
        super().__init__(workers=1)
        self._index, self._size = index, image_size
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Take the order of this epoch. Not `on_epoch_end`, which `fit` also calls once before the first epoch."""
        order = epoch_order(self._index.train_count, 0, epoch)
        paths = [self._index.path(sample) for sample in order]
        self._images = ImageSequence(paths, [self._index.labels[sample] for sample in order], BATCH, self._size)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, number: int) -> Any:
        return self._images[number]


def held_out(index: ImageIndex, size: int) -> ImageSequence:
    """The validation images."""
    samples = range(index.train_count, len(index.paths))
    return ImageSequence([index.path(one) for one in samples], [index.labels[one] for one in samples], BATCH, size)


def history_of_fit(
    model: keras.Model, run_dir: Path, root: Path, names: Sequence[str], size: int
) -> dict[str, list[float]]:
    """What `model.fit` makes of the same network, images, order and settings."""
    index = ImageIndex.read_csv(run_dir / "samples.csv", str(root), names)
    validation = held_out(index, size)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    images = InOrder(index, size)
    in_order = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: images.start_epoch(epoch))
    fitted = model.fit(images, epochs=2, validation_data=validation, shuffle=False, verbose=0, callbacks=[in_order])
    return {name: [float(value) for value in values] for name, values in fitted.history.items()}


def assert_same_history(expected: dict[str, list[float]], actual: dict[str, list[float]]) -> None:
    """The same metrics in the same order, each epoch's values equal to float tolerance."""
    assert list(expected) == list(actual)
    for name, values in expected.items():
        np.testing.assert_allclose(actual[name], values, rtol=RELATIVE, err_msg=name)


def test_a_whole_network_trains_as_fit_would(digits: Path, tmp_path: Path) -> None:
    """A loop that weights, orders, averages or updates otherwise than `fit` shows in the second epoch's figures."""
    result = autofit.run(
        digits, model=digit_network, image_size=32, epochs=2, batch_size=BATCH, run_dir=tmp_path / "run"
    )
    model = build_from_function(digit_network, (32, 32), 10, seed=0).model

    expected = history_of_fit(model, result.run_dir, digits, result.labels, 32)

    assert_same_history(expected, result.history)


class Averages(keras.callbacks.Callback):  # type: ignore[misc]
    """Validates with averages of the weights; where `marker` is not there, it stops the worker within a validation."""

    def __init__(self, marker: str) -> None:
        super().__init__()
        self.marker = marker
        self.averages: list[Any] = []
        self.held: list[Any] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Average."""
        del batch, logs
        now = self.model.get_weights()
        self.averages = [(old + new) / 2 for old, new in zip(self.averages or now, now, strict=True)]

    def on_test_begin(self, logs: Any = None) -> None:
        """Set the averages."""
        del logs
        self.held = self.model.get_weights()
        self.model.set_weights(self.averages)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop once."""
        del batch, logs
        if self.marker and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGTERM)

    def on_test_end(self, logs: Any = None) -> None:
        """Set the weights of the training again."""
        del logs
        self.model.set_weights(self.held)


def test_a_stop_within_a_validation_with_other_weights_costs_nothing(digits: Path, tmp_path: Path) -> None:
    """The checkpoint would hold what a callback has set for the validation, and the training go on from that."""
    request: dict[str, Any] = {"model": digit_network, "image_size": 32, "epochs": 2, "batch_size": 16}
    whole = autofit.run(digits, **request, run_dir=tmp_path / "whole", callbacks=[Averages("")])
    stopping = Averages(str(tmp_path / "stopped"))
    with pytest.raises(InterruptedRunError):
        autofit.run(digits, **request, run_dir=tmp_path / "run", callbacks=[stopping])

    result = autofit.resume(tmp_path / "run", model=digit_network, callbacks=[stopping])

    assert result.weights_sha256 == whole.weights_sha256
    assert result.history == whole.history
    index = ImageIndex.read_csv(result.run_dir / "samples.csv", str(digits), result.labels)
    saved = keras.models.load_model(result.run_dir / "model.keras")
    validated = np.load(result.run_dir / "validation.npy")
    np.testing.assert_allclose(saved.predict(held_out(index, 32), verbose=0), validated, atol=1e-5)


@pytest.mark.whole
def test_a_frozen_backbone_with_dropout_trains_as_fit_would(digits: Path, tmp_path: Path) -> None:
    """The head's step on joined features, with dropout drawn for the whole batch, is the step that `fit` makes."""
    weights = tmp_path / "backbone.weights.h5"
    spec = ModelSpec(backbone="VGG16", weights="none", image_size=(32, 32), trainable="all", seed=3)
    built = build(spec, 10, lambda _: None)
    next(layer for layer in built.model.layers if layer.name == "vgg16").save_weights(weights)

    result = autofit.run(
        digits,
        backbone="VGG16",
        weights=weights,
        image_size=32,
        epochs=2,
        batch_size=BATCH,
        micro_batch_size=20,
        run_dir=tmp_path / "run",
        hidden_units=16,
        dropout=0.4,
    )
    spec = ModelSpec(
        backbone="VGG16",
        weights=str(weights),
        image_size=(32, 32),
        trainable="head",
        hidden_units=16,
        dropout=0.4,
        head_from_zeros=True,
    )
    expected = history_of_fit(build(spec, 10, lambda _: None).model, result.run_dir, digits, result.labels, 32)

    assert_same_history(expected, result.history)
