"""The table at the end of a test session: how many cases were tried and failed for each promise of docs/promises.md.

Works with and without pytest-xdist: each test's counts travel in its reports to the process that prints the table.
"""

from __future__ import annotations

from collections import Counter

import pytest

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
    12: "nothing from strangers is run, written outside, or costs much",
    16: "causes are told apart",
    17: "signals save, pause and go on, and lose nothing",
    18: "two at once, and neither is harmed",
    19: "the commands run in odd environments",
    20: "each error of the system at each call is told, and loses nothing",
    21: "a run of an earlier release goes on, a later one is refused",
    22: "no network is used, but for Keras's weights",
    23: "a long run stays as small as it began",
}
NONE = 0
"""The row of the table for a test that failed before it had counted anything."""

_COUNTED = pytest.StashKey[Counter[int]]()
_ATTRIBUTE = "fault_cases"


def counted(item: pytest.Item) -> Counter[int]:
    """The cases that this test has tried so far, by promise."""
    return item.stash.setdefault(_COUNTED, Counter())


def attach(report: pytest.TestReport, item: pytest.Item) -> None:
    """Add the counts of a test to its report, as plain numbers: the report may cross to another process."""
    setattr(report, _ATTRIBUTE, sorted(counted(item).items()))


class FaultTable:
    """Adds up the reports, and prints the table. A test ends with the first of its cases that fails: one failure."""

    def __init__(self) -> None:
        self.cases: Counter[int] = Counter()
        self.failures: Counter[int] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Enter what a test has counted, and whether it failed."""
        pairs: list[tuple[int, int]] | None = getattr(report, _ATTRIBUTE, None)
        if pairs is None:
            return
        cases = dict(pairs)
        if report.failed:
            self.failures.update(cases.keys() or [NONE])
        if report.when == "teardown":
            self.cases.update(cases)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        promises = sorted(self.cases.keys() | self.failures.keys())
        if not promises:
            return
        terminalreporter.section("faults")
        terminalreporter.write_line(f"{'promise':<72}{'cases':>8}{'failures':>10}")
        for promise in promises:
            name = f"{promise:>2}  {PROMISES[promise]}" if promise else "    failed before it was counted"
            terminalreporter.write_line(f"{name:<72}{self.cases[promise]:>8,}{self.failures[promise]:>10,}")


def install(config: pytest.Config) -> None:
    """Register the table once, whichever conftest.py is loaded first."""
    if not config.pluginmanager.has_plugin("faults"):
        config.pluginmanager.register(FaultTable(), "faults")
