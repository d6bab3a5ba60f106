"""How long autofit takes to train a classifier, beside a tutorial's script and the usual tf.data pipeline.

All train the same head on the same frozen MobileNetV2, with the same weights, photos, split and epochs, each as whole
processes, in turn, round after round. Every model is then judged in the same way, on photos that nobody trained or
validated with.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from autofit_run import heartbeat_lines, import_to_first_step_seconds, own_accuracy, seconds_after_first_epoch
from machine import machine, today, versions
from photo_folders import DEFAULT_WORK, task_folder, test_folder
from process_tree import TreeMemory
from train_table import AUTOFIT, SECOND, TFDATA, TUTORIAL, UNCACHED, Limits, Run, Work, rates, ratios, summary, table
from whole_process import Finished, run_whole

HERE = Path(__file__).resolve().parent
BACKBONE, IMAGE_SIZE = "MobileNetV2", 160
PEERS = {
    "tutorial": (TUTORIAL, HERE / "peers" / "tutorial_sequence.py"),
    "tfdata": (TFDATA, HERE / "peers" / "tfdata_pipeline.py"),
}
CONTENDERS = ["autofit", *PEERS]
LIMITS = HERE / "peers" / "machine_limits.py"
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2"}


@dataclass(frozen=True, slots=True)
class Bench:
    """What everyone is given: `data` has `train/` and `val/`; `folder` takes what a run writes; `test` judges it."""

    data: Path
    test: Path
    weights: Path
    epochs: int
    folder: Path

    def autofit(self, *, no_feature_cache: bool) -> Iterator[Run]:
        """A first run on a machine that autofit has never seen, and a second; perhaps one without the feature cache."""
        machine_folder = self._fresh("machine")
        yield self._autofit(AUTOFIT, machine_folder, [])
        yield self._autofit(SECOND, machine_folder, [])
        if no_feature_cache:
            yield self._autofit(UNCACHED, self._fresh("machine"), ["--feature-cache", "off"])

    def _autofit(self, name: str, machine_folder: Path, options: list[str]) -> Run:
        run = self._fresh("run")
        command = [
            *(sys.executable, "-m", "autofit", "train", self.data, "--backbone", BACKBONE),
            *("--image-size", str(IMAGE_SIZE), "--weights", self.weights, "--epochs", str(self.epochs)),
            *("--run-dir", run, *options),
        ]
        kept = {"AUTOFIT_PROFILES": str(machine_folder / "profiles"), "AUTOFIT_CACHE": str(machine_folder / "cache")}
        ended, peak_bytes = measured(command, kept, self.folder)
        if ended.exit_code:
            return failed(name, ended, peak_bytes)
        return Run(
            name,
            ended.seconds,
            peak_bytes,
            self.accuracy(run / "model.keras"),
            own_accuracy(run),
            seconds_after_first_epoch(heartbeat_lines(run)),
            import_to_first_step_seconds(run),
        )

    def peer(self, name: str, program: Path) -> Run:
        """One training by one of the peers."""
        model = self._fresh("peer") / "model.keras"
        model.parent.mkdir()
        given = ["--weights", self.weights, "--image-size", str(IMAGE_SIZE), "--epochs", str(self.epochs)]
        ended, peak_bytes = measured([sys.executable, program, self.data, *given, "--model", model], QUIET, self.folder)
        if ended.exit_code:
            return failed(name, ended, peak_bytes)
        told = ended.answer(name)
        own = told["accuracy"], told["later_seconds"], told["first_step_seconds"]
        return Run(name, ended.seconds, peak_bytes, self.accuracy(model), *own)

    def accuracy(self, model: Path) -> float:
        """Of a saved model on the test photos, in a process of its own.

        Raises:
            RuntimeError: it cannot be loaded or does not predict.
        """
        program = [sys.executable, HERE / "judge_model.py", model, self.test]
        ended = run_whole([*program, "--image-size", str(IMAGE_SIZE)], QUIET, self.folder)
        return float(ended.answer(str(model))["accuracy"])

    def limits(self) -> Limits:
        """What the machine can do at best at this work.

        Raises:
            RuntimeError: it cannot be measured.
        """
        program = [sys.executable, LIMITS, self.data, "--backbone", BACKBONE, "--size", str(IMAGE_SIZE)]
        return Limits(**run_whole(program, QUIET, self.folder).answer(LIMITS.name))

    def _fresh(self, name: str) -> Path:
        """A folder that is not there."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        return folder


def measured(command: list[str | Path], environment: Mapping[str, str], folder: Path) -> tuple[Finished, int]:
    """Run it to its end; with the most memory that it and its children had at once, in bytes."""
    with TreeMemory() as memory:
        ended = run_whole(command, environment, folder)
    return ended, max(memory.peak_bytes, ended.peak_bytes)


def failed(name: str, ended: Finished, peak_bytes: int) -> Run:
    """A run that ended with an error instead of a model."""
    return Run(name, ended.seconds, peak_bytes, error=ended.last_error or f"exit code {ended.exit_code}")


def all_rounds(bench: Bench, contenders: list[str], repeats: int, *, no_feature_cache: bool) -> Iterator[Run]:
    """Every contender in turn, again and again; each run is told as it ends."""
    for number in range(1, repeats + 1):
        for contender in contenders:
            if contender in PEERS:
                yield told(bench.peer(*PEERS[contender]), number)
            else:
                for run in bench.autofit(no_feature_cache=no_feature_cache):
                    yield told(run, number)


def told(run: Run, number: int) -> Run:
    """Print the run, and hand it on."""
    found = run.error or f"accuracy {run.accuracy:.3f}"
    print(f"round {number}, {run.contender}: {run.seconds:.1f} s, {found}", flush=True)
    return run


def pretrained(work: Path, images: int, epochs: int) -> Path:
    """The weights file of a backbone that was trained on other classes; trained now if it is not there."""
    weights = work / f"{BACKBONE}-{images}-images-{epochs}-epochs.weights.h5"
    if not weights.exists():
        began = time.monotonic()
        sizes = ["--images", str(images), "--epochs", str(epochs)]
        program = [sys.executable, HERE / "pretrain_backbone.py", weights, *sizes]
        subprocess.run(program, env={**os.environ, **QUIET}, check=True)
        print(f"pretraining took {time.monotonic() - began:.0f} s", flush=True)
    return weights


def warm_up(data: Path) -> int:
    """Have the libraries and the photos in the page cache, so that the first in turn is not the slowest.

    Returns:
        How many photos there are.
    """
    subprocess.run([sys.executable, "-c", "import keras, tensorflow"], check=True, capture_output=True)
    return sum(1 for path in data.rglob("*.jpg") if path.read_bytes())


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1200, help="photos in all, a fifth of them for validation")
    parser.add_argument("--test-images", type=int, default=2400, help="photos that the models are judged by")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3, help="rounds")
    parser.add_argument("--contenders", type=listed, default=CONTENDERS, help=f"of {','.join(CONTENDERS)}")
    parser.add_argument("--no-feature-cache", action="store_true", help="run autofit without its feature cache as well")
    parser.add_argument("--photos", type=Path, help="a folder of large photos to cut crops from, instead of drawing")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="keeps photos and pretrained weights")
    parser.add_argument("--pretraining-images", type=int, default=250, help="photos of each of twelve other classes")
    parser.add_argument("--pretraining-epochs", type=int, default=6)
    parser.add_argument("--json", type=Path, help="keep the raw runs in this file")
    return parser.parse_args()


def listed(names: str) -> list[str]:
    """Contenders out of the command line, in the order of their turns."""
    wanted = names.split(",")
    if unknown := set(wanted) - set(CONTENDERS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: no such contender")
    return [name for name in CONTENDERS if name in wanted]


def main() -> None:
    """Measure, and print what belongs in `docs/benchmarks.md`."""
    asked = options()
    asked.work.mkdir(parents=True, exist_ok=True)
    work_folder = asked.work.resolve()
    data = task_folder(work_folder, asked.images, asked.photos)
    test = test_folder(work_folder, asked.test_images, asked.images, asked.photos)
    weights = pretrained(work_folder, asked.pretraining_images, asked.pretraining_epochs)
    work = Work(warm_up(data), asked.epochs)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(data, test, weights, asked.epochs, Path(folder))
        limits = bench.limits()
        runs = list(all_rounds(bench, asked.contenders, asked.repeats, no_feature_cache=asked.no_feature_cache))
    rows = [summary(runs, name) for name in dict.fromkeys(run.contender for run in runs)]
    print(f"\n{BACKBONE}, frozen, {IMAGE_SIZE} px, {work.images} photos of 640x480, a fifth of them for validation,")
    print(f"{work.epochs} epochs, {asked.repeats} rounds, judged by {asked.test_images} others; {machine()};")
    print(f"{versions(sys.executable, ['autofit-keras', 'tensorflow', 'keras', 'pillow'])}; {today()}\n")
    print(table(rows, work, limits), "", rates(limits), *ratios(rows, work), sep="\n")
    if asked.json:
        raw = {"runs": list(map(asdict, runs)), "work": asdict(work), "limits": asdict(limits)}
        asked.json.write_text(json.dumps(raw, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
