"""The figures that `benchmarks/find_batch.py` prints: medians, ratios, the table, and the bisection. No PyTorch."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

figures: Any = import_module("find_batch_table")
bisection: Any = import_module("bisection")


def _run(tool: str = "autofit", **values: Any) -> Any:
    usual = {"seconds": 10.0, "trials": 5, "ooms": 1, "answer": 400, "peak_bytes": 2_900_000_000}
    return figures.Run(tool=tool, **(usual | values))


def test_a_row_holds_medians_and_the_spread() -> None:
    """One slow round does not move the figure that is published, and is still seen."""
    row = figures.summary([_run(seconds=10.0), _run(seconds=50.0), _run(seconds=12.0), _run("other")], "autofit")
    assert (row.seconds, row.fastest, row.slowest) == (12.0, 10.0, 50.0)
    assert (row.runs, row.failed) == (3, 0)


def test_the_peak_is_the_highest_of_all_runs() -> None:
    """A run over the limit cannot hide behind the median."""
    row = figures.summary([_run(), _run(peak_bytes=3_100_000_000), _run()], "autofit")
    assert row.peak_bytes == 3_100_000_000
    assert "3.10 (over the limit)" in figures.table([row], {}, 3_000_000_000)


def test_a_failed_run_is_shown_and_counts_in_no_median() -> None:
    """A crash after two seconds would make a tool look fast."""
    runs = [_run(), _run(seconds=2.0, answer=0, error="RuntimeError: could not create a primitive")]
    row = figures.summary(runs, "autofit")
    assert (row.seconds, row.answer, row.failed) == (10.0, 400, 1)
    assert "autofit (1 of 2 runs failed)" in figures.table([row], {}, 3_000_000_000)


def test_a_tool_that_always_fails_has_a_row() -> None:
    """A peer that finds nothing does not end the benchmark, and gets no ratio."""
    rows = [figures.summary([_run(), _run("peer", answer=0, error="killed")], tool) for tool in ("autofit", "peer")]
    line = figures.table(rows, {}, 3_000_000_000).splitlines()[-1]
    assert line.startswith("| peer (1 of 1 runs failed) | 10.0 (10.0 to 10.0) |  |")


def test_the_table_compares_times_and_true_maxima() -> None:
    """The ratio is of medians against the first row, the share against the tool's own true maximum."""
    runs = [_run(seconds=10.0, answer=390), _run("peer", seconds=45.0, answer=200)]
    rows = [figures.summary(runs, tool) for tool in ("autofit", "peer")]
    lines = figures.table(rows, {"autofit": 400, "peer": 400}, 3_000_000_000).splitlines()
    assert [line.count("|") for line in lines] == [len(figures.HEADER) + 1] * 4
    assert lines[2] == "| autofit | 10.0 (10.0 to 10.0) | 1.00 | 5 | 1 | 390 | 400 | 98% | 2.90 |"
    assert lines[3] == "| peer | 45.0 (45.0 to 45.0) | 4.50 | 5 | 1 | 200 | 400 | 50% | 2.90 |"


def test_the_bounds_hold_the_largest_and_are_narrow() -> None:
    """The table would name a range that the true maximum is not in, or one that proves nothing."""
    for maximum in range(1, 400):
        for near in {1, max(1, maximum // 2), max(1, maximum * 9 // 10), maximum}:
            low, high = bisection.bounds_of_largest(lambda size, _, largest=maximum: size <= largest, near)
            proved = int(near / bisection.ENOUGH_SHARE)
            assert near == low <= maximum <= high <= max(proved, maximum + max(1, maximum // 40))
    assert bisection.bounds_of_largest(lambda size, _: size <= 9, 10) == (0, 0)  # over it


def test_two_tries_prove_that_an_answer_is_near_enough() -> None:
    """Each row of a table would go on for minutes, to narrow a range that says no more than the first failure."""
    tried: list[tuple[int, int]] = []

    def fits(size: int, steps: int) -> bool:
        tried.append((size, steps))
        return size <= 97

    assert bisection.bounds_of_largest(fits, 95) == (95, 100)
    assert tried == [(95, bisection.WHOLE_STEPS), (101, bisection.QUICK_STEPS)]


@pytest.mark.parametrize("maximum", [0, 1, 2, 7, 186, 400, 1000])
@pytest.mark.parametrize("near", [0, 1, 128, 400, 410])
def test_the_bisection_finds_the_largest_that_fits(maximum: int, near: int) -> None:
    """Whatever the tool answered, the true maximum is found, in few trials."""
    tried: list[int] = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= maximum

    assert bisection.largest_that_fits(fits, near) == maximum
    assert len(tried) == len(set(tried)) <= 20
