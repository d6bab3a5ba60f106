"""How fast, and how well, autofit, Lightning and Accelerate find the largest batch: side by side, under one limit.

The work is the same for all: a linear head with dropout, trained with Adam, on a frozen MobileNetV2 with random
weights. Every tool runs as a whole process, in turn, round after round, and none may have more resident memory than
the limit: autofit by its own `--memory-limit`, the peers by a limit that makes PyTorch raise (`peers/memory_limit.py`).
Each answer is then compared with the largest batch that the same framework really trains under that limit.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bisection import largest_that_holds
from find_batch_table import Run, summary, table
from machine import machine, today, versions
from whole_process import Finished, run_whole

BACKBONE = "MobileNetV2"
AUTOFIT = [
    *(sys.executable, "-m", "autofit", "probe", "--backbone", BACKBONE),
    *("--weights", "none", "--trainable", "head", "--no-profile"),
]
PEERS = Path(__file__).resolve().parent / "peers"
PEER_ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""PyTorch is much faster so: glibc maps every large tensor anew, and huge pages make that cheap."""
PEER_PROGRAMS = {
    "Lightning, power": ["lightning_tuner.py", "--mode", "power"],
    "Lightning, binsearch": ["lightning_tuner.py", "--mode", "binsearch"],
    "Accelerate, from 512": ["accelerate_finder.py", "--starting-batch-size", "512"],
}
FRAMEWORKS = {
    "lightning": ["Lightning, power", "Lightning, binsearch"],
    "accelerate": ["Accelerate, from 512"],
}


@dataclass(frozen=True, slots=True)
class Bench:
    """Where and how everything is run; `folder` takes the files that the tools write."""

    peers_python: str
    image_size: int
    limit_bytes: int
    plain: bool
    folder: Path

    def autofit(self) -> tuple[Run, int]:
        """One `autofit probe`, and the memory outside its allocator that it measured (for the true maximum).

        Raises:
            RuntimeError: it found nothing; there is nothing to compare with then.
        """
        report = self.folder / "probe.json"
        report.unlink(missing_ok=True)
        limit = ["--image-size", str(self.image_size), "--memory-limit", str(self.limit_bytes), "--json", str(report)]
        ended = run_whole([*AUTOFIT, *limit], {}, self.folder)
        if not report.exists():
            raise RuntimeError(f"autofit: {ended.last_error or ended.exit_code}")
        found = json.loads(report.read_text(encoding="utf-8"))
        ooms = sum(trial["verdict"] in {"device_oom", "host_oom"} for trial in found["trials"])
        trials, answer = len(found["trials"]), found["largest_feasible_batch"]
        return Run("autofit", ended.seconds, trials, ooms, answer, ended.peak_bytes), found.get(
            "non_allocator_bytes", 0
        )

    def peer(self, tool: str) -> Run:
        """One search by one of the peers."""
        ended = self._run_peer(*PEER_PROGRAMS[tool])
        if ended.exit_code:
            return failed(tool, ended)
        found = ended.answer(tool)
        return Run(tool, ended.seconds, found["trials"], found["ooms"], found["answer"], ended.peak_bytes)

    def fits(self, framework: str, batch: int, steps: int) -> bool:
        """Whether the framework trains some steps and validates a batch, in a fresh process, within the limit.

        Raises:
            RuntimeError: it failed for a reason that is not memory.
        """
        size = ["--batch", str(batch), "--steps", str(steps)]
        ended = self._run_peer("train_steps.py", "--framework", framework, *size)
        if ended.exit_code > 0:
            raise RuntimeError(f"{framework} at {batch}: {ended.last_error}")
        trained = ended.exit_code == 0 and ended.answer(framework)["fits"]
        answer = trained and ended.peak_bytes <= self.limit_bytes
        said = "fits" if answer else "does not fit"
        print(f"{framework}, {batch}, {steps} steps: {said}, {ended.seconds:.1f} s", flush=True)
        return answer

    def _run_peer(self, program: str, *options: str) -> Finished:
        workload = ["--image-size", str(self.image_size), "--limit-bytes", str(self.limit_bytes)]
        environment = {} if self.plain else PEER_ENVIRONMENT
        layout = ["--channels-first"] if self.plain else []
        return run_whole(
            [self.peers_python, str(PEERS / program), *options, *workload, *layout], environment, self.folder
        )


def failed(tool: str, ended: Finished) -> Run:
    """A run that ended with an error instead of an answer."""
    error = ended.last_error or f"exit code {ended.exit_code}"
    return Run(tool, ended.seconds, 0, 0, 0, ended.peak_bytes, error)


def autofit_true_maximum(bench: Bench, near: int, non_allocator_bytes: int) -> int:
    """The largest batch that autofit's own training code trains under the limit."""
    from true_maximum import true_maximum  # noqa: PLC0415  # needed only here, and by a benchmark of its own

    return true_maximum(
        BACKBONE, bench.image_size, "head", bench.limit_bytes, near=near, non_allocator_bytes=non_allocator_bytes
    )


def all_rounds(bench: Bench, rounds: int) -> tuple[list[Run], int]:
    """Every tool in turn, `rounds` times; and what autofit measured last of the memory outside its allocator."""
    runs: list[Run] = []
    non_allocator_bytes = 0
    for number in range(1, rounds + 1):
        run, non_allocator_bytes = bench.autofit()
        runs.append(told(run, number))
        runs += [told(bench.peer(tool), number) for tool in PEER_PROGRAMS]
    return runs, non_allocator_bytes


def told(run: Run, number: int) -> Run:
    """Print the run, and hand it on."""
    found = run.error or f"answer {run.answer}, {run.trials} trials, {run.ooms} OOMs"
    print(f"round {number}, {run.tool}: {run.seconds:.1f} s, {found}, peak {run.peak_bytes / 1e9:.2f} GB", flush=True)
    return run


def peer_true_maximum(bench: Bench, framework: str, near: int) -> int:
    """By bisection, each size in a process of its own."""
    return largest_that_holds(lambda batch, steps: bench.fits(framework, batch, steps), near)


def true_maxima(bench: Bench, answer: Callable[[str], int], non_allocator_bytes: int) -> dict[str, int]:
    """The true maximum of every tool: that of its framework, looked for from the best answer found with it."""
    maxima = {"autofit": autofit_true_maximum(bench, answer("autofit"), non_allocator_bytes)}
    for framework, tools in FRAMEWORKS.items():
        maxima |= dict.fromkeys(tools, peer_true_maximum(bench, framework, max(map(answer, tools))))
    return maxima


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers-python", default=sys.executable, help="a Python that has torch and the peers")
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--limit-bytes", type=int, default=3_000_000_000, help="limit on resident memory")
    parser.add_argument("--plain-peers", action="store_true", help="without the settings that make the peers faster")
    parser.add_argument("--no-true-maximum", action="store_true", help="leave out the bisections, which take longest")
    parser.add_argument("--json", type=Path, help="keep the raw runs in this file")
    return parser.parse_args()


def main() -> None:
    """Measure, and print what belongs in `docs/benchmarks.md`."""
    asked = options()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(asked.peers_python, asked.image_size, asked.limit_bytes, asked.plain_peers, Path(folder))
        runs, non_allocator_bytes = all_rounds(bench, asked.rounds)
        rows = [summary(runs, tool) for tool in ["autofit", *PEER_PROGRAMS]]
        answers = {row.tool: row.answer for row in rows}
        maxima = {} if asked.no_true_maximum else true_maxima(bench, answers.__getitem__, non_allocator_bytes)
    print(f"\n{BACKBONE}, frozen, {bench.image_size} px, at most {bench.limit_bytes / 1e9:g} GB resident; {machine()};")
    print(f"{versions(sys.executable, ['autofit-keras', 'tensorflow', 'keras'])};")
    print(f"{versions(bench.peers_python, ['torch', 'lightning', 'accelerate'])}; {today()}\n")
    print(table(rows, maxima, bench.limit_bytes))
    if asked.json:
        raw = {"runs": [dataclasses.asdict(run) for run in runs], "true_maxima": maxima, "limit": bench.limit_bytes}
        asked.json.write_text(json.dumps(raw, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
