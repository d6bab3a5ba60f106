"""A network trained from scratch with a batch size that follows from the data: its accuracy, and on two machines.

    python benchmarks/from_scratch.py --json from_scratch.json
    python benchmarks/from_scratch.py --recipe classic --seeds 1 --memory-limits 8GB      # at a constant learning rate

2,560 drawn photos in six classes, all defaults but the network, `--weights none` and the epochs. Each seed trains under
every memory limit, as on machines of that size that have never seen it; the weights are compared bit by bit, and every
model is judged on photos that nobody was given.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np
from machine import machine, today, versions
from markdown_table import markdown_table
from photo_folders import DEFAULT_WORK, task_folder, test_folder
from whole_process import run_whole

HERE = Path(__file__).resolve().parent
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2"}
WEIGHTS_IN_KERAS_FILE = "model.weights.h5"
HEADER = ["seed", "memory limit", "batch, micro-batch", "seconds", "validation", "new photos", "weights as the first"]


@dataclass(frozen=True, slots=True)
class Trained:
    """One run.

    Attributes:
        seed: of the split, the order and the initial weights.
        memory_limit: as given.
        batch_size: images of an update.
        micro_batch_size: images in memory at once.
        seconds: of the whole process.
        validation: accuracy on a fifth of the photos.
        accuracy: on photos that it was not given.
        is_equal: whether its weights are those of the seed's first run, bit by bit.
    """

    seed: int
    memory_limit: str
    batch_size: int
    micro_batch_size: int
    seconds: float
    validation: float
    accuracy: float
    is_equal: bool


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained, and what judges it."""

    train: Path
    test: Path
    network: list[str]
    image_size: int


def weights_of(model: Path) -> list[np.ndarray]:
    """The arrays of a `.keras` file, by their names' order."""
    with zipfile.ZipFile(model) as archive, h5py.File(io.BytesIO(archive.read(WEIGHTS_IN_KERAS_FILE))) as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        return [np.asarray(file[name]) for name in sorted(names)]


def are_equal(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> bool:
    """Whether all arrays have the same bytes."""
    return len(one) == len(other) and all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


def trained(task: Task, seed: int, memory_limit: str, folder: Path) -> dict[str, object]:
    """Train with an empty cache and without profiles in `folder`; the figures of its `result.json`.

    Raises:
        RuntimeError: the training failed.
    """
    command = [sys.executable, "-m", "autofit", "train", task.train, *task.network, "--seed", str(seed)]
    fresh = {"AUTOFIT_CACHE": str(folder / "cache"), "AUTOFIT_PROFILES": str(folder / "profiles")}
    limit = ["--memory-limit", memory_limit, "--run-dir", folder / "run"]
    finished = run_whole([*command, *limit], {**QUIET, **fresh}, folder)
    if finished.exit_code:
        raise RuntimeError(f"seed {seed}, {memory_limit}: {finished.last_error or finished.exit_code}")
    result = json.loads((folder / "run" / "result.json").read_text(encoding="utf-8"))
    return {**result, "process_seconds": finished.seconds}


def judged(task: Task, model: Path, folder: Path) -> float:
    """The accuracy on photos that it was not given."""
    script = [sys.executable, HERE / "judge_model.py", model, task.test, "--image-size", str(task.image_size)]
    return float(run_whole(script, QUIET, folder).answer("judge")["accuracy"])


def runs_of_seed(task: Task, seed: int, memory_limits: Sequence[str]) -> list[Trained]:
    """A run under each limit."""
    runs: list[Trained] = []
    first: list[np.ndarray] = []
    for limit in memory_limits:
        folder = Path(tempfile.mkdtemp(prefix="autofit-scratch-"))
        try:
            result = trained(task, seed, limit, folder)
            model = folder / "run" / "model.keras"
            weights = weights_of(model)
            first = first or weights
            sizes = json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))["plan"]
            validation = result["history"]["val_accuracy"][result["best_epoch"]]  # type: ignore[index]
            runs.append(
                Trained(
                    seed,
                    limit,
                    sizes["first_batch_size"],
                    sizes["micro_batch_size"],
                    float(result["process_seconds"]),  # type: ignore[arg-type]
                    float(validation),
                    judged(task, model, folder),
                    are_equal(first, weights),
                )
            )
            print(json.dumps(asdict(runs[-1])), flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return runs


def row(run: Trained) -> list[str]:
    """The cells of one run."""
    sizes = f"{run.batch_size}, {run.micro_batch_size}"
    equal = "yes" if run.is_equal else "no"
    accuracies = [f"{run.validation:.3f}", f"{run.accuracy:.3f}"]
    return [str(run.seed), run.memory_limit, sizes, f"{run.seconds:.0f}", *accuracies, equal]


def main() -> int:
    """Run all seeds under all limits; the exit code is 1 where weights differ between limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--photos", type=int, default=3200, help="drawn in all; four fifths are given to the training")
    parser.add_argument("--new-photos", type=int, default=600, help="that judge the models")
    parser.add_argument("--recipe", default="auto", help="`classic` trains at a constant learning rate")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--memory-limits", nargs="+", default=["3GB", "8GB"])
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="where the photos are kept")
    parser.add_argument("--json", type=Path, help="where all runs are written")
    asked = parser.parse_args()
    photos = task_folder(asked.work, asked.photos, None) / "train"
    new_photos = test_folder(asked.work, asked.new_photos, asked.photos, None)
    network = ["--backbone", asked.backbone, "--image-size", str(asked.image_size), "--weights", "none"]
    trained_so = ["--epochs", str(asked.epochs), "--recipe", asked.recipe]
    task = Task(photos, new_photos, [*network, *trained_so], asked.image_size)
    runs = [run for seed in asked.seeds for run in runs_of_seed(task, seed, asked.memory_limits)]
    print(f"\n{machine()}; {versions(sys.executable, ['tensorflow', 'keras'])}; {today()}\n")
    print(markdown_table(HEADER, map(row, runs)))
    if asked.json:
        asked.json.write_text(json.dumps([asdict(run) for run in runs], indent=2), encoding="utf-8")
    return 0 if all(run.is_equal for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
