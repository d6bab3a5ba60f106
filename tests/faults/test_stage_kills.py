"""A run in stages that is killed within and between them must end as one that nothing happened to.

A real MobileNet, its head solved, then fine-tuned above a cut or solved again on views, from the command line.
`make test-faults` kills it at each moment in three runs, each time a little later; `make test` at one moment of one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import autofit
from tests.support.processes import autofit_command, forking, kill_with_children, started, workers_of
from tests.support.run_files import assert_each_epoch_once, committed, result_of
from tests.support.staged_runs import (
    FINE_TUNED,
    IMAGES,
    NETWORK,
    TRAIN_COUNT,
    before_views,
    command_for,
    stage_photos,
    stages_finished,
    undisturbed_run,
)
from tests.support.waiting import comes_true

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PATIENCE_SECONDS = 600.0
MOST_STARTS = 3
"""A run is started at most so many times for each moment."""
LATEST_SECONDS = 1.5
"""How much later than a moment a kill may come."""

Reached = Callable[[Path], bool]


def has_phase(phase: str, stages: int = 0) -> Reached:
    """Whether an attempt of the stage after so many has announced this phase, or that stage is over."""

    def reached(run_dir: Path) -> bool:
        files = [path for path in run_dir.glob("attempts/*/progress.jsonl") if path.parent.name > f"{stages:04}"]
        texts = [path.read_text(errors="replace") for path in files]
        return any(f'"{phase}"' in text for text in texts) or stages_finished(run_dir) > stages

    return reached


def is_at(*cursor: int) -> Reached:
    """Whether so many epochs, and samples of the next, are committed."""
    return lambda run_dir: committed(run_dir) >= cursor


def is_probing(run_dir: Path) -> bool:
    """Whether the probe between the stages runs, or has run."""
    is_between = stages_finished(run_dir) > 0
    return is_between and (is_probed(run_dir) or any(map(_is_trial, psutil.Process().children(recursive=True))))


def _is_trial(process: psutil.Process) -> bool:
    try:
        return any("autofit-probe-" in argument for argument in process.cmdline())
    except psutil.Error:
        return False


def is_probed(run_dir: Path) -> bool:
    """Whether the probe has its answer, or the stage has begun without."""
    return (run_dir / "probe-fine-tune.json").exists() or committed(run_dir) > (1, 0)


def extracts_activations(run_dir: Path) -> bool:
    """Whether a worker of the second stage has begun to extract, or to train."""
    texts = [path.parent for path in run_dir.glob("attempts/*/job.json") if '"stage":"fine-tune"' in compact(path)]
    phases = [(folder / "progress.jsonl") for folder in texts if (folder / "progress.jsonl").exists()]
    return any('"extract"' in path.read_text(errors="replace") for path in phases) or committed(run_dir) > (1, 0)


def compact(path: Path) -> str:
    return path.read_text().replace(" ", "")


MOMENTS: dict[str, Reached] = {
    "extracting": has_phase("extract"),
    "extracted": lambda run_dir: (run_dir / "features.json").exists(),
    "solving": has_phase("solve"),
    "head finished": lambda run_dir: stages_finished(run_dir) > 0,
    "probing": is_probing,
    "probed": is_probed,
    "extracting activations": extracts_activations,
    "first update": is_at(1, 32),
    "second epoch": is_at(2, 0),
    "last update": is_at(2, 64),
    "fine-tuned": lambda run_dir: stages_finished(run_dir) > 1,
    "refitting": is_at(3, 32),
    "refitted": is_at(4, 64),
    "finished": lambda run_dir: stages_finished(run_dir) > 2,
}
SOME = ("refitting",)
MOMENTS_OF_VIEWS: dict[str, Reached] = {
    "extracting views": has_phase("extract", 1),
    "solving on views": has_phase("solve", 1),
    "views finished": lambda run_dir: stages_finished(run_dir) > 1,
}


class Killer:
    """Runs a command and, at each of these moments or a little later, kills its worker, or both."""

    def __init__(self, run_dir: Path, moments: list[Reached], chance: random.Random, latest_seconds: float) -> None:
        self.run_dir, self.left, self.chance, self.latest_seconds = run_dir, moments, chance, latest_seconds
        self.kills, self.most_starts = 0, MOST_STARTS * (len(moments) + 1)

    def drive(self, first: list[str]) -> None:
        """Run to the end; where the command is gone, or gave up, resume the run."""
        arguments, log = first, self.run_dir.with_name("killed.log")
        for _ in range(self.most_starts):
            with started(arguments, log) as process:
                while self.left and comes_true(lambda: self.left[0](self.run_dir), process, PATIENCE_SECONDS):
                    del self.left[0]
                    time.sleep(self.chance.uniform(0, self.latest_seconds))
                    workers = workers_of(process)
                    self.kills += process.poll() is None
                    if self.chance.random() < 0.5 or not workers:
                        kill_with_children(process)
                        break
                    for worker in workers:
                        worker.kill()
                code = process.wait(PATIENCE_SECONDS)
            if code == 0:
                return
            assert code in {4, -9}, log.read_text()[-3000:]
            arguments = forking(autofit_command("resume", self.run_dir))
        raise AssertionError(f"no resume has ended the run: {log.read_text()[-3000:]}")


@pytest.mark.parametrize(
    "rung",
    [
        pytest.param({}, id="as usual"),
        pytest.param({"recompute": "on", "precision": "mixed_float16"}, id="rung", marks=pytest.mark.whole),
    ],
)
def test_kills_within_and_between_stages_change_nothing(
    rung: dict[str, str],
    calibrated: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: Callable[..., None],
    *,
    whole: bool,
) -> None:
    """A stage that begins anew, is left out, or begins from other weights, sizes or scales ends with another model."""
    photos, weights = stage_photos(tmp_path_factory), calibrated("MobileNet")
    undisturbed = undisturbed_run(tmp_path_factory, photos, weights, **rung)
    expected = result_of(undisturbed)
    chance = random.Random(16)
    for case in range(3 if whole and not rung else 1):
        moments = [MOMENTS[name] for name in (MOMENTS if whole else SOME)]
        for promise in (2, 3, 4):
            count(promise, len(moments))
        monkeypatch.setenv("AUTOFIT_CACHE", str(tmp_path / f"cache{case}"))
        monkeypatch.setenv("AUTOFIT_PROFILES", str(tmp_path / f"profiles{case}"))  # so that there is a probe
        killer = Killer(tmp_path / f"killed{case}", moments, chance, LATEST_SECONDS if whole else 0.0)

        killer.drive(command_for(photos, weights, killer.run_dir, **FINE_TUNED, **rung))

        assert killer.kills >= 0.7 * len(MOMENTS if whole else SOME), "hardly a moment was hit"
        result = result_of(killer.run_dir)
        assert result["weights_sha256"] == expected["weights_sha256"]
        predicted, kept = (folder / "validation.npy" for folder in (undisturbed, killer.run_dir))
        assert kept.read_bytes() == predicted.read_bytes()
        assert result["history"] == expected["history"]
        assert without_seconds(result["stages"]) == without_seconds(expected["stages"])
        assert_each_epoch_once(killer.run_dir, 3, range(TRAIN_COUNT))
        assert_each_epoch_once(killer.run_dir, 5, range(IMAGES), first=3)


def test_kills_on_views_change_nothing(
    calibrated: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: Callable[..., None],
    *,
    whole: bool,
) -> None:
    """The head on views, which only a time budget brings, would be another, or its views be computed for another."""
    monkeypatch.setenv("AUTOFIT_CACHE", str(tmp_path / "cache"))
    photos, weights = stage_photos(tmp_path_factory), calibrated("MobileNet")
    head = tmp_path / "head"
    autofit.run(photos, run_dir=head, weights=weights, audit=True, deterministic=True, **NETWORK)
    undisturbed = before_views(head, tmp_path / "undisturbed")
    autofit.resume(undisturbed)
    expected = result_of(undisturbed)
    assert [stage["name"] for stage in expected["stages"]] == ["head", "views"]
    chance = random.Random(16)
    for case in range(3 if whole else 1):
        monkeypatch.setenv("AUTOFIT_CACHE", str(tmp_path / f"cache{case}"))
        moments = list(MOMENTS_OF_VIEWS.values()) if whole else [MOMENTS_OF_VIEWS["solving on views"]]
        for promise in (2, 3, 4):
            count(promise, len(moments))
        run_dir = before_views(head, tmp_path / f"killed{case}")
        killer = Killer(run_dir, moments, chance, LATEST_SECONDS / 3 if whole else 0.0)

        killer.drive(forking(autofit_command("resume", run_dir)))

        assert killer.kills > 0, "no moment was hit"
        result = result_of(run_dir)
        assert result["weights_sha256"] == expected["weights_sha256"]
        assert result["history"] == expected["history"]
        assert without_seconds(result["stages"]) == without_seconds(expected["stages"])
        assert_each_epoch_once(run_dir, 2, range(TRAIN_COUNT))


def without_seconds(stages: list[dict[str, object]]) -> list[dict[str, object]]:
    """The records of stages without what differs from run to run."""
    return [{name: value for name, value in stage.items() if name != "seconds"} for stage in stages]
