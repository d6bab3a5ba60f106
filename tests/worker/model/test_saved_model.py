"""A saved network costs no more to open than its file has: a stranger's configuration may ask for any size."""

from __future__ import annotations

import json
import resource
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from autofit.errors import UserError
from autofit.worker.model.saved_model import load_saved_model, open_model
from autofit.worker.model.variables_bound import TooManyVariablesError, variables_within

pytestmark = pytest.mark.slow  # imports TensorFlow

SIZE, UNITS = (32, 32, 3), 10**9
MOST_KIB = 300 * 1024


def saved(folder: Path, **compiled: Any) -> Path:
    """A small network, saved."""
    model = keras.Sequential([keras.Input(SIZE), layers.Flatten(), layers.Dense(4), layers.Dense(3, name="head")])
    if compiled:
        model.compile(**compiled)
        model.fit(np.zeros((2, *SIZE), np.float32), np.zeros(2, np.int64), verbose=0)
    path = folder / "model.keras"
    model.save(path)
    return path


def with_config(path: Path, change: dict[str, Any], layer: str) -> Path:
    """The same file with another configuration of one layer."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    (entry,) = (one for one in config["config"]["layers"] if layer in one["config"]["name"])
    entry["config"] |= change
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (parts | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("layer", ["head", "dense"], ids=["the last layer", "a layer within"])
def test_a_layer_that_the_file_has_no_weights_for_is_not_made(tmp_path: Path, layer: str) -> None:
    """A file of 60 kB would take the machine's memory, or get another process killed."""
    path = with_config(saved(tmp_path), {"units": UNITS}, layer)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="far more than the file holds") as caught:
        load_saved_model(path)
    assert "bring it back, or train again in another run_dir" in str(caught.value)
    with pytest.raises(UserError, match="far more than the file holds"):
        open_model(path, compiled=False)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KIB


def test_an_honest_network_opens_with_its_optimizer(tmp_path: Path) -> None:
    """A model that was trained with an optimizer of two numbers a weight could not be opened."""
    path = saved(tmp_path, optimizer="adam", loss="sparse_categorical_crossentropy")
    assert load_saved_model(path).optimizer.variables


def test_variables_count_together_and_by_their_type() -> None:
    """Many layers under the limit would together be over it; or half the bytes be counted in full."""
    with variables_within(4 * 100 + 2 * 100):
        keras.Variable("zeros", shape=(10, 10), dtype="float32")
        keras.Variable(np.zeros(10**6, np.float32))  # its values are there already
        keras.Variable("zeros", shape=(10, 10), dtype="bfloat16")
        with pytest.raises(TooManyVariablesError):
            keras.Variable("zeros", shape=(1,), dtype="bool")
    keras.Variable("zeros", shape=(10, 100), dtype="float32")  # outside there is no bound
