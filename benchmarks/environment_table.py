"""From raw rounds of TensorFlow's settings to the table in `docs/decisions/0021`; pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from markdown_table import markdown_table

REFERENCE = "BFC"
WORKS = ("extract", "train")
COLUMNS = ("images/s", "x BFC (min to max)", "x BFC by processor time")
HEADER = ["setting", *[f"{work}: {column}" for work in WORKS for column in COLUMNS]]


@dataclass(frozen=True, slots=True)
class Round:
    """One setting at one work in one process.

    Attributes:
        number: of the round; ratios are of the same round.
        setting: which.
        work: one of `WORKS`.
        peak_bytes: the most that the process had resident.
        images_per_second: by the median step; 0 where it failed.
        images_per_cpu_second: of processor time, of all threads: also on a busy machine it says what an image costs.
    """

    number: int
    setting: str
    work: str
    peak_bytes: int
    images_per_second: float = 0.0
    images_per_cpu_second: float = 0.0


def ratios(rounds: Sequence[Round], setting: str, work: str, figure: str = "images_per_second") -> list[float]:
    """How many times the reference of the same round, in each round where both ran."""
    figures = {(one.number, one.setting): getattr(one, figure) for one in rounds if one.work == work}
    numbers = sorted({one.number for one in rounds})
    pairs = [(figures.get((number, setting)), figures.get((number, REFERENCE))) for number in numbers]
    return [own / reference for own, reference in pairs if own and reference]


def table(rounds: Sequence[Round]) -> str:
    """A Markdown table, a line for each setting in the order of their turns: medians over the rounds."""
    settings = dict.fromkeys(one.setting for one in rounds)
    lines = [[name, *[cell for work in WORKS for cell in _cells(rounds, name, work)]] for name in settings]
    return markdown_table(HEADER, lines)


def _cells(rounds: Sequence[Round], setting: str, work: str) -> list[str]:
    own = [one for one in rounds if (one.setting, one.work) == (setting, work)]
    speeds = [one.images_per_second for one in own if one.images_per_second]
    if not speeds:
        return ["failed" if own else "", "", ""]
    by_time, by_cpu = ratios(rounds, setting, work), ratios(rounds, setting, work, "images_per_cpu_second")
    if not by_time:
        return [f"{statistics.median(speeds):.1f}", "", ""]
    spread = f"{statistics.median(by_time):.2f} ({min(by_time):.2f} to {max(by_time):.2f})"
    return [f"{statistics.median(speeds):.1f}", spread, f"{statistics.median(by_cpu):.2f}"]
