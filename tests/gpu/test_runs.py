"""Whole runs on a card: out of memory under a limit, replays to float tolerance, and bit-equal where that is asked for.

Each has a budget of seconds, starts and the tuning of convolutions included.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autofit
from autofit.protocol.messages import Phase
from tests.support.run_files import updates_of

pytestmark = pytest.mark.gpu

TOLERANCE = 0.05
"""Relative: what summing in another order came to after a few dozen updates of a whole network on a CPU is a tenth."""


def train(photos: Path, weights: Path, run_dir: Path, **options: Any) -> autofit.Result:
    given = {"backbone": "MobileNetV2", "weights": weights, "trainable": "all", "image_size": 96, "epochs": 2}
    return autofit.run(
        photos, audit=True, learning_rate=1e-4, run_dir=run_dir, **{"batch_size": 32, **given, **options}
    )


@pytest.mark.timeout(240)
def test_a_step_that_ran_out_under_a_limit_is_repeated(
    photos: Path, calibrated: Callable[[str], Path], tmp_path: Path
) -> None:
    """A limit by logical device would end the process, or the step be lost."""
    result = train(
        photos, calibrated("MobileNetV2"), tmp_path / "a", image_size=224, batch_size=240, epochs=1, memory_limit="1GB"
    )
    assert result.status == "completed"
    assert result.oom_events
    assert len(result.attempts) == 1, "a logical device's limit is a clean error, which costs no process"
    trained = sorted(sample for update in updates_of(tmp_path / "a") for sample in update["samples"])
    assert trained == list(range(240))
    assert "the result is the same to float tolerance" in " ".join(result.summary().split())


@pytest.mark.timeout(240)
def test_an_extraction_that_ran_out_goes_on_in_the_same_process(
    photos: Path, calibrated: Callable[[str], Path], tmp_path: Path
) -> None:
    """Frozen features are the usual run: it would end, or begin again, where the micro-batch was too large."""
    given = {"trainable": "head", "image_size": 224, "epochs": 3, "feature_cache": "on", "batch_size": 64}
    result = train(photos, calibrated("MobileNetV2"), tmp_path / "a", micro_batch_size=300, memory_limit="1GB", **given)
    assert {event.phase for event in result.oom_events} == {Phase.EXTRACT}
    assert len(result.attempts) == 1
    spent = result.record.time_spent
    assert spent is not None
    assert spent.out_of_memory_seconds == pytest.approx(sum(event.seconds_lost for event in result.oom_events), abs=1)


@pytest.mark.timeout(240)
def test_a_replay_is_equal_to_float_tolerance(photos: Path, calibrated: Callable[[str], Path], tmp_path: Path) -> None:
    """Another order, other samples or another dropout would be taken for what a GPU rounds differently."""
    first = train(photos, calibrated("MobileNetV2"), tmp_path / "a")
    replay = train(photos, calibrated("MobileNetV2"), tmp_path / "b", replay=tmp_path / "a")
    keys = ("epoch", "step", "micro_batch_size", "samples")
    ledgers = [[[update[key] for key in keys] for update in updates_of(tmp_path / name)] for name in "ab"]
    assert ledgers[0] == ledgers[1]
    np.testing.assert_allclose(replay.history["loss"], first.history["loss"], rtol=TOLERANCE)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("trainable", ["head", "all"])
def test_a_deterministic_run_its_repetition_and_its_replay_are_bit_equal(
    trainable: str, photos: Path, calibrated: Callable[[str], Path], tmp_path: Path
) -> None:
    """The option would promise what a card does not do."""
    given = {"trainable": trainable, "deterministic": True}
    first, again = (train(photos, calibrated("MobileNetV2"), tmp_path / name, **given) for name in "ab")
    replay = train(photos, calibrated("MobileNetV2"), tmp_path / "c", replay=tmp_path / "a", **given)
    assert again.weights_sha256 == first.weights_sha256
    assert replay.weights_sha256 == first.weights_sha256
    assert replay.history["loss"] == first.history["loss"]


@pytest.mark.timeout(400)
def test_a_deterministic_out_of_memory_is_repeated_bit_for_bit(
    photos: Path, calibrated: Callable[[str], Path], tmp_path: Path
) -> None:
    """The repeated step would be another update than its replay without a limit."""
    given = {"image_size": 224, "batch_size": 240, "epochs": 1, "deterministic": True}
    ran_out = train(photos, calibrated("MobileNetV2"), tmp_path / "a", memory_limit="1GB", **given)
    replay = train(photos, calibrated("MobileNetV2"), tmp_path / "b", replay=tmp_path / "a", **given)
    assert ran_out.oom_events
    assert not replay.oom_events
    assert replay.weights_sha256 == ran_out.weights_sha256
