"""`deterministic=True` with real TensorFlow. What it adds on a GPU is in `tests/gpu/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import autofit
from autofit.process import launch
from tests.support import fork_server
from tests.support.drawn import draw_tinted

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos: 20 of each of three classes."""
    folder = tmp_path_factory.mktemp("photos")
    draw_tinted(folder, 20)
    return folder


def small_network(shape: tuple[int, int, int], classes: int) -> Any:
    """A network with all that draws random numbers in a training."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.SpatialDropout2D(0.2),
            layers.DepthwiseConv2D(3, activation="relu"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.2),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def clocked_network(shape: tuple[int, int, int], classes: int) -> Any:
    """A network with an operation that TensorFlow refuses where determinism is asked for, on a CPU as well."""
    import keras
    import tensorflow as tf

    @keras.saving.register_keras_serializable()
    class Clocked(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return inputs + 0.0 * tf.cast(tf.timestamp(), inputs.dtype)

    pooled = keras.layers.GlobalAveragePooling2D()
    return keras.Sequential([keras.Input(shape), Clocked(), pooled, keras.layers.Dense(classes, activation="softmax")])


def train(photos: Path, run_dir: Path, model: Any) -> autofit.Result:
    return autofit.run(
        photos,
        model=model,
        image_size=32,
        epochs=2,
        batch_size=16,
        deterministic=True,
        augment="light",
        run_dir=run_dir,
    )


def test_two_deterministic_runs_are_bit_equal(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that draws random numbers would be refused without a seed, or draw others in the second run.

    The first worker is forked and the second a fresh interpreter: what tests find with the one is true of the other.
    """
    first = train(photos, tmp_path / "a", small_network)
    monkeypatch.setattr(launch, "start_process", fork_server.start_fresh)
    second = train(photos, tmp_path / "b", small_network)
    assert first.weights_sha256 == second.weights_sha256
    assert first.history == second.history


def test_an_operation_that_cannot_be_deterministic_ends_the_run_in_one_line(photos: Path, tmp_path: Path) -> None:
    """The option would be without effect in the worker, or end in a traceback after three attempts."""
    with pytest.raises(autofit.UserError, match=r"deterministic: .*Timestamp cannot be called.*: leave deterministic"):
        train(photos, tmp_path / "a", clocked_network)
