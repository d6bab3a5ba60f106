"""How good the model is, and after how many seconds: autofit beside scikit-learn and a Keras script in two stages.

    python benchmarks/accuracy.py food=PHOTOS --backbone MobileNet --image-size 224 --weights FILE

Each contender trains as a whole process on the same photos, drawn anew for each split; every model is judged on the
same photos that it has not seen. Means over the splits, with their standard errors.

With `--json FILE` it goes on where it was stopped, and several sets and networks add up to one table. The table in
docs/benchmarks.md is of `readings/accuracy.json`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from accuracy_table import Judged, table
from machine import machine, today, versions
from whole_process import Finished, run_whole

HERE = Path(__file__).resolve().parent
HELD_OUT = 0.3
VALIDATION = 0.2
"""What the tutorial is given to validate with, of what it trains on."""
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2"}


@dataclass(frozen=True, slots=True)
class Task:
    """A labelled set, and the network that everyone is given."""

    name: str
    photos: Path
    backbone: str
    image_size: int
    weights: Path

    @property
    def network(self) -> list[str]:
        """The flags that name the network."""
        return ["--backbone", self.backbone, "--image-size", str(self.image_size), "--weights", str(self.weights)]

    @property
    def network_name(self) -> str:
        """The network in the table."""
        return f"{self.backbone}, {self.image_size} px"


def split_folders(photos: Path, split: int, folder: Path, share: float, held_out_as: str) -> tuple[Path, Path]:
    """Link a share of each class into a folder of that name, and the others into `train`; both are returned."""
    random = np.random.default_rng(split)
    for name in sorted(entry.name for entry in photos.iterdir() if entry.is_dir()):
        paths = sorted((photos / name).iterdir())
        held_out = set(random.permutation(len(paths))[: max(1, round(share * len(paths)))].tolist())
        for number, path in enumerate(paths):
            target = folder / (held_out_as if number in held_out else "train") / name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.resolve())
    return folder / "train", folder / held_out_as


@dataclass(frozen=True, slots=True)
class Contest:
    """One split of one task, and a folder for what is written."""

    task: Task
    split: int
    train: Path
    test: Path
    folder: Path

    def autofit(self, name: str, *options: str) -> Judged:
        """`autofit train` on a machine that it has not seen, with some options beside the network."""
        run = self._fresh(name)
        fresh = {"AUTOFIT_CACHE": str(run / "cache"), "AUTOFIT_PROFILES": str(run / "profiles")}
        command = [sys.executable, "-m", "autofit", "train", self.train, *self.task.network, "--run-dir", run / "run"]
        finished = self._run(name, [*command, *options], fresh)
        return self._judged(name, finished.seconds, run / "run" / "model.keras")

    def scikit_learn(self) -> Judged:
        """Features, and LogisticRegressionCV on them; it judges itself."""
        finished = self._run_peer(SCIKIT_LEARN, "logistic_regression.py", self.train, self.test)
        return self._row(SCIKIT_LEARN, finished.seconds, finished.answer(SCIKIT_LEARN)["accuracy"])

    def keras(self) -> Judged:
        """The head, then fine-tuning, as in Keras's guide."""
        model = self._fresh("keras") / "model.keras"
        finished = self._run_peer(KERAS, "keras_two_stages.py", self.train, model)
        return self._judged(KERAS, finished.seconds, model)

    def tutorial(self) -> Judged:
        """A frozen backbone and a new head, ten epochs of a `keras.utils.Sequence`."""
        folder = self._fresh("tutorial")
        photos, model = folder / "photos", folder / "model.keras"
        split_folders(self.train, self.split, photos, VALIDATION, "val")
        finished = self._run_peer(TUTORIAL, "tutorial_sequence.py", photos, "--model", model)
        return self._judged(TUTORIAL, finished.seconds, model)

    def _run_peer(self, name: str, script: str, *arguments: str | Path) -> Finished:
        return self._run(name, [sys.executable, HERE / "peers" / script, *arguments, *self.task.network], {})

    def _run(self, name: str, command: Sequence[str | Path], environment: dict[str, str]) -> Finished:
        finished = run_whole(command, {**QUIET, **environment}, self.folder)
        if finished.exit_code:
            raise RuntimeError(f"{name}: {finished.last_error or finished.exit_code}")
        return finished

    def _judged(self, name: str, seconds: float, model: Path) -> Judged:
        script = [sys.executable, HERE / "judge_model.py", model, self.test]
        finished = run_whole([*script, "--image-size", str(self.task.image_size)], QUIET, self.folder)
        return self._row(name, seconds, finished.answer(name)["accuracy"])

    def _row(self, name: str, seconds: float, accuracy: float) -> Judged:
        return Judged(self.task.name, self.task.network_name, name, self.split, seconds, accuracy, measured())

    def _fresh(self, name: str) -> Path:
        folder = self.folder / name.replace(" ", "-").replace(",", "")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def contests(task: Task, splits: int) -> Iterator[Contest]:
    """The splits of a task, each in a folder of its own that is removed after it."""
    for split in range(splits):
        with tempfile.TemporaryDirectory(prefix="autofit-accuracy-") as temporary:
            train, test = split_folders(task.photos, split, Path(temporary) / "photos", HELD_OUT, "test")
            yield Contest(task, split, train, test, Path(temporary))


def judged(contest: Contest, contenders: Sequence[str]) -> Iterator[Judged]:
    """The contenders on one split, in turn."""
    for contender in contenders:
        if contender == "sklearn":
            yield contest.scikit_learn()
        elif contender == "keras":
            yield contest.keras()
        elif contender == "tutorial":
            yield contest.tutorial()
        else:
            yield contest.autofit(*AUTOFIT[contender])


def left(contest: Contest, contenders: Sequence[str], runs: Sequence[Judged]) -> list[str]:
    """The contenders that were not yet judged on a split."""
    task = contest.task
    key = (task.name, task.network_name, contest.split)
    done = {run.contender for run in runs if (run.task, run.network, run.split) == key}
    return [contender for contender in contenders if NAMES[contender] not in done]


@cache
def measured() -> str:
    """The day, the machine and the versions."""
    return f"{today()}; {machine()}; {versions(sys.executable, ['tensorflow', 'keras', 'scikit-learn'])}"


AUTOFIT = {
    "autofit": ("autofit",),
    "classic": ("autofit, classic", "--recipe", "classic"),
    "fine-tune": ("autofit, fine-tuned", "--fine-tune-epochs", "10"),
    "all": ("autofit, all layers", "--trainable", "all"),
    "10s": ("autofit, 10 s", "--time-budget", "10s"),
    "1m": ("autofit, 1 minute", "--time-budget", "1m"),
    "5m": ("autofit, 5 minutes", "--time-budget", "5m"),
}
"""What autofit is asked for: a name for the table, and flags."""
SCIKIT_LEARN, KERAS, TUTORIAL = "LogisticRegressionCV", "Keras in two stages", "the tutorial"
OTHERS = {"sklearn": SCIKIT_LEARN, "keras": KERAS, "tutorial": TUTORIAL}
NAMES = {**{name: given[0] for name, given in AUTOFIT.items()}, **OTHERS}
CONTENDERS = tuple(NAMES)


def main() -> None:
    """Run all splits of all sets, and print the table after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="NAME=PHOTOS", help="a folder with a subfolder for each class")
    parser.add_argument("--backbone", default="MobileNet")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--weights", type=Path, required=True, help="of the backbone, without its top")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=["autofit", "sklearn"])
    parser.add_argument("--json", type=Path, help="keeps all runs")
    asked = parser.parse_args()
    runs = _saved(asked.json)
    for given in asked.sets:
        name, _, photos = given.partition("=")
        task = Task(name, Path(photos), asked.backbone, asked.image_size, asked.weights.resolve())
        for contest in contests(task, asked.splits):
            for run in judged(contest, left(contest, asked.contenders, runs)):
                runs.append(run)
                _save(asked.json, runs)
                print(
                    f"{run.task}, split {run.split}, {run.contender}: {run.accuracy:.3f}, {run.seconds:.1f} s",
                    flush=True,
                )
    print(f"\n{measured()}\n\n{table(runs, list(NAMES.values()))}")


def _saved(file: Path | None) -> list[Judged]:
    if file is None or not file.exists():
        return []
    return [Judged(**row) for row in json.loads(file.read_text(encoding="utf-8"))]


def _save(file: Path | None, runs: Sequence[Judged]) -> None:
    if file is not None:
        lines = ",\n".join(json.dumps(asdict(run)) for run in runs)
        file.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
