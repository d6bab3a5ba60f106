"""What fits with activations kept, computed again, in 16 bits, and both, beside the true maximum.

All layers of six networks train, from random weights, on images of 224 px. Each row is one network with 1, 2 or 4 GB
for tensors, as on a card of that size, with `--recompute off` or `auto`, in float32 or in mixed precision; the true
maximum is found on the rung that the probe has chosen, as in `true_maximum.py`. On a CPU a limit counts all resident
memory, and the process itself takes about 1 GB: so the limit is 1 GB more.

    python benchmarks/ladder.py --network ResNet50 --gigabytes 2 --json ladder.json     # one row
    python benchmarks/ladder.py --json ladder.json --bounds                             # all, less exactly

It goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from machine import machine, today, versions
from true_maximum import Case, true_maximum

NETWORKS = ("MobileNetV2", "EfficientNetB0", "ResNet50", "DenseNet121", "InceptionV3", "VGG16")
GIGABYTES = (1.0, 2.0, 4.0)
PROCESS_GIGABYTES = 1.0
IMAGE_SIZE = 224
MAX_BATCH = 256
PRECISIONS = ("float32", "mixed_bfloat16")

Row = dict[str, object]


def probe(network: str, gigabytes: float, recompute: str, precision: str) -> dict[str, object]:
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
        return json.loads(file.read_text(encoding="utf-8"))


def measure(network: str, gigabytes: float, recompute: str, precision: str, *, only_bounds: bool) -> Row:
    """One row: the probe's answer, and the true maximum on its rung."""
    found = probe(network, gigabytes, recompute, precision)
    answer, segments = int(found["largest_feasible_batch"]), int(found["workload"]["segments"])
    limit_bytes, beside = round((gigabytes + PROCESS_GIGABYTES) * 10**9), int(found["non_allocator_bytes"])
    segments_of_maximum = segments if answer else max((r["rung"]["segments"] for r in found["rungs"]), default=segments)
    case = Case(network, IMAGE_SIZE, "all", limit_bytes, beside, segments_of_maximum, precision)
    least, most = true_maximum(case, near=answer or 1, only_bounds=only_bounds and answer > 0)
    speeds = [t["images_per_second"] for t in found["trials"] if t["batch_size"] == found["recommended_batch"]]
    line = found["memory_model"] or {}
    return {
        "network": network,
        "gigabytes": gigabytes,
        "recompute": recompute,
        "precision": precision,
        "segments": segments,
        "answer": answer,
        "recommended": found["recommended_batch"],
        "images_per_second": max(speeds, default=0.0),
        "bytes_per_image": line.get("bytes_per_image", 0.0),
        "true_maximum": most,
        "true_maximum_at_least": least,
        "seconds": sum(rung["wall_seconds"] for rung in found["rungs"]) or found["wall_seconds"],
        "rungs": [(rung["rung"]["segments"], rung["largest_feasible_batch"]) for rung in found["rungs"]],
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
        (network, gigabytes, recompute, precision)
        for precision in asked.precision or PRECISIONS
        for gigabytes in asked.gigabytes or GIGABYTES
        for network in asked.network or NETWORKS
        for recompute in asked.recompute or ("off", "auto")
    ]
    for case in cases:
        if case not in done:
            print(*case, flush=True)
            rows.append(measure(*case, only_bounds=asked.bounds))
            asked.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(f"\n{machine()}; {versions(sys.executable, ['tensorflow', 'keras'])}; {today()}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
