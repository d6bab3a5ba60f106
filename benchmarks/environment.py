"""How fast the same network runs under each setting of TensorFlow on a CPU: allocator, oneDNN, threads, XLA, precision.

Each setting is a process of its own, in turn, round after round; what counts is the ratio within a round. The decisions
that follow from it are in `autofit/worker/runtime/tf_settings.py`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from environment_table import REFERENCE, WORKS, Round, table
from machine import machine, today, versions
from whole_process import run_whole

PROGRAM = Path(__file__).resolve().parent / "peers" / "network_steps.py"
LIMIT_MB = 3000
ONEDNN, NO_ONEDNN = {"TF_ENABLE_ONEDNN_OPTS": "1"}, {"TF_ENABLE_ONEDNN_OPTS": "0"}
BFC = {"TF_CPU_ALLOCATOR_USE_BFC": "true", "TF_CPU_BFC_MEM_LIMIT_IN_MB": str(LIMIT_MB)}
TUNED_MALLOC = {
    "GLIBC_TUNABLES": "glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1:"
    f"glibc.malloc.mmap_threshold={2**32}:glibc.malloc.trim_threshold={2**32}"
}
"""One arena that keeps what it was given back, in huge pages: glibc's own would map and unmap each large tensor."""

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}


@dataclass(frozen=True, slots=True)
class Setting:
    """What a process is started with: environment variables and arguments; and the works that it makes sense for."""

    environment: Mapping[str, str]
    arguments: Sequence[str] = ()
    works: Sequence[str] = field(default=tuple(WORKS))


SETTINGS = {
    "malloc": Setting(NO_ONEDNN),
    "malloc, oneDNN (TensorFlow's default)": Setting(ONEDNN),
    "malloc tuned": Setting({**NO_ONEDNN, **TUNED_MALLOC}),
    REFERENCE: Setting({**NO_ONEDNN, **BFC}),
    "BFC, oneDNN": Setting({**ONEDNN, **BFC}),
    "BFC, BatchNormalization not folded": Setting({**NO_ONEDNN, **BFC}, ["--plain"], ["extract"]),
    "BFC, oneDNN, not folded": Setting({**ONEDNN, **BFC}, ["--plain"], ["extract"]),
    "BFC, malloc beside it tuned": Setting({**NO_ONEDNN, **BFC, **TUNED_MALLOC}),
    "BFC, intra-op 1": Setting({**NO_ONEDNN, **BFC}, ["--intra", "1"]),
    "BFC, intra-op 2": Setting({**NO_ONEDNN, **BFC}, ["--intra", "2"]),
    "BFC, inter-op 1": Setting({**NO_ONEDNN, **BFC}, ["--inter", "1"]),
    "BFC, inter-op 2": Setting({**NO_ONEDNN, **BFC}, ["--inter", "2"]),
    "BFC, deterministic operations": Setting({**NO_ONEDNN, **BFC}, ["--deterministic"]),
    "BFC, XLA": Setting({**NO_ONEDNN, **BFC}, ["--xla"], ["extract"]),
    "BFC, bfloat16": Setting({**NO_ONEDNN, **BFC}, ["--precision", "mixed_bfloat16"]),
    "BFC, bfloat16, oneDNN": Setting({**ONEDNN, **BFC}, ["--precision", "mixed_bfloat16"]),
}
"""oneDNN is off where it is not named, as it is in autofit's worker where memory may run out."""


def one_round(number: int, name: str, work: str, seconds: float) -> Round:
    """One setting at one work in a process of its own."""
    setting = SETTINGS[name]
    command = [sys.executable, PROGRAM, "--work", work, "--seconds", str(seconds), *setting.arguments]
    with tempfile.TemporaryDirectory() as folder:
        ended = run_whole(command, {**QUIET, **setting.environment}, Path(folder))
    if ended.exit_code:
        print(f"{name}, {work}: failed ({ended.last_error or ended.exit_code})", file=sys.stderr)
        return Round(number, name, work, ended.peak_bytes)
    return Round(number, name, work, ended.peak_bytes, **ended.answer(name))


def all_rounds(names: Sequence[str], rounds: int, seconds: float) -> Iterator[Round]:
    """Every setting at every work in turn, again and again; each is told as it ends."""
    for number in range(1, rounds + 1):
        for work in WORKS:
            for name in names:
                if work in SETTINGS[name].works:
                    one = one_round(number, name, work, seconds)
                    speeds = f"{one.images_per_second:.1f} images/s, {one.images_per_cpu_second:.1f} of processor time"
                    print(f"round {number}, {work}, {name}: {speeds}", flush=True)
                    yield one


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each works in a round")
    parser.add_argument("--only", help="settings whose names contain this, beside the one that all are compared with")
    parser.add_argument("--json", type=Path, help="keep the raw rounds in this file")
    return parser.parse_args()


def main() -> None:
    """Measure, and print what belongs beside the decisions."""
    asked = options()
    names = [name for name in SETTINGS if not asked.only or name == REFERENCE or asked.only in name]
    rounds = list(all_rounds(names, asked.rounds, asked.seconds))
    print(f"\n{asked.rounds} rounds of {asked.seconds:g} s; {machine()};")
    print(f"{versions(sys.executable, ['tensorflow', 'keras', 'numpy'])}; {today()}\n\n{table(rounds)}")
    if asked.json:
        asked.json.write_text(json.dumps([dataclasses.asdict(one) for one in rounds], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
