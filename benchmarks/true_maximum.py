"""How near to the true maximum the probe comes, and that it never goes over: MobileNetV2, EfficientNetB0, ResNet50.

The true maximum is found without any prediction: the largest batch that trains 20 steps with validation in a fresh
process under the same limit on resident memory. Sizes are tried by bisection, with 3 steps each. What that comes to has
to hold for 20 steps; where it does not, bisection goes on with 20 steps down to a hundredth, from the probe's answer.

    python benchmarks/true_maximum.py --json true_maximum.json     # goes on where it was stopped

`--bounds` tries less: whether the answer holds for 20 steps, and what above it fails within 3. The true maximum lies
between the two.

The worker, its allocator and its limit are those that training uses. What is run in it, and when it fits, is decided
here.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bisection import bounds_of_largest, largest_that_holds
from machine import GIGABYTE, machine, today, versions

from autofit.config.batch_schedule import image_buffer_bytes
from autofit.config.options import make_options
from autofit.config.rungs import Rung
from autofit.machine import hardware
from autofit.process.launch import ProcessLauncher
from autofit.process.monitor import monitored
from autofit.protocol.job import Job, TrialsJob
from autofit.protocol.messages import Request, Trial, Verdict
from autofit.report.views import ProgressView
from autofit.runs.memory_budget import memory_budget
from autofit.runs.model_source import model_source, on_rung
from autofit.storage.run_directory import AttemptDirectory

CASES = [
    (backbone, trainable, gigabytes)
    for gigabytes in (3, 6)
    for trainable in ("head", "all")
    for backbone in ("MobileNetV2", "EfficientNetB0", "ResNet50")
]
IMAGE_SIZE = 160


@dataclass(frozen=True)
class Case:
    """What is trained, and under which limit.

    Attributes:
        backbone: a network of `keras.applications`, with random weights.
        image_size: height and width in pixels.
        trainable: "head" or "all".
        limit_bytes: of resident memory.
        non_allocator_bytes: what the process is given outside the allocator and the image buffers.
        segments: in so many activations are computed again; 0 to keep them.
        precision: of the layers.
    """

    backbone: str
    image_size: int
    trainable: str
    limit_bytes: int
    non_allocator_bytes: int
    segments: int = 0
    precision: str = "float32"


def true_maximum(case: Case, *, near: int, only_bounds: bool) -> tuple[int, int]:
    """The largest batch that trains 20 steps and validates in a fresh process under the limit: from what, and up to.

    Args:
        case: what is trained.
        near: where to begin.
        only_bounds: leave it at two sizes between which it lies; else both are the same.
    """

    def fits(size: int, steps: int) -> bool:
        trial = run_alone(case, size, steps)
        holds = trial.verdict is Verdict.FITS and trial.host_bytes <= case.limit_bytes
        print(f"    {size} images, {steps} steps: {trial.verdict}, {trial.host_bytes / GIGABYTE:.2f} GB", flush=True)
        return holds

    if only_bounds:
        return bounds_of_largest(fits, near)
    largest = largest_that_holds(fits, near)
    return largest, largest


def run_alone(case: Case, size: int, steps: int) -> Trial:
    """One size in a process of its own."""
    options = make_options(
        backbone=case.backbone,
        image_size=case.image_size,
        weights="none",
        trainable=case.trainable,
        precision=case.precision,
        memory_limit=case.limit_bytes,
    )
    memory = memory_budget(options, hardware.detect(), size).model_copy(
        update={
            "non_allocator_bytes": case.non_allocator_bytes,
            "buffer_bytes": image_buffer_bytes(size, options.image_size),
        }
    )
    source = on_rung(model_source(options, 10), Rung(segments=case.segments))
    job = Job(attempt=1, source=source, memory=memory, isolated=True, work=TrialsJob())
    with (
        tempfile.TemporaryDirectory() as folder,
        monitored(job, AttemptDirectory(Path(folder)), ProcessLauncher(), view=ProgressView(sys.stderr)) as worker,
    ):
        worker.send(Request(trial=size, steps=steps, memory=memory))
        told = next((event.trial for event in worker.events() if event.trial), None)
    return told or Trial(batch_size=size, verdict=Verdict.CRASHED)


def probe(backbone: str, trainable: str, gigabytes: int) -> dict[str, object]:
    """What `autofit probe` says of a case, as a whole process that has no profile to start from."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "probe.json"
        given = ["--backbone", backbone, "--image-size", str(IMAGE_SIZE), "--weights", "none", "--trainable", trainable]
        limits = ["--memory-limit", f"{gigabytes}GB", "--recompute", "off", "--no-profile", "--json", str(file)]
        command = [sys.executable, "-m", "autofit", "probe", *given, *limits]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return json.loads(file.read_text(encoding="utf-8"))


def measure(case: tuple[str, str, int], found: dict[str, object], *, only_bounds: bool) -> dict[str, object]:
    """One row: the probe's answer, and the true maximum under the same limit."""
    backbone, trainable, gigabytes = case
    answer, non_allocator_bytes = int(found["largest_feasible_batch"]), int(found["non_allocator_bytes"])
    on = Case(backbone, IMAGE_SIZE, trainable, gigabytes * 10**9, non_allocator_bytes)
    least, most = true_maximum(on, near=answer, only_bounds=only_bounds)
    trials = found["trials"]
    return {
        "backbone": backbone,
        "trainable": trainable,
        "gigabytes": gigabytes,
        "answer": answer,
        "true_maximum": most,
        "true_maximum_at_least": least,
        "trials": len(trials),
        "ooms": sum(trial["verdict"] != "fits" for trial in trials),
    }


def table(rows: Iterable[dict[str, object]]) -> str:
    """The rows in Markdown."""
    lines = [
        "| network | trains | limit | answer | true maximum | share | trials | out of memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['backbone']} | {row['trainable']} | {row['gigabytes']} GB | {row['answer']} | {_maximum(row)} "
        f"| {row['answer'] / row['true_maximum']:.1%}{'' if _is_exact(row) else ' or more'} | {row['trials']} "
        f"| {row['ooms']} |"
        for row in rows
    ]
    return "\n".join(lines)


def _maximum(row: dict[str, object]) -> str:
    return str(row["true_maximum"]) if _is_exact(row) else f"{row['true_maximum_at_least']} to {row['true_maximum']}"


def _is_exact(row: dict[str, object]) -> bool:
    return row["true_maximum"] == row.get("true_maximum_at_least", row["true_maximum"])


def main() -> None:
    """Measure what the file does not hold yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("true_maximum.json"), help="keeps what is measured")
    parser.add_argument("--gigabytes", type=int, action="append", help="only these limits")
    parser.add_argument("--bounds", action="store_true", help="try less, and say between which sizes it lies")
    asked = parser.parse_args()
    rows = json.loads(asked.json.read_text(encoding="utf-8")) if asked.json.exists() else []
    done = {(row["backbone"], row["trainable"], row["gigabytes"]) for row in rows}
    for case in CASES:
        if case in done or (asked.gigabytes and case[2] not in asked.gigabytes):
            continue
        print(*case, flush=True)
        rows.append(measure(case, probe(*case), only_bounds=asked.bounds))
        asked.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(f"\n{machine()}; {versions(sys.executable, ['tensorflow', 'keras'])}; {today()}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
