"""What a training step takes in float32 and in mixed precision on a CPU: the allocator's peak, and images a second.

Each measurement is a process of its own; precisions take turns, round after round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from machine import machine, today, versions
from markdown_table import markdown_table

PROGRAM = Path(__file__).resolve().parent / "peers" / "precision_steps.py"
LIMIT_MB = 6000
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
ALLOCATOR = {"TF_CPU_ALLOCATOR_USE_BFC": "true", "TF_CPU_BFC_MEM_LIMIT_IN_MB": str(LIMIT_MB)}
Case = tuple[str, str, str]


def measured(case: Case, sizes: list[str]) -> dict[str, Any]:
    """One process."""
    backbone, precision, onednn = case
    environment = {**os.environ, **QUIET, **ALLOCATOR, "TF_ENABLE_ONEDNN_OPTS": onednn}
    command = [sys.executable, str(PROGRAM), backbone, precision, *sizes]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--backbones", nargs="+", default=["MobileNetV2", "ResNet50"])
    arguments.add_argument("--precisions", nargs="+", default=list(PRECISIONS))
    arguments.add_argument("--onednn", nargs="+", default=["0", "1"], choices=["0", "1"])
    arguments.add_argument("--images", default="8")
    arguments.add_argument("--side", default="224")
    arguments.add_argument("--steps", default="3")
    arguments.add_argument("--rounds", type=int, default=1)
    given = arguments.parse_args()
    sizes = [given.images, given.side, given.steps]
    cases = [(b, p, o) for b in given.backbones for o in given.onednn for p in given.precisions]
    found = defaultdict[Case, list[dict[str, Any]]](list)
    for _ in range(given.rounds):
        for case in cases:
            found[case].append(measured(case, sizes))
            print(case, found[case][-1], file=sys.stderr)
    print(f"{machine()}; {versions(sys.executable, ['tensorflow', 'keras'])}; {today()}\n")
    rows = [
        (
            backbone,
            precision,
            "oneDNN" if onednn == "1" else "Eigen",
            f"{statistics.median(one['peak_bytes'] for one in found[backbone, precision, onednn]) / 1e6:.0f} MB",
            f"{statistics.median(one['images_per_second'] for one in found[backbone, precision, onednn]):.2f}",
        )
        for backbone, precision, onednn in cases
    ]
    print(markdown_table(("backbone", "precision", "kernels", "peak", "images/s"), rows))


if __name__ == "__main__":
    main()
