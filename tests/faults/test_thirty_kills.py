"""A run that is killed thirty times and runs out of memory must end as its undisturbed replay without a limit.

A real MobileNetV2, first its head and then all of it trained, on three hundred drawn photos, from the command line; and
the same with activations computed again, in 16 bits, and with both. `make test-faults` tries it; `make test` has other
kills, of smaller runs.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

import autofit
from tests.support.processes import autofit_command, is_alive, started, wait_until_gone, workers_of
from tests.support.run_files import assert_each_epoch_once, assert_same_history, result_of, updates_of
from tests.support.waiting import comes_true

pytestmark = [pytest.mark.slow, pytest.mark.whole, pytest.mark.timeout(2400)]

PHOTOS_A_CLASS = 100
TRAIN_COUNT = 240
BATCH = 64
KILLS, EPOCHS = 30, 24
KILLS_ON_A_RUNG, EPOCHS_ON_A_RUNG = 8, 6
ALLOCATOR_BYTES = 330 * 10**6
"""Too little for MobileNetV2 at 96 px with 64 images at once, enough with 16."""
START_SECONDS = 6.0
PATIENCE_SECONDS = 900.0

Request = list[str | Path | int]


@pytest.fixture(scope="module")
def three_hundred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos of three classes, told apart by their colour, a fifth for validation: then there is no refit."""
    folder, numbers = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        for split in ("train", "val"):
            (folder / split / name).mkdir(parents=True)
        for photo in range(PHOTOS_A_CLASS):
            pixels = numbers.integers(0, 150, (96, 96, 3))
            pixels[..., channel] += 40
            split = "train" if photo < TRAIN_COUNT // 3 else "val"
            Image.fromarray(pixels.astype(np.uint8)).save(folder / split / name / f"{photo:03d}.jpg")
    return folder


@pytest.fixture(scope="module")
def too_little(outside_bytes: int) -> int:
    """A memory limit that is too small for a whole batch at once, on this machine and these versions."""
    return outside_bytes + ALLOCATOR_BYTES


class Killer:
    """Runs a command again and again, and kills it at random moments, until it has killed often enough."""

    def __init__(self, run_dir: Path, log: Path, times: int, chance: random.Random) -> None:
        self.run_dir, self.log, self.left, self.chance = run_dir, log, times, chance
        self.kills: Counter[str] = Counter()

    def drive(self, first: list[str]) -> None:
        """Run to the end. If the command gives up, since it was killed again and again at its start, resume the run."""
        arguments = first
        while True:
            with started(arguments, self.log) as process:
                while self.left and self._kill_one(process):
                    pass
                if not self.left or process.poll() is not None:
                    code = process.wait(PATIENCE_SECONDS)
                    if code == 0:
                        return
                    assert code in {4, -9}, self.log.read_text()[-3000:]
            arguments = autofit_command("resume", self.run_dir)

    def _kill_one(self, process: subprocess.Popen[bytes]) -> bool:
        """Kill the worker, or the command too; whether the command lives on."""
        if not comes_true(lambda: bool(workers_of(process)), process, PATIENCE_SECONDS):
            return False
        workers = workers_of(process)
        if not self._moment_comes(process, workers):
            return process.poll() is None
        both = self.chance.random() < 0.3
        if both:
            process.kill()
        for worker in workers:
            worker.kill()
        wait_until_gone(workers)
        self.left -= 1
        self.kills["both" if both else "worker"] += 1
        return not both

    def _moment_comes(self, process: subprocess.Popen[bytes], workers: list[psutil.Process]) -> bool:
        """Wait for a moment in the start or in the third step; False if the worker ended before it."""
        seen = self._updates()

        def makes(updates: int, seconds: float) -> None:
            comes_true(lambda: self._updates() >= seen + updates or not any(map(is_alive, workers)), process, seconds)

        if self.chance.random() < 0.6:
            makes(1, PATIENCE_SECONDS)
            began = time.monotonic()
            makes(2, PATIENCE_SECONDS)
            time.sleep(self.chance.uniform(0, time.monotonic() - began))
        else:
            makes(1, self.chance.uniform(0, START_SECONDS))
        return any(map(is_alive, workers))

    def _updates(self) -> int:
        try:
            return (self.run_dir / "audit.jsonl").read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0


def audited_updates(run_dir: Path) -> list[tuple[int, int, int, bool, tuple[int, ...]]]:
    """(epoch, step, micro-batch size, whether it was applied, samples) of each update."""
    return [
        (line["epoch"], line["step"], line["micro_batch_size"], line.get("applied", True), tuple(line["samples"]))
        for line in updates_of(run_dir)
    ]


def request_of(photos: Path, weights: Path, epochs: int, *more: str) -> Request:
    """The command of these runs: a head, and then all layers."""
    network: Request = ["--backbone", "MobileNetV2", "--weights", weights, "--trainable", "all", "--image-size", 96]
    sizes: Request = ["--batch-size", BATCH, "--micro-batch-size", BATCH, "--epochs", epochs]
    return ["train", photos, *network, *sizes, "--checkpoint-every", 1, "--audit", *more]


def replayed(request: Request, killed: Path, run_dir: Path) -> None:
    """Make the same steps again, undisturbed and without a limit."""
    log = run_dir.with_suffix(".log")
    with started(autofit_command(*request, "--replay", killed, "--run-dir", run_dir), log) as process:
        assert process.wait(PATIENCE_SECONDS) == 0, log.read_text()[-3000:]


def test_a_run_killed_at_random_and_out_of_memory_ends_as_its_replay(
    three_hundred: Path,
    calibrated: Callable[[str], Path],
    too_little: int,
    tmp_path: Path,
    count: Callable[..., None],
) -> None:
    """A step that is lost, repeated or torn by any of the kills or shrinks gives other weights."""
    for promise in (1, 2, 3, 4):
        count(promise=promise, cases=KILLS)
    request = request_of(three_hundred, calibrated("MobileNetV2"), EPOCHS)
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    killer = Killer(killed, tmp_path / "killed.log", KILLS, random.Random(30))

    killer.drive(autofit_command(*request, "--memory-limit", too_little, "--run-dir", killed))
    replayed(request, killed, alone)

    assert killer.kills.total() == KILLS
    killed_result, replay_result = result_of(killed), result_of(alone)
    assert killed_result["oom_events"]
    assert not replay_result["oom_events"]
    assert killed_result["weights_sha256"] == replay_result["weights_sha256"]
    assert audited_updates(killed) == audited_updates(alone)
    assert [stage["name"] for stage in killed_result["stages"]] == ["head", "fine-tune"]
    assert_each_epoch_once(killed, 1 + EPOCHS, range(TRAIN_COUNT))
    assert_same_history(killed_result["history"], replay_result["history"])
    assert_same_predictions(killed, alone, sorted(three_hundred.rglob("*.jpg"))[::10])


@pytest.mark.parametrize(
    "rung",
    [
        pytest.param(("--recompute", "on"), id="recompute"),
        pytest.param(("--precision", "mixed_float16"), id="mixed_float16"),
        pytest.param(("--recompute", "on", "--precision", "mixed_bfloat16"), id="both"),
    ],
)
def test_a_run_on_a_rung_killed_at_random_ends_as_its_replay(
    rung: tuple[str, ...],
    three_hundred: Path,
    calibrated: Callable[[str], Path],
    tmp_path: Path,
    count: Callable[..., None],
) -> None:
    """A second computation of activations could draw other numbers, a scale of the loss begin anew."""
    count(promise=2, cases=KILLS_ON_A_RUNG)
    request = request_of(three_hundred, calibrated("MobileNetV2"), EPOCHS_ON_A_RUNG, *rung)
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    killer = Killer(killed, tmp_path / "killed.log", KILLS_ON_A_RUNG, random.Random(" ".join(rung)))

    killer.drive(autofit_command(*request, "--run-dir", killed))
    replayed(request, killed, alone)

    assert killer.kills.total() == KILLS_ON_A_RUNG
    killed_result, replay_result = result_of(killed), result_of(alone)
    assert max(attempt["segments"] for attempt in killed_result["attempts"]) == (8 if "--recompute" in rung else 0)
    assert killed_result["weights_sha256"] == replay_result["weights_sha256"]
    assert audited_updates(killed) == audited_updates(alone)
    assert_each_epoch_once(killed, 1 + EPOCHS_ON_A_RUNG, range(TRAIN_COUNT))
    assert_same_history(killed_result["history"], replay_result["history"])
    assert_same_predictions(killed, alone, sorted(three_hundred.rglob("*.jpg"))[::10])


def assert_same_predictions(one: Path, other: Path, photos: list[Path]) -> None:
    """Assert that the saved models predict the same, bit for bit."""
    np.testing.assert_array_equal(autofit.Result(one).predict(photos), autofit.Result(other).predict(photos))
