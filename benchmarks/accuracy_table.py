"""What `accuracy.py` has measured, as a table: a row for each set and network, a column for each contender; pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markdown_table import markdown_table


@dataclass(frozen=True, slots=True)
class Judged:
    """One contender on one split of a set, with one network. `measured` says when and on what machine."""

    task: str
    network: str
    contender: str
    split: int
    seconds: float
    accuracy: float
    measured: str = ""


def table(runs: Sequence[Judged], contenders: Sequence[str]) -> str:
    """Means over the splits with their standard errors, and medians of the seconds, in Markdown.

    A cell says of how many splits it is where these are fewer than the most of any.
    """
    present = [name for name in contenders if any(run.contender == name for run in runs)]
    return markdown_table(["photos", "network", *present], _rows(runs, present))


def _rows(runs: Sequence[Judged], contenders: Sequence[str]) -> Iterator[list[str]]:
    splits = len({run.split for run in runs})
    for task, network in dict.fromkeys((run.task, run.network) for run in runs):
        own = [run for run in runs if (run.task, run.network) == (task, network)]
        cells = [_cell([run for run in own if run.contender == name], splits) for name in contenders]
        yield [task, network, *cells]


def _cell(runs: Sequence[Judged], splits: int) -> str:
    if not runs:
        return ""
    accuracies = [run.accuracy for run in runs]
    mean, seconds = statistics.fmean(accuracies), statistics.median(run.seconds for run in runs)
    spread = f" ± {statistics.stdev(accuracies) / len(runs) ** 0.5:.3f}" if len(runs) > 1 else ""
    fewer = f" ({len(runs)})" if len(runs) < splits else ""
    return f"{mean:.3f}{spread}, {seconds:.{0 if seconds >= 20 else 1}f} s{fewer}"  # tenths of few
