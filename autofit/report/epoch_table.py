"""The finished epochs of a run while it goes on, for a notebook: a table of bounded length and a small curve. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autofit.protocol.messages import EpochEnd, StageName
from autofit.report.markup import Html, element, escaped, join, table
from autofit.report.progress_text import epoch_words
from autofit.report.words import duration_words, metric_words, named_metric
from autofit.runs.history import best_epoch

SHOWN_ROWS = 8
"""The number of newest epochs that are shown; the best is shown above them if it is older."""

SHOWN_METRICS = 6
CURVE_POINTS = 120
WIDTH, HEIGHT, EDGE = 360, 90, 4
"""The size of the curve and its margin in pixels; the margin keeps the ends of the line inside."""

CURVES = (("loss", "var(--soft)"), ("val_loss", "var(--accent)"))


@dataclass(frozen=True, slots=True)
class Row:
    """A finished epoch.

    Attributes:
        name: its title.
        stage: the stage that it is of.
        metrics: its metrics.
        seconds: how long it took.
        is_best: whether it was the best when it ended.
    """

    name: str
    stage: StageName
    metrics: dict[str, float]
    seconds: float
    is_best: bool | None = None


class EpochTable:
    """Collects finished epochs."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._left = 0

    def add(self, end: EpochEnd, epochs: int, seconds: float) -> None:
        """Add a finished epoch; `epochs` is the number of planned ones."""
        name = "Head solved" if end.solved else epoch_words(end, epochs)
        self._rows.append(Row(name, end.stage, dict(end.metrics), seconds, end.is_best))
        self._left = max(epochs - end.epoch - 1, 0)

    @property
    def seconds_left(self) -> float:
        """The estimated time of the stage's remaining epochs, from the median of its last ones; 0 if it is unknown."""
        newest = self._rows[-SHOWN_ROWS:]
        timed = [row.seconds for row in newest if row.stage == newest[-1].stage and row.name != "Head solved"]
        return statistics.median(timed) * self._left if timed else 0.0

    def best(self) -> int | None:
        """The index of the last epoch that was the best when it ended; None without one.

        If the worker does not report which was the best, it is the epoch with the lowest finite validation loss, or
        loss.
        """
        if any(row.is_best is not None for row in self._rows):
            return max((place for place, row in enumerate(self._rows) if row.is_best), default=None)
        losses = [row.metrics.get("val_loss", row.metrics.get("loss", math.nan)) for row in self._rows]
        return best_epoch({"loss": losses})

    def html(self) -> Html:
        """The table and the curve; nothing before the first epoch."""
        if not self._rows:
            return Html("")
        best = self.best()
        places = list(range(max(len(self._rows) - SHOWN_ROWS, 0), len(self._rows)))
        shown = places if best is None or best in places else [best, *places]
        names = _shown_names(self._rows[-1].metrics)
        headers = ["Epoch", *(name.replace("_", " ") for name in names), "Time"]
        rows = [self._cells(place, names, best) for place in shown]
        hidden = len(self._rows) - len(shown)
        more = [element("p", escaped(f"and {hidden:,} earlier epochs"), "lead")] if hidden else []
        return join([table(headers, rows, numbers=len(names) + 1), *more, self._curve()])

    def _cells(self, place: int, names: Sequence[str], best: int | None) -> list[Html]:
        row = self._rows[place]
        name = escaped(f"{row.name} (best)" if place == best and len(self._rows) > 1 else row.name)
        values = [escaped(named_metric(one, row.metrics[one])) if one in row.metrics else Html("") for one in names]
        first = element("b" if place == best else "span", name, "flag")
        return [first, *values, escaped(duration_words(row.seconds))]

    def _curve(self) -> Html:
        """Training and validation loss over the epochs; empty before the second epoch."""
        columns = {name: [row.metrics.get(name, math.nan) for row in self._rows] for name, _ in CURVES}
        finite = [value for column in columns.values() for value in column if math.isfinite(value)]
        if len(self._rows) < 2 or not finite:  # noqa: PLR2004 - a point is no curve
            return Html("")
        low, high = min(finite), max(finite)
        lines = "".join(_line(columns[name], low, high, colour) for name, colour in CURVES)
        words = element("p", escaped(f"loss {metric_words(low)} to {metric_words(high)}, validation in colour"), "lead")
        style = f"width:{WIDTH}px;max-width:100%"
        return join([Html(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" style="{style}">{lines}</svg>'), words])


def _shown_names(metrics: Iterable[str]) -> list[str]:
    """The metrics that are shown, losses first and validation last; of very many half are those of the validation."""
    ordered = sorted(metrics, key=lambda name: (name.startswith("val_"), not name.endswith("loss")))
    if len(ordered) <= SHOWN_METRICS:
        return ordered
    of_validation = [name for name in ordered if name.startswith("val_")][: SHOWN_METRICS // 2]
    others = [name for name in ordered if not name.startswith("val_")]
    return others[: SHOWN_METRICS - len(of_validation)] + of_validation


def _line(values: Sequence[float], low: float, high: float, colour: str) -> str:
    """A curve through the finite values, thinned to a bounded number of points, however long the run is."""
    step = max(1, math.ceil(len(values) / CURVE_POINTS))
    places = [*range(0, len(values) - 1, step), len(values) - 1]
    points = [
        (EDGE + (WIDTH - 2 * EDGE) * place / (len(values) - 1), _height(values[place], low, high))
        for place in places
        if math.isfinite(values[place])
    ]
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{drawn}" fill="none" stroke-width="1.8" style="stroke:{colour}"/>'


def _height(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return EDGE + (HEIGHT - 2 * EDGE) * (1 - share)
