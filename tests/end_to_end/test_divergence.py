"""A training that diverges, with a real network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autofit
from autofit.demo.network import digit_network
from autofit.errors import UserError
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from tests.support.drawn import draw_tinted

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers]


def test_a_training_that_diverges_ends_and_keeps_the_weights_from_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would train on weights of NaN for hours, and commit them over the good ones."""
    photos = tmp_path / "photos"
    photos.mkdir()
    draw_tinted(photos, 8)
    run_dir = tmp_path / "run"

    with pytest.raises(UserError, match=r"diverged: its loss is nan in epoch 1.*learning rate 1e\+20 is far too high"):
        autofit.run(
            photos,
            model=digit_network,
            image_size=32,
            epochs=3,
            batch_size=8,
            optimizer="sgd",
            learning_rate=1e20,
            checkpoint_every=1,
            isolation="inline",
            run_dir=run_dir,
        )

    assert "learning_rate 1e+20 is far over what is usual with sgd" in " ".join(capsys.readouterr().err.split())
    assert autofit.Result(run_dir).status == "failed"
    newest = CheckpointStore(RunDirectory(run_dir).checkpoints).latest()
    assert newest is None or all(abs(array).max() < 1e30 for array in newest.groups["model"].values())
    with pytest.raises(UserError, match="diverged"):
        autofit.resume(run_dir, model=digit_network)


def damaged_network(shape: tuple[int, int, int], classes: int) -> Any:
    """The demo's network as a damaged file would give it."""
    return damaged(digit_network(shape, classes))


def damaged(model: Any) -> Any:
    """A network with a weight that is no number."""
    weights = model.get_weights()
    weights[0].flat[0] = np.nan
    model.set_weights(weights)
    return model


@pytest.mark.parametrize("kind", ["head", "all", "own"])
def test_weights_that_are_no_numbers_are_named_where_no_features_are_cached(tmp_path: Path, kind: str) -> None:
    """The user would be told to lower the learning rate, again and again, and the file stay damaged."""
    import keras

    photos, file = tmp_path / "photos", tmp_path / "damaged.weights.h5"
    photos.mkdir()
    draw_tinted(photos, 8)
    options: dict[str, Any] = {"model": damaged_network}
    if kind != "own":
        network = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(32, 32, 3))
        damaged(network).save_weights(file)
        options = {"backbone": "MobileNetV2", "weights": str(file), "trainable": kind, "feature_cache": "off"}
    options |= {"image_size": 32, "epochs": 2, "batch_size": 8, "isolation": "inline", "run_dir": tmp_path / "run"}
    with pytest.raises(UserError, match=r"weights that are no numbers, such as .*kernel, and so (is its loss|are its)"):
        autofit.run(photos, **options)
