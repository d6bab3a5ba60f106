"""A user's own network in stages: its head solved, then fine-tuned above a cut inside the network that it contains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autofit
from tests.support.drawn import draw_striped, draw_tinted
from tests.support.own_network import CUT
from tests.support.processes import autofit_command, forking, kill_both
from tests.support.run_files import assert_each_epoch_once, committed, samples_of
from tests.support.shared import made_once

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers, pytest.mark.usefixtures("cache")]

TRAIN_COUNT = 72
NAME = "tests.support.own_network:network"
REQUEST: dict[str, Any] = {
    "image_size": 32,
    "fine_tune_epochs": 2,
    "fine_tune_from": CUT,
    "learning_rate": 0.02,
    "augment": "none",
    "micro_batch_size": 32,
    "checkpoint_every": 1,
}
"""Three updates an epoch, each of them committed. A micro-batch that is given spares the probe."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "striped-photos", lambda folder: draw_striped(folder, 30))


@pytest.fixture(scope="module")
def tuned(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that nothing happened to."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("AUTOFIT_CACHE", str(folder / "cache"))
            autofit.run(photos, model=NAME, run_dir=folder / "run", audit=True, **REQUEST)

    return made_once(tmp_path_factory, "own-stages", make) / "run"


def first_weights() -> list[Any]:
    """The weights that the network begins with."""
    from autofit.worker.model.builder import build_from_function  # noqa: PLC0415 - imports TensorFlow
    from tests.support.own_network import network  # noqa: PLC0415

    return list(build_from_function(network, (32, 32), 3, seed=0).model.get_weights())


def test_the_layers_above_the_cut_are_fine_tuned_after_the_head(photos: Path, tuned: Path) -> None:
    """A user's pretrained layers would be frozen for good, or be trained below the cut or from a random head."""
    import keras

    result = autofit.Result(tuned)
    stages = [(stage.name, stage.method, stage.epochs) for stage in result.record.stages]
    assert stages == [("head", "solved", 1), ("fine-tune", "epochs", 2), ("refit", "epochs", 2)]
    assert result.epoch_stages == ["head", "fine-tune", "fine-tune"]
    assert "fine-tuned for 2 epochs" in result.summary()
    assert_each_epoch_once(tuned, 3, range(TRAIN_COUNT))
    saved = keras.models.load_model(tuned / "model.keras")
    pairs = zip(saved.weights, saved.get_weights(), first_weights(), strict=True)
    changed = [weight.path.rpartition("base/")[2] for weight, now, begun in pairs if not np.array_equal(now, begun)]
    assert changed == ["third/kernel", "third/bias", "scores/kernel", "scores/bias"]
    paths = [photos / path for path in samples_of(tuned, "validation").values()]
    scores = result.evaluate(paths, [path.parent.name for path in paths])
    expected = saved.predict(autofit.load_images(paths, 32), verbose=0)
    told = result.predict(paths)
    np.testing.assert_allclose(np.asarray(told), expected, rtol=1e-4, atol=1e-6)
    assert 0 < scores.loss < 2


def test_a_run_that_was_killed_in_fine_tuning_ends_as_if_it_was_not(photos: Path, tuned: Path, tmp_path: Path) -> None:
    """Another worker would begin with other weights below the head, or with a head that is not the solved one."""
    killed = tmp_path / "killed"
    flags = [word for name, value in REQUEST.items() for word in (f"--{name.replace('_', '-')}", value)]
    flags = [word for word in flags if word is not True]
    command = autofit_command("train", photos, "--model", NAME, "--audit", "--run-dir", killed, *flags)
    kill_both(forking(command), lambda: committed(killed) >= (1, 32))

    resumed, whole = autofit.resume(killed), autofit.Result(tuned)

    assert len(resumed.attempts) > len(whole.attempts)
    assert resumed.weights_sha256 == whole.weights_sha256
    assert resumed.history == whole.history
    replayed = autofit.run(photos, model=NAME, run_dir=tmp_path / "again", replay=killed, **REQUEST)
    assert replayed.weights_sha256 == whole.weights_sha256


def test_a_network_like_a_backbone_gets_the_same_head(
    weights: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What a user builds from Keras's own network would be worse than that network by its name."""
    import keras

    photos = made_once(tmp_path_factory, "own-tinted-photos", lambda folder: draw_tinted(folder, 10))
    file = str(weights)

    def network(shape: tuple[int, int, int], classes: int) -> Any:
        base = keras.applications.MobileNet(weights=None, include_top=False, input_shape=shape)
        base.load_weights(file)
        base.trainable = False
        inputs = keras.Input(shape)
        flow = base(keras.layers.Rescaling(1 / 127.5, -1)(inputs), training=False)
        flow = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(flow))
        return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(flow))

    request: dict[str, Any] = {"image_size": 64}
    own = autofit.run(photos, model=network, trainable="head", run_dir=tmp_path / "own", **request)
    named = autofit.run(photos, backbone="MobileNet", weights=weights, run_dir=tmp_path / "named", **request)

    heads = [
        keras.models.load_model(result.run_dir / "model.keras").layers[-1].get_weights() for result in (own, named)
    ]
    for one, other in zip(*heads, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)
    assert own.history["val_loss"] == pytest.approx(named.history["val_loss"], rel=1e-3)
