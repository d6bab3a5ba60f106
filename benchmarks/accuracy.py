"""How good the model is, and after how many seconds: autofit beside scikit-learn and a Keras script in two stages.

    python benchmarks/accuracy.py food=PHOTOS --backbone MobileNet --image-size 224 --weights FILE

Each contender trains as a whole process on the same photos, drawn anew for each split; every model is judged on the
same photos that it has not seen. Means over the splits, with their standard errors.

With `--json FILE` it goes on where it was stopped, and several sets and networks add up to one table.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from machine import machine, today, versions
from markdown_table import markdown_table
from whole_process import Finished, run_whole

HERE = Path(__file__).resolve().parent
HELD_OUT = 0.3
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


@dataclass(frozen=True, slots=True)
class Judged:
    """One contender on one split of a set, with one network."""

    task: str
    network: str
    contender: str
    split: int
    seconds: float
    accuracy: float


def split_folders(photos: Path, split: int, folder: Path) -> tuple[Path, Path]:
    """Link a share of each class into `test`, and the others into `train`."""
    random = np.random.default_rng(split)
    for name in sorted(entry.name for entry in photos.iterdir() if entry.is_dir()):
        paths = sorted((photos / name).iterdir())
        held_out = set(random.permutation(len(paths))[: max(1, round(HELD_OUT * len(paths)))].tolist())
        for number, path in enumerate(paths):
            target = folder / ("test" if number in held_out else "train") / name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.resolve())
    return folder / "train", folder / "test"


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
        name = SCIKIT_LEARN
        script = HERE / "peers" / "logistic_regression.py"
        finished = self._run(name, [sys.executable, script, self.train, self.test, *self.task.network], {})
        return self._row(name, finished.seconds, finished.answer(name)["accuracy"])

    def keras(self) -> Judged:
        """The head, then fine-tuning, as in Keras's guide."""
        name = KERAS
        model = self._fresh("keras") / "model.keras"
        script = HERE / "peers" / "keras_two_stages.py"
        finished = self._run(name, [sys.executable, script, self.train, model, *self.task.network], {})
        return self._judged(name, finished.seconds, model)

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
        return Judged(self.task.name, self.task.network_name, name, self.split, seconds, accuracy)

    def _fresh(self, name: str) -> Path:
        folder = self.folder / name.replace(" ", "-").replace(",", "")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def contests(task: Task, splits: int) -> Iterator[Contest]:
    """The splits of a task, each in a folder of its own that is removed after it."""
    for split in range(splits):
        with tempfile.TemporaryDirectory(prefix="autofit-accuracy-") as temporary:
            train, test = split_folders(task.photos, split, Path(temporary) / "photos")
            yield Contest(task, split, train, test, Path(temporary))


def judged(contest: Contest, contenders: Sequence[str]) -> Iterator[Judged]:
    """The contenders on one split, in turn."""
    for contender in contenders:
        if contender == "sklearn":
            yield contest.scikit_learn()
        elif contender == "keras":
            yield contest.keras()
        else:
            yield contest.autofit(*AUTOFIT[contender])


def left(contest: Contest, contenders: Sequence[str], runs: Sequence[Judged]) -> list[str]:
    """The contenders that were not yet judged on a split."""
    task = contest.task
    key = (task.name, task.network_name, contest.split)
    done = {run.contender for run in runs if (run.task, run.network, run.split) == key}
    return [contender for contender in contenders if NAMES[contender] not in done]


def rows(runs: Sequence[Judged]) -> Iterator[list[str]]:
    """A row for each set, network and contender: mean accuracy, its standard error, and the median of the seconds."""
    for task, network, contender in dict.fromkeys((run.task, run.network, run.contender) for run in runs):
        own = [run for run in runs if (run.task, run.network, run.contender) == (task, network, contender)]
        accuracies = np.array([run.accuracy for run in own])
        error = accuracies.std(ddof=1) / len(own) ** 0.5 if len(own) > 1 else float("nan")
        seconds = float(np.median([run.seconds for run in own]))
        yield [task, network, contender, f"{accuracies.mean():.3f}", f"{error:.3f}", f"{seconds:.1f}", str(len(own))]


HEADER = ["photos", "network", "who", "accuracy", "standard error", "seconds", "splits"]
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
SCIKIT_LEARN, KERAS = "LogisticRegressionCV", "Keras in two stages"
NAMES = {**{name: given[0] for name, given in AUTOFIT.items()}, "sklearn": SCIKIT_LEARN, "keras": KERAS}
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
    print(f"\n{machine()}; {versions(sys.executable, ['tensorflow', 'keras', 'scikit-learn'])}; {today()}\n")
    print(markdown_table(HEADER, rows(runs)))


def _saved(file: Path | None) -> list[Judged]:
    if file is None or not file.exists():
        return []
    return [Judged(**row) for row in json.loads(file.read_text(encoding="utf-8"))]


def _save(file: Path | None, runs: Sequence[Judged]) -> None:
    if file is not None:
        file.write_text(json.dumps([asdict(run) for run in runs], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
