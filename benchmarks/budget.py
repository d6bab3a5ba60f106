"""Whether time budgets are kept: random budgets, each a whole `autofit train` on a machine that it has not seen.

    python benchmarks/budget.py PHOTOS --backbone MobileNet --image-size 224 --weights FILE

Budgets are drawn log-uniformly by a seed. The seconds are those of the whole process, its start included. The exit code
is 1 if a run was over its budget by more than a tenth or 5 s, the larger.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, today, versions
from markdown_table import markdown_table
from whole_process import run_whole

LEAST_SECONDS, MOST_SECONDS = 10.0, 300.0
TOLERANCE, TOLERANCE_SECONDS = 0.1, 5.0
HEADER = ["budget, s", "used, s", "over by, s", "kept", "stages", "validation accuracy"]


@dataclass(frozen=True, slots=True)
class Spent:
    """One run.

    Attributes:
        budget_seconds: what it had.
        seconds: what it took.
        stages: in words.
        accuracy: on the validation images, of the model that was handed over.
    """

    budget_seconds: float
    seconds: float
    stages: str
    accuracy: float

    @property
    def over_seconds(self) -> float:
        """By how much it was over; below zero if it ended before."""
        return self.seconds - self.budget_seconds

    @property
    def is_kept(self) -> bool:
        """Whether it was over by no more than is promised."""
        return self.over_seconds <= max(TOLERANCE * self.budget_seconds, TOLERANCE_SECONDS)


def budgets(count: int, seed: int, least: float = LEAST_SECONDS, most: float = MOST_SECONDS) -> list[float]:
    """Budgets in seconds, to a tenth, uniform in their logarithm."""
    drawn = np.random.default_rng(seed).uniform(math.log(least), math.log(most), count)
    return [round(math.exp(value), 1) for value in drawn.tolist()]


def stage_words(stage: dict[str, Any]) -> str:
    """A stage of `result.json`: its epochs, and what it had no time for."""
    how = "solved" if stage["method"] == "solved" else f"{stage['epochs']} epochs"
    cut = f" ({stage['cut_short']})" if stage.get("cut_short") else ""
    return f"{stage['name']}: {how}{cut}"


def spent(budget_seconds: float, seconds: float, result: dict[str, Any]) -> Spent:
    """What a run's `result.json` says."""
    accuracies = result["history"].get("val_accuracy", [])
    best = result["best_epoch"]
    accuracy = accuracies[best] if best is not None and best < len(accuracies) else math.nan
    return Spent(budget_seconds, seconds, ", ".join(map(stage_words, result["stages"])), accuracy)


def run_with(budget_seconds: float, request: Sequence[str | Path]) -> Spent:
    """Train with an empty cache and without profiles; both are removed afterwards.

    Raises:
        RuntimeError: the training failed.
    """
    folder = Path(tempfile.mkdtemp(prefix="autofit-budget-"))
    try:
        command = [sys.executable, "-m", "autofit", "train", *request, "--time-budget", f"{budget_seconds}s"]
        fresh = {"AUTOFIT_CACHE": str(folder / "cache"), "AUTOFIT_PROFILES": str(folder / "profiles")}
        finished = run_whole([*command, "--run-dir", folder / "run"], fresh, folder)
        if finished.exit_code:
            raise RuntimeError(f"a budget of {budget_seconds} s: {finished.last_error or finished.exit_code}")
        result = json.loads((folder / "run" / "result.json").read_text(encoding="utf-8"))
        return spent(budget_seconds, finished.seconds, result)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def row(run: Spent) -> list[str]:
    """The cells of one run."""
    kept = "yes" if run.is_kept else "no"
    figures = [f"{value:.1f}" for value in (run.budget_seconds, run.seconds, run.over_seconds)]
    return [*figures, kept, run.stages, f"{run.accuracy:.3f}"]


def exit_code(runs: Iterable[Spent]) -> int:
    """1 if any budget was not kept."""
    return 0 if all(run.is_kept for run in runs) else 1


def main() -> int:
    """Run one budget after another, and print the table at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder with a subfolder for each class")
    parser.add_argument("--backbone", default="MobileNet")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--weights", type=Path, required=True, help="of the backbone, without its top")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--least", type=float, default=LEAST_SECONDS, help="seconds")
    parser.add_argument("--most", type=float, default=MOST_SECONDS, help="seconds")
    parser.add_argument("--json", type=Path, help="where all runs are written")
    asked = parser.parse_args()
    network = [
        "--backbone",
        asked.backbone,
        "--image-size",
        str(asked.image_size),
        "--weights",
        asked.weights.resolve(),
    ]
    runs = []
    for seconds in budgets(asked.count, asked.seed, asked.least, asked.most):
        runs.append(run_with(seconds, [asked.photos.resolve(), *network]))
        print(" | ".join(row(runs[-1])), flush=True)
    print(f"\n{machine()}; {versions(sys.executable, ['tensorflow', 'keras'])}; {today()}\n")
    print(markdown_table(HEADER, map(row, sorted(runs, key=lambda run: run.budget_seconds))))
    if asked.json:
        asked.json.write_text(json.dumps([asdict(run) for run in runs], indent=2), encoding="utf-8")
    return exit_code(runs)


if __name__ == "__main__":
    sys.exit(main())
