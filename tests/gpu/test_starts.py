"""How soon a run begins on a card, with which kernels, and beside which other programs; a budget of seconds each."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import autofit
from autofit.machine import hardware
from autofit.machine.hardware import Hardware
from autofit.runs.run_record import RunRecord
from autofit.storage.run_directory import RunDirectory
from tests.support.paths import CHILDREN

pytestmark = pytest.mark.gpu

AFTER_A_CONVOLUTION_SECONDS = 5.0
HELD_BYTES = 2 * 10**9


def start(photos: Path, weights: Path, run_dir: Path) -> Any:
    """A frozen run as a command, and its seconds in parts."""
    benchmark: Any = import_module("first_step")
    command = [sys.executable, "-m", "autofit", "train", str(photos), "--run-dir", str(run_dir)]
    command += ["--backbone", "MobileNetV2", "--weights", str(weights), "--image-size", "224"]
    launched = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return benchmark.start_of(run_dir, launched, time.monotonic() - launched)


@pytest.mark.timeout(240)
def test_the_first_step_follows_soon_after_a_plain_convolution(
    photos: Path, calibrated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of 300 photos would take half a minute to begin, though an earlier one has compiled the kernels."""
    benchmark: Any = import_module("first_step")
    monkeypatch.setenv("AUTOFIT_CACHE", str(tmp_path / "cache"))
    start(photos, calibrated("MobileNetV2"), tmp_path / "first")
    subprocess.run([sys.executable, "-m", "autofit", "cache", "clear"], check=True, capture_output=True)
    plain = benchmark.plain(sys.executable)
    second = start(photos, calibrated("MobileNetV2"), tmp_path / "second")
    record = RunRecord.load(RunDirectory(tmp_path / "second").run)
    assert record.plan.tuning == "quick"
    assert second.to_first_images <= plain["convolved"] + AFTER_A_CONVOLUTION_SECONDS, second


@pytest.mark.timeout(400)
@pytest.mark.parametrize("autotune", ["0", "1"])
def test_both_ways_to_choose_convolutions_train(
    autotune: str, photos: Path, calibrated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quick start would be one of a network that does not learn."""
    monkeypatch.setenv("TF_CUDNN_USE_AUTOTUNE", autotune)
    result = _trained(photos, calibrated("MobileNetV2"), tmp_path / "run")
    assert RunRecord.load(RunDirectory(tmp_path / "run").run).plan.tuning == ("tuned" if autotune == "1" else "quick")
    assert result.history["loss"][-1] < result.history["loss"][0]


@pytest.mark.timeout(600)
def test_xla_trains_and_is_kept_by_a_replay(
    photos: Path, calibrated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable would be said and do nothing, or a replay from another shell be of other kernels."""
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_auto_jit=2")
    first = _trained(photos, calibrated("MobileNetV2"), tmp_path / "a", audit=True)
    monkeypatch.delenv("TF_XLA_FLAGS")
    replay = _trained(photos, calibrated("MobileNetV2"), tmp_path / "b", replay=tmp_path / "a")
    assert RunRecord.load(RunDirectory(tmp_path / "b").run).plan.xla
    assert replay.history["loss"] == pytest.approx(first.history["loss"], rel=0.05)


@pytest.fixture
def holder(card: Hardware) -> Iterator[int]:
    """Another program that holds two gigabytes of the card; its process id."""
    if (card.device_free_bytes or 0) < 3 * HELD_BYTES:
        pytest.skip("the card has too little memory free")
    program = [sys.executable, str(CHILDREN / "gpu_holder.py"), str(HELD_BYTES)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "held"
        yield process.pid
        process.kill()


@pytest.mark.timeout(240)
def test_a_notebook_that_holds_the_card_is_named_and_left_its_memory(
    holder: int, card: Hardware, photos: Path, calibrated: Any, tmp_path: Path
) -> None:
    """A run would take what is held for free memory, and run out in its first step."""
    now = hardware.detect()
    assert (now.device_free_bytes or 0) <= (card.device_free_bytes or 0) - HELD_BYTES
    assert holder in [process.pid for process in now.other_gpu_processes]
    result = _trained(photos, calibrated("MobileNetV2"), tmp_path / "run")
    assert result.status == "completed"
    assert not result.oom_events


def _trained(photos: Path, weights: Path, run_dir: Path, **options: Any) -> autofit.Result:
    given: dict[str, Any] = {"trainable": "all", "image_size": 96, "epochs": 2, "batch_size": 32, "learning_rate": 1e-4}
    return autofit.run(photos, backbone="MobileNetV2", weights=weights, run_dir=run_dir, **{**given, **options})
