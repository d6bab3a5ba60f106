"""From raw runs of the finders to the table in `docs/benchmarks.md`; pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markdown_table import markdown_table

GIGABYTE = 1e9

HEADER = [
    "tool",
    "seconds: median (min to max)",
    "x autofit",
    "trials",
    "OOMs",
    "answer",
    "its true maximum",
    "share",
    "peak resident, GB",
]


@dataclass(frozen=True, slots=True)
class Run:
    """One search by one tool. `error` is empty, or what ended the program; such a run found nothing."""

    tool: str
    seconds: float
    trials: int
    ooms: int
    answer: int
    peak_bytes: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """What one tool did over all rounds: medians of the runs that found something, and the highest peak of all."""

    tool: str
    seconds: float
    fastest: float
    slowest: float
    trials: float
    ooms: float
    answer: int
    peak_bytes: int
    failed: int
    runs: int


def summary(runs: Sequence[Run], tool: str) -> Row:
    """The row of `tool`; without a single answer its figures are those of the runs that failed, and the answer is 0."""
    own = [run for run in runs if run.tool == tool]
    good = [run for run in own if not run.error] or own
    seconds = [run.seconds for run in good]
    return Row(
        tool=tool,
        seconds=statistics.median(seconds),
        fastest=min(seconds),
        slowest=max(seconds),
        trials=statistics.median(run.trials for run in good),
        ooms=statistics.median(run.ooms for run in good),
        answer=int(statistics.median(run.answer for run in good)),
        peak_bytes=max(run.peak_bytes for run in own),
        failed=sum(1 for run in own if run.error),
        runs=len(own),
    )


def table(rows: Sequence[Row], true_maxima: Mapping[str, int], limit_bytes: int) -> str:
    """A Markdown table; ratios are of median times, against the first row. A true maximum of 0 was not measured."""
    lines = [_cells(row, rows[0], true_maxima.get(row.tool, 0), limit_bytes) for row in rows]
    return markdown_table(HEADER, lines)


def _cells(row: Row, reference: Row, true_maximum: int, limit_bytes: int) -> list[str]:
    over = " (over the limit)" if row.peak_bytes > limit_bytes else ""
    return [
        row.tool + (f" ({row.failed} of {row.runs} runs failed)" if row.failed else ""),
        f"{row.seconds:.1f} ({row.fastest:.1f} to {row.slowest:.1f})",
        f"{row.seconds / reference.seconds:.2f}" if row.answer else "",
        f"{row.trials:g}",
        f"{row.ooms:g}",
        f"{row.answer}",
        f"{true_maximum}" if true_maximum else "not measured",
        f"{row.answer / true_maximum:.0%}" if true_maximum else "",
        f"{row.peak_bytes / GIGABYTE:.2f}{over}",
    ]
