"""Faults made on purpose, and the table of what was tried for each promise.

`make test` tries a share of the cases, `make test-faults` all of them:

    def test_kills(count: Callable[..., None], *, whole: bool) -> None:
        for case in range(500 if whole else 40):
            count(promise=2)
            ...
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

import autofit
from tests.support.paths import CHILDREN

PROMISES = {
    1: "an out-of-memory costs no step and tears nothing",
    2: "a kill at any instant costs the steps since the last checkpoint",
    3: "every epoch is exactly a permutation",
    4: "interrupted and uninterrupted runs end with the same weights",
    5: "no damaged checkpoint is ever loaded",
    6: "a full disk keeps the last checkpoint and ends with a clear error",
    7: "a host out-of-memory kills only the worker",
    8: "an error that is not memory never shrinks the batch",
    9: "the batch that a probe returns was itself run",
    10: "100 attempts leave nothing behind",
    11: "mutated images: no abort, no hang, each bad one named",
    12: "nothing from strangers is run, or written outside the store",
}
NONE = 0
"""Stands in the table for a test that failed before it had counted anything."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Cases tried and failed, by promise. A test ends with the first of its cases that fails: that is one failure."""

    cases: Counter[int] = field(default_factory=Counter)
    failures: Counter[int] = field(default_factory=Counter)


COUNTED = pytest.StashKey[Counter[int]]()
TALLY = pytest.StashKey[Tally]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Make `--whole` known where `tests/faults` is given on the command line."""
    parser.addoption("--whole", action="store_true", help="try every case in tests/faults, and not only a share")


@pytest.fixture
def whole(request: pytest.FixtureRequest) -> bool:
    """Whether all cases are wanted, and not only a share of them."""
    return bool(request.config.getoption("whole", default=False))


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`count(promise=2, cases=1)`: enter cases in the table, each just before it is tried."""
    counted = request.node.stash.setdefault(COUNTED, Counter())

    def count(promise: int, cases: int = 1) -> None:
        assert promise in PROMISES
        counted[promise] += cases

    return count


@pytest.fixture(scope="session")
def load() -> Callable[[str], ModuleType]:
    """`load("saver")`: a program of `tests/children` as a module."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, CHILDREN / f"{name}.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def autofit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """For programs that start in another folder; and Python warns of a fork beside OpenBLAS's threads."""
    monkeypatch.setenv("PYTHONPATH", str(Path(autofit.__file__).parents[1]))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def strace() -> list[str]:
    """The start of a command that injects faults into system calls."""
    path = shutil.which("strace")
    if path is None:
        pytest.skip("strace is not installed")
    command = [path, "-f", "-qq"]
    options = ["--seccomp-bpf", "-o", "/dev/null", "-e", "trace=write", "-e", "inject=write:error=EIO"]
    tried = subprocess.run([*command, *options, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"strace cannot trace here: {tried.stderr.strip()}")
    return command


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Enter what a test has counted, and whether it failed."""
    report = yield
    tally = item.config.stash.setdefault(TALLY, Tally())
    counted = item.stash.get(COUNTED, Counter[int]())
    if report.failed:
        tally.failures.update(counted.keys() or [NONE])
    if call.when == "teardown":
        tally.cases.update(counted)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table."""
    tally = config.stash.get(TALLY, Tally())
    promises = sorted(tally.cases.keys() | tally.failures.keys())
    if not promises:
        return
    terminalreporter.section("faults")
    terminalreporter.write_line(f"{'promise':<72}{'cases':>8}{'failures':>10}")
    for promise in promises:
        name = f"{promise:>2}  {PROMISES[promise]}" if promise else "    failed before it was counted"
        terminalreporter.write_line(f"{name:<72}{tally.cases[promise]:>8,}{tally.failures[promise]:>10,}")
