"""What fits with activations kept, computed again, in 16 bits, and both, beside the true maximum.

All layers of six networks train, from random weights, on images of 224 px. Each row is one network with 1, 2 or 4 GB
for tensors, as on a card of that size, with `--recompute off` or `auto`, in float32 or in mixed precision; the true
maximum is found on the rung that the probe has chosen, as in `true_maximum.py`. On a CPU a limit counts all resident
memory, and the process itself takes about 1 GB: so the limit is 1 GB more.

    python benchmarks/ladder.py --network ResNet50 --gigabytes 2 --json ladder.json     # one network
    python benchmarks/ladder.py --json ladder.json --bounds                             # all, less exactly

It goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from machine import machine, today, versions
from true_maximum import Case, true_maximum

from autofit.config.rungs import Rung
from autofit.probing.ladder import rung_record
from autofit.probing.records import ProbeReport, RungRecord

NETWORKS = ("MobileNetV2", "EfficientNetB0", "ResNet50", "DenseNet121", "InceptionV3", "VGG16")
GIGABYTES = (1.0, 2.0, 4.0)
PROCESS_GIGABYTES = 1.0
IMAGE_SIZE = 224
MAX_BATCH = 256
PRECISIONS = ("float32", "mixed_bfloat16")

Row = dict[str, object]


def probe(network: str, gigabytes: float, recompute: str, precision: str) -> ProbeReport:
    """What `autofit probe` says, as a whole process that has no profile to start from."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "probe.json"
        given = ["--backbone", network, "--image-size", str(IMAGE_SIZE), "--weights", "none", "--trainable", "all"]
        limits = [
            "--memory-limit",
            f"{gigabytes + PROCESS_GIGABYTES}GB",
            "--max-batch",
            str(MAX_BATCH),
            "--recompute",
            recompute,
        ]
        limits += ["--precision", precision]
        command = [sys.executable, "-m", "autofit", "probe", *given, *limits, "--no-profile", "--json", str(file)]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # 3: nothing fits
        return ProbeReport.load(file)


@dataclass(frozen=True)
class Answer:
    """What a probe found on the rung that it has chosen, and on all that it tried, in order."""

    found: RungRecord
    tried: list[RungRecord]


def answers(network: str, gigabytes: float, recomputes: Sequence[str], precision: str) -> dict[str, Answer]:
    """The answer for each `--recompute`; `auto` begins with the very probe of `off`, which is then not run again."""
    by_recompute: dict[str, Answer] = {}
    for recompute in sorted(recomputes):  # "auto" first
        if recompute not in by_recompute:
            report = probe(network, gigabytes, recompute, precision)
            found = rung_record(Rung(segments=report.workload.segments), report)
            by_recompute[recompute] = Answer(found, report.rungs or [found])
        if recompute == "auto":
            first = by_recompute["auto"].tried[0]
            by_recompute["off"] = Answer(first, [first])
    return {recompute: by_recompute[recompute] for recompute in recomputes}


def measure(
    network: str, gigabytes: float, recomputes: Sequence[str], precision: str, *, only_bounds: bool
) -> Iterator[Row]:
    """The rows of one network, limit and precision: the probe's answers, and the true maximum on the rung of each."""

    @functools.cache
    def maximum(case: Case, answer: int) -> tuple[int, int]:
        return true_maximum(case, near=answer or 1, only_bounds=only_bounds and answer > 0)

    limit_bytes = round((gigabytes + PROCESS_GIGABYTES) * 10**9)
    for recompute, given in answers(network, gigabytes, recomputes, precision).items():
        found, segments, answer = given.found, given.found.rung.segments, given.found.largest_feasible_batch
        of_maximum = segments if answer else max(record.rung.segments for record in given.tried)
        case = Case(network, IMAGE_SIZE, "all", limit_bytes, found.non_allocator_bytes, of_maximum, precision)
        least, most = maximum(case, answer)
        yield {
            "network": network,
            "gigabytes": gigabytes,
            "recompute": recompute,
            "precision": precision,
            "segments": segments,
            "answer": answer,
            "recommended": found.recommended_batch,
            "images_per_second": found.images_per_second,
            "bytes_per_image": found.bytes_per_image,
            "true_maximum": most,
            "true_maximum_at_least": least,
            "seconds": sum(record.wall_seconds for record in given.tried),
            "rungs": [(record.rung.segments, record.largest_feasible_batch) for record in given.tried],
        }


def table(rows: Iterable[Row]) -> str:
    """The rows in Markdown."""
    lines = [
        "| network | tensors | recompute | precision | segments | largest | maximum | images/s | MB each | probe, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['network']} | {row['gigabytes']:g} GB | {row['recompute']} | {_precision(row)} | {row['segments']} "
        f"| {row['answer']} | {_maximum(row)} | {row['images_per_second']:.1f} | {row['bytes_per_image'] / 1e6:.0f} "
        f"| {row['seconds']:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _precision(row: Row) -> str:
    return str(row.get("precision", "float32"))


def _maximum(row: Row) -> str:
    least, most = row["true_maximum_at_least"], row["true_maximum"]
    return str(most) if least == most else f"{least} to {most}"


def main() -> None:
    """Measure what the file does not hold yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("ladder.json"), help="keeps what is measured")
    parser.add_argument("--network", action="append", help="only these networks")
    parser.add_argument("--gigabytes", type=float, action="append", help="only with so much for tensors")
    parser.add_argument("--recompute", action="append", choices=("off", "auto", "on"), help="only these")
    parser.add_argument("--precision", action="append", choices=PRECISIONS, help="only these")
    parser.add_argument("--bounds", action="store_true", help="try less, and say between which sizes it lies")
    asked = parser.parse_args()
    rows = json.loads(asked.json.read_text(encoding="utf-8")) if asked.json.exists() else []
    done = {(row["network"], row["gigabytes"], row["recompute"], _precision(row)) for row in rows}
    cases = [
        (network, gigabytes, precision)
        for precision in asked.precision or PRECISIONS
        for gigabytes in asked.gigabytes or GIGABYTES
        for network in asked.network or NETWORKS
    ]
    for network, gigabytes, precision in cases:
        wanted = [r for r in asked.recompute or ("off", "auto") if (network, gigabytes, r, precision) not in done]
        if wanted:
            print(network, gigabytes, *wanted, precision, flush=True)
            for row in measure(network, gigabytes, wanted, precision, only_bounds=asked.bounds):
                rows.append(row)
                asked.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(f"\n{machine()}; {versions(sys.executable, ['tensorflow', 'keras'])}; {today()}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
