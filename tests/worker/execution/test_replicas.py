"""Steps on several devices make the updates of one device. The devices are logical ones of the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.support.paths import CHILDREN

pytestmark = [pytest.mark.slow, pytest.mark.whole, pytest.mark.timeout(900)]

TOLERANCE = 1e-5
HALF_TOLERANCE = 5e-2
"""Of weights that were trained in 16 bits, in which the order of a sum matters more."""
EXACT = ["sgd", "adam", "clipped", "decayed", "fine-tuning", "recomputed", "padded", "dropout", "one number"]
HALF = ["bfloat16", "float16"]
SPECIAL = ["out-of-memory", "drawing"]


def found_on(count: int, names: list[str]) -> dict[str, Any]:
    """What the child has found, in a process of its own, under a hard limit of memory."""
    limits = {"TF_CPU_ALLOCATOR_USE_BFC": "true", "TF_CPU_BFC_MEM_LIMIT_IN_MB": "1000", "TF_ENABLE_ONEDNN_OPTS": "0"}
    environment = {**os.environ, **limits, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, str(CHILDREN / "replicated_steps.py"), str(count), *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=800)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def assert_equal_updates(found: dict[str, Any], tolerance: float) -> None:
    """Compare what several devices have trained with what one has."""
    assert found["started"] == 0
    assert found["moved"] > 100 * tolerance or tolerance == HALF_TOLERANCE, "an update that does nothing is no test"
    assert found["weights" if tolerance == TOLERANCE else "kernels"] <= tolerance
    assert found["copies"] == 0, "the copies on the devices would drift apart"
    one, several = found["results"]
    assert several == pytest.approx(one, rel=tolerance)
    assert found["skipped"][0] == found["skipped"][1]
    assert found["scales"][0] == found["scales"][1]


@pytest.mark.parametrize("count", [2, 4])
def test_several_devices_make_the_updates_of_one(count: int) -> None:
    """A part of the batch would weigh too much or too little, be clipped alone, or change one copy of the weights.

    Adam hides a wrong factor of the gradient, SGD does not.
    """
    found = found_on(count, EXACT)
    for name in EXACT:
        assert_equal_updates(found[name], TOLERANCE)


def test_a_layer_that_draws_by_keras_random_trains_on_several_devices() -> None:
    """A probe on one device would fit, and the training be refused for a seed generator that the user never made."""
    found = found_on(2, ["noise"])["noise"]
    assert found["copies"] == 0
    assert found["weights"] > 0, "each device draws its own numbers"


@pytest.mark.parametrize("count", [2, 3, 4])
def test_steps_in_16_bits_and_updates_that_are_skipped(count: int) -> None:
    """One device would skip an update that the others make, or the scale be another."""
    found = found_on(count, HALF)
    for name in HALF:
        assert_equal_updates(found[name], HALF_TOLERANCE)
    assert any(found["float16"]["skipped"][1])
    assert not all(found["float16"]["skipped"][1])


@pytest.mark.parametrize("count", [2, 4])
def test_what_runs_out_on_one_device_changes_nothing_on_any(count: int) -> None:
    """The devices would go on with different weights, or the batch be trained by half."""
    found = found_on(count, SPECIAL)
    ran_out = found["out-of-memory"]
    assert (ran_out["error"], ran_out["failures"]) == ("ResourceExhaustedError", 1)
    assert ran_out["untouched"] == 0
    assert ran_out["refused"] == "the update does not fit into the device's memory"
    assert ran_out["kept"] == 0
    assert ran_out["kernels"] <= TOLERANCE
    drawn = found["drawing"]
    assert drawn["zeros"] == pytest.approx(0.5**count, abs=0.05), "the devices would drop the same units"
    assert (drawn["copies"], drawn["again"]) == (0, 0)
