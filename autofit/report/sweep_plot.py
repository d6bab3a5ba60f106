"""A sweep as a plot: a row for each network, with its speed and its batch sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autofit.probing.recommend import recommended_speed
from autofit.probing.records import ProbeReport, SweepReport
from autofit.report.drawing import BLUE, INK, ORANGE, RED, canvas, scale_by_doubling
from autofit.report.sweep_text import DOES_NOT_FIT, FAILED, probe_name, trains_differ
from autofit.report.tables import shortened_text
from autofit.report.words import speed_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES_AROUND, INCHES_A_ROW = 1.6, 0.3

LONGEST_NAME = 60


def sweep_figure(report: SweepReport, title: str) -> Figure:
    """Two panels with a row for each network, in the table's order: images per second; recommended and largest size."""
    names = _names(report)
    height = INCHES_AROUND + INCHES_A_ROW * max(len(names), 2)
    with canvas(title, panels=2, height=height, names=names) as (figure, (speed, sizes)):
        _draw_speeds(speed, report)
        _draw_sizes(sizes, report)
        for axes in (speed, sizes):
            axes.set_ylim(len(names) - 0.4, -0.6)  # the first at the top
            axes.grid(visible=False, axis="y")
        speed.set_yticks(range(len(names)), names)
        sizes.set_yticks([])
        if handles := sizes.get_legend_handles_labels()[0]:
            figure.legend(handles=handles, loc="outside lower right", ncols=2)
    return figure


def _names(report: SweepReport) -> list[str]:
    workloads = [*(probe.workload for probe in report.probes), *(failure.workload for failure in report.failures)]
    differ = trains_differ(report)
    names = [shortened_text(probe_name(workload), LONGEST_NAME) for workload in workloads]
    return [f"{name}{f', {one.trainable}' if differ else ''}" for name, one in zip(names, workloads, strict=True)]


def _fitting(report: SweepReport) -> list[tuple[int, ProbeReport]]:
    """The probes in which something fits, each with its row."""
    return [(row, probe) for row, probe in enumerate(report.probes) if probe.largest_feasible_batch]


def _draw_speeds(axes: Axes, report: SweepReport) -> None:
    """A bar with its figure for each network; for a network without a figure the reason."""
    axes.set(title="Speed at the recommended batch", xlabel="images/s")
    speeds = [(row, recommended_speed(probe)) for row, probe in _fitting(report)]
    best = max((speed for _, speed in speeds), default=0.0) or 1.0
    axes.barh([row for row, _ in speeds], [speed for _, speed in speeds], height=0.6, color=BLUE)
    for row, speed in speeds:
        axes.text(speed + 0.015 * best, row, speed_words(speed), va="center")
    unfit = [(row, DOES_NOT_FIT) for row, probe in enumerate(report.probes) if not probe.largest_feasible_batch]
    failed = [(len(report.probes) + row, FAILED) for row in range(len(report.failures))]
    for row, words in [*unfit, *failed]:
        axes.text(0.015 * best, row, words, va="center", color=RED)
    axes.set_xlim(0, 1.15 * best)


def _draw_sizes(axes: Axes, report: SweepReport) -> None:
    """A line from the recommended batch to the largest for each network, on a logarithmic scale of base 2."""
    axes.set(title="Batch", xlabel="Images at once")
    found = _fitting(report)
    if not found:
        axes.set_xticks([])
        return
    rows = [row for row, _ in found]
    recommended = [max(probe.recommended_batch, 1) for _, probe in found]
    largest = [probe.largest_feasible_batch for _, probe in found]
    axes.hlines(rows, recommended, largest, color=INK, alpha=0.3, linewidth=1.2)
    axes.plot(largest, rows, "o", color=BLUE, markersize=7, label="largest that fits")
    axes.plot(recommended, rows, "o", color=ORANGE, markersize=5, label="recommended")
    for row, first, last in zip(rows, recommended, largest, strict=True):
        axes.annotate(f"{last:,}", (last, row), (8, 0), textcoords="offset points", va="center")
        if first < last:
            axes.annotate(f"{first:,}", (first, row), (-8, 0), textcoords="offset points", va="center", ha="right")
    scale_by_doubling(axes, [*recommended, *largest], has_figures=True)
