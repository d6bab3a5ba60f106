"""Training on several devices of one host is the training on one: order, ledger and, to float tolerance, weights.

The devices are logical ones of the CPU, which share its cores and TensorFlow's allocator; variables, parts of a batch
and sums over the devices are made as on GPUs. How fast GPUs are is not seen here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autofit
from autofit.errors import UserError
from autofit.machine.hardware import LOGICAL_CPUS_VARIABLE
from autofit.protocol.job import Job
from autofit.storage.checkpoints import CheckpointStore
from autofit.storage.run_directory import RunDirectory
from tests.support.paths import CHILDREN
from tests.support.run_files import updates_of
from tests.support.shared import made_once

pytestmark = [pytest.mark.slow, pytest.mark.forked_workers]

EPOCHS = 3
SGD = {"optimizer": "sgd", "learning_rate": 0.1}
"""Adam would hide a wrong factor of the gradient."""
TOLERANCE = 1e-5
"""Of the weights, relative to the norm of each variable."""
WIDE_BYTES = 300 * 10**6
"""For the allocator: too little for 48 images on each of two devices, enough for 12."""

Train = Callable[..., autofit.Result]


@pytest.fixture
def train(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Train the small network on so many of four logical devices."""
    monkeypatch.setenv(LOGICAL_CPUS_VARIABLE, "4")
    monkeypatch.syspath_prepend(str(CHILDREN))

    def train(run_dir: Path, devices: int | str, **more: Any) -> autofit.Result:
        given = {"model": "plain_network:network", "batch_size": 10, "epochs": EPOCHS, **SGD, **more}
        return autofit.run(photos, image_size=32, audit=True, run_dir=run_dir, devices=devices, **given)

    return train


@pytest.fixture
def on_one(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run on one device."""
    return made_once(tmp_path_factory, "on-one-device", lambda folder: void(train(folder / "run", 1))) / "run"


def void(_: object) -> None:
    """Drop a result."""


def ledger(run_dir: Path) -> list[tuple[int, int, tuple[int, ...]]]:
    """(epoch, step, samples) of each update."""
    return [(e["epoch"], e["step"], tuple(e["samples"])) for e in updates_of(run_dir)]


def weights(run_dir: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The model's weights after the last epoch, from the newest checkpoint."""
    checkpoint = CheckpointStore(RunDirectory(run_dir).checkpoints).latest()
    assert checkpoint is not None
    return checkpoint.groups["model"]


def distance(run_dir: Path, other: Path) -> float:
    """The largest distance between two runs' values of a variable, relative to its norm."""
    ours, theirs = weights(run_dir), weights(other)
    assert ours.keys() == theirs.keys()
    lengths = {name: max(float(np.linalg.norm(values)), 1e-9) for name, values in theirs.items()}  # some are zeros
    return max(float(np.linalg.norm(ours[name] - theirs[name])) / length for name, length in lengths.items())


def assert_equal_training(run_dir: Path, other: Path) -> None:
    """Compare ledger, history and weights of two runs."""
    assert ledger(run_dir) == ledger(other)
    assert len(ledger(run_dir)) == EPOCHS * 15
    assert distance(run_dir, other) <= TOLERANCE
    history, expected_history = autofit.Result(run_dir).history, autofit.Result(other).history
    assert history.keys() == expected_history.keys()
    for metric, values in expected_history.items():
        np.testing.assert_allclose(history[metric], values, rtol=1e-4, err_msg=metric)


@pytest.mark.parametrize("devices", [2, pytest.param("all", marks=pytest.mark.whole)])
def test_the_number_of_devices_does_not_change_the_training(
    train: Train, on_one: Path, tmp_path: Path, devices: int | str
) -> None:
    """A part of a batch would be left out, weigh too much, or go to one copy of the weights alone."""
    result = train(tmp_path / "run", devices)
    assert_equal_training(tmp_path / "run", on_one)
    if devices == "all":  # a share of the time of make test
        image = np.full((1, 32, 32, 3), 90, np.uint8)
        np.testing.assert_allclose(result.predict(image), autofit.Result(on_one).predict(image), atol=1e-4)


@pytest.mark.whole
@pytest.mark.parametrize(("first", "then"), [(1, 2), (4, 1), (2, "all")])
def test_a_run_goes_on_with_another_number_of_devices(
    train: Train, on_one: Path, tmp_path: Path, first: int | str, then: int | str
) -> None:
    """A checkpoint would hold the state of one number of devices, and a run not be resumed where there are others."""
    train(tmp_path / "run", first, epochs=1)
    train(tmp_path / "run", then)
    assert_equal_training(tmp_path / "run", on_one)


@pytest.mark.whole
@pytest.mark.forked_workers(False)  # memory is limited to what a worker of its own takes
def test_a_device_without_memory_makes_all_repeat_the_same_batch(
    train: Train, outside_bytes: int, tmp_path: Path
) -> None:
    """A real out-of-memory in one device's part would lose the batch, or leave the devices with different weights."""
    given = {"model": "plain_network:wide_network", "batch_size": 96, "epochs": 1}
    ran_out = train(tmp_path / "out", 2, memory_limit=outside_bytes + WIDE_BYTES, **given)
    assert ran_out.oom_events
    assert {event.micro_batch_size_before for event in ran_out.oom_events[:1]} == {48}
    train(tmp_path / "whole", 1, **given)
    assert ledger(tmp_path / "out") == ledger(tmp_path / "whole")
    assert distance(tmp_path / "out", tmp_path / "whole") <= TOLERANCE


@pytest.mark.whole
@pytest.mark.timeout(900)
def test_fine_tuning_above_a_cut_is_the_one_of_one_device(
    train: Train, calibrated: Callable[[str], Path], tmp_path: Path
) -> None:
    """The stage would train another network, or on one device only."""
    given: dict[str, Any] = {
        "model": None,
        "backbone": "MobileNet",
        "weights": str(calibrated("MobileNet")),
        "epochs": None,
        "batch_size": None,
        "micro_batch_size": 7,
        "fine_tune_epochs": 2,
        "fine_tune_from": "conv_pw_12_relu",
        "augment": "none",
        "optimizer": "adam",
        "learning_rate": None,
    }
    for name, devices in (("one", 1), ("two", 2)):
        train(tmp_path / name, devices, **given)
    assert ledger(tmp_path / "two") == ledger(tmp_path / "one")
    assert distance(tmp_path / "two", tmp_path / "one") <= TOLERANCE


@pytest.mark.whole
def test_a_probe_measures_one_device_of_several(train: Train, tmp_path: Path) -> None:
    """A probe would look for a batch that no device gets, or measure all devices as one."""
    train(tmp_path / "run", 2, batch_size=None, epochs=1)
    record = RunDirectory(tmp_path / "run")
    jobs = [Job.load(attempt.job) for attempt in record.attempts()]
    sizes = {job.work.micro_batch_size for job in jobs if hasattr(job.work, "micro_batch_size")}
    assert sizes == {4}, "145 images make batches of 8"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"devices": 5}, "devices 5: autofit finds no GPU here"),
        ({"isolation": "inline"}, "devices 2 with isolation 'inline'"),
        pytest.param(
            {"model": "survivor_network:network"},
            "devices 2: BatchNormalization would take its statistics",
            marks=pytest.mark.whole,
        ),
        pytest.param(
            {"model": "survivor_network:network", "batch_size": None},
            "devices 2: BatchNormalization would take its statistics",
            marks=pytest.mark.whole,
        ),
        pytest.param(
            {"model": "plain_network:counting_network"},
            "changes in each micro-batch, and would differ between",
            marks=pytest.mark.whole,
        ),
        pytest.param(
            {"model": "plain_network:compiled_network"},
            "devices 2: the optimizer and the metrics of a compiled model",
            marks=pytest.mark.whole,
        ),
    ],
)
def test_what_several_devices_cannot_train_is_refused(
    train: Train, tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    """The devices would train another network than one device, without a word."""
    with pytest.raises(UserError, match=words):
        train(tmp_path / "run", **{"devices": 2, **given})
