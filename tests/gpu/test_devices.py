"""Training on all cards of a machine; left out where there is one only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autofit
from autofit.machine.hardware import Hardware
from tests.support.run_files import updates_of

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(400)]

TOLERANCE = 0.05
"""Relative, of losses: cards do not repeat their bits, see `test_runs.py`."""


@pytest.fixture(autouse=True)
def several(card: Hardware) -> int:
    """How many cards there are."""
    if card.devices == 1:
        pytest.skip("there is one GPU here")
    return card.devices


def train(photos: Path, weights: Path, run_dir: Path, **options: Any) -> autofit.Result:
    given = {"backbone": "MobileNetV2", "weights": weights, "trainable": "all", "image_size": 96, "epochs": 2}
    return autofit.run(
        photos, audit=True, learning_rate=1e-4, run_dir=run_dir, **{"batch_size": 32, **given, **options}
    )


def ledger(run_dir: Path) -> list[Any]:
    return [(update["epoch"], update["step"], update["samples"]) for update in updates_of(run_dir)]


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_all_cards_train_what_one_does(
    photos: Path, calibrated: Callable[[str], Path], tmp_path: Path, precision: str
) -> None:
    """A card would train other images, weigh them otherwise, or wait for ever for another."""
    one, every = (
        train(photos, calibrated("MobileNetV2"), tmp_path / name, devices=devices, precision=precision)
        for name, devices in (("one", 1), ("all", "all"))
    )
    assert ledger(tmp_path / "all") == ledger(tmp_path / "one")
    np.testing.assert_allclose(every.history["loss"], one.history["loss"], rtol=TOLERANCE)


def test_a_card_that_runs_out_makes_all_repeat_the_batch(
    photos: Path, calibrated: Callable[[str], Path], tmp_path: Path
) -> None:
    """The other cards would wait for its sums until the run is killed as hung."""
    given = {"image_size": 224, "batch_size": 240, "epochs": 1, "memory_limit": "1GB", "devices": "all"}
    result = train(photos, calibrated("MobileNetV2"), tmp_path / "a", **given)
    assert result.oom_events
    assert len(result.attempts) == 1
    assert sorted(sample for update in updates_of(tmp_path / "a") for sample in update["samples"]) == list(range(240))
