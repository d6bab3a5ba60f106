"""The memory of a run over time, as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autofit.report.drawing import BLUE, INK, ORANGE, PANEL_INCHES, RED, canvas
from autofit.report.words import bytes_words
from autofit.runs.memory_history import MemoryHistory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GIGABYTE = 1e9
UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
SHORTEST = 2.0
"""The time axis uses the largest unit of which the run took at least this many."""

LIMIT_IN_VIEW = 4.0
"""The limit is drawn if it is at most this many times the peak memory; a higher one would flatten the curves."""


def memory_figure(history: MemoryHistory) -> Figure:
    """The memory of the process and of its tensors over its running time, with the limit and each out-of-memory."""
    with canvas("", panels=1, height=0.9 * PANEL_INCHES[1]) as (figure, (axes,)):
        _draw(axes, history)
    return figure


def limit_in_view(history: MemoryHistory) -> bool:
    """Whether the limit is drawn."""
    return 0 < history.limit_bytes <= LIMIT_IN_VIEW * _highest_bytes(history)


def _draw(axes: Axes, history: MemoryHistory) -> None:
    seconds = [point.seconds for point in history.points]
    unit, name = next(((unit, name) for unit, name in UNITS if seconds[-1] >= SHORTEST * unit), UNITS[-1])
    times = [second / unit for second in seconds]
    axes.set(xlabel=f"{name.capitalize()} in which it ran", ylabel="GB")
    _draw_curve(axes, times, [point.host_bytes for point in history.points], BLUE, "process")
    _draw_curve(axes, times, [point.device_bytes for point in history.points], ORANGE, "tensors")
    for restart in history.restarts:
        axes.axvline(restart / unit, color=INK, alpha=0.35, linewidth=1, linestyle=(0, (2, 3)))
    highest = _highest_bytes(history)
    if limit_in_view(history):
        highest = max(highest, history.limit_bytes)
        label = f"limit, {bytes_words(history.limit_bytes)}"
        axes.axhline(history.limit_bytes / GIGABYTE, color=RED, linewidth=1.2, linestyle=(0, (5, 3)), label=label)
    if history.out_of_memory:
        marks = [moment / unit for moment in history.out_of_memory]
        heights = [highest / GIGABYTE] * len(marks)
        axes.plot(marks, heights, "x", color=RED, markersize=8, mew=2, label="out of memory", clip_on=False)
    axes.set_xlim(0, times[-1] or 1.0)
    axes.set_ylim(0, 1.45 * highest / GIGABYTE or 1.0)  # room for the legend
    axes.legend(loc="upper left", ncols=2)


def _draw_curve(axes: Axes, times: Sequence[float], sizes_bytes: Sequence[int], colour: str, label: str) -> None:
    if any(sizes_bytes):
        axes.plot(times, [size / GIGABYTE for size in sizes_bytes], color=colour, linewidth=1.4, label=label)


def _highest_bytes(history: MemoryHistory) -> int:
    return max((max(point.host_bytes, point.device_bytes) for point in history.points), default=0)
