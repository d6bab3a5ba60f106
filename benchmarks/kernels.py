"""What each choice of kernels costs at the start, and gains afterwards: convolutions tuned or not, determinism, XLA.

    python benchmarks/kernels.py --backbones MobileNet ResNet50 --sizes 64 256

The worker, its allocator and its steps are those that training uses: a trial of one size in a process of its own for
each choice, in turn, round after round. On a card; on a CPU only determinism makes a difference.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from machine import GIGABYTE, machine, today, versions
from markdown_table import markdown_table

from autofit.config.options import make_options
from autofit.machine import hardware
from autofit.process.launch import ProcessLauncher
from autofit.process.monitor import monitored
from autofit.protocol.job import Job, TrialsJob
from autofit.protocol.messages import Request, Trial
from autofit.protocol.tf_choices import AUTOTUNE_VARIABLE, XLA_VARIABLE, xla_flags
from autofit.report.views import ProgressView
from autofit.runs.memory_budget import memory_budget
from autofit.runs.model_source import model_source
from autofit.storage.run_directory import AttemptDirectory

STEPS = 20
CLASSES = 10


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to choose kernels: TensorFlow's variables, and whether operations are deterministic."""

    variables: Mapping[str, str]
    deterministic: bool = False


CHOICES = {
    "quick": Choice({AUTOTUNE_VARIABLE: "0"}),
    "tuned": Choice({AUTOTUNE_VARIABLE: "1"}),
    "deterministic": Choice({AUTOTUNE_VARIABLE: "0"}, deterministic=True),
    "tuned, XLA": Choice({AUTOTUNE_VARIABLE: "1", XLA_VARIABLE: xla_flags({}, is_on=True)}),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A network, what of it trains, and how many images at once."""

    backbone: str
    trainable: str
    size: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One trial, and the seconds from the launch of its process until the trial began."""

    start_seconds: float
    trial: Trial


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    """Set TensorFlow's variables for the workers that are launched meanwhile."""
    names = (AUTOTUNE_VARIABLE, XLA_VARIABLE)
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)


def measured(case: Case, choice: Choice, image_size: int, steps: int) -> Reading:
    """One size in a process of its own.

    Raises:
        RuntimeError: its worker ended without an answer.
    """
    options = make_options(
        backbone=case.backbone, image_size=image_size, weights="none", trainable=case.trainable, recompute="off"
    )
    memory = memory_budget(options, hardware.detect(), case.size)
    job = Job(
        attempt=1,
        source=model_source(options, CLASSES),
        memory=memory,
        isolated=True,
        deterministic=choice.deterministic,
        work=TrialsJob(),
    )
    with tempfile.TemporaryDirectory() as folder, _set(choice.variables):
        began = time.monotonic()
        with monitored(job, AttemptDirectory(Path(folder)), ProcessLauncher(), view=ProgressView(sys.stderr)) as worker:
            worker.send(Request(trial=case.size, steps=steps, memory=memory, partial_batch=False))
            trial = next((event.trial for event in worker.events() if event.trial), None)
            seconds = time.monotonic() - began
    if trial is None:
        raise RuntimeError(f"{case}: the worker ended without an answer")
    return Reading(seconds - trial.seconds, trial)


def table(found: Mapping[tuple[Case, str], Sequence[Reading]]) -> str:
    """Medians of all rounds, a row for each case and choice."""
    header = [
        "network",
        "trains",
        "at once",
        "kernels",
        "start, s",
        "first steps, s",
        "images/s",
        "steady GB",
        "first GB",
    ]
    return markdown_table(header, [_row(case, choice, readings) for (case, choice), readings in found.items()])


def _row(case: Case, choice: str, readings: Sequence[Reading]) -> list[str]:
    trials = [reading.trial for reading in readings]
    named = [case.backbone, case.trainable, f"{case.size:,}", choice]
    failed = next((trial.verdict.value for trial in trials if not trial.images_per_second), None)
    if failed is not None:
        return [*named, failed, "", "", "", ""]
    return [
        *named,
        f"{statistics.median(reading.start_seconds for reading in readings):.1f}",
        f"{statistics.median(trial.first_steps_seconds for trial in trials):.1f}",
        f"{statistics.median(trial.images_per_second for trial in trials):,.0f}",
        f"{statistics.median(trial.peak_bytes for trial in trials) / GIGABYTE:.2f}",
        f"{statistics.median(trial.first_step_peak_bytes for trial in trials) / GIGABYTE:.2f}",
    ]


def main() -> None:
    """Measure in rounds and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbones", nargs="+", default=["MobileNet", "ResNet50"])
    parser.add_argument("--trainable", nargs="+", default=["head", "all"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--choices", nargs="+", default=list(CHOICES), choices=CHOICES)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    cases = [Case(b, t, size) for b in asked.backbones for t in asked.trainable for size in asked.sizes]
    found = defaultdict[tuple[Case, str], list[Reading]](list)
    for _ in range(asked.rounds):
        for case in cases:
            for name in asked.choices:
                found[case, name].append(measured(case, CHOICES[name], asked.image_size, asked.steps))
                print(case, name, found[case, name][-1], file=sys.stderr, flush=True)
    print(f"{machine()}; {versions(sys.executable, ['tensorflow', 'keras'])}; {today()}\n")
    print(table(found))


if __name__ == "__main__":
    main()
