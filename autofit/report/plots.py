"""Plots of a probe, a sweep and a history; `drawing` has their style.

matplotlib is imported inside functions: it takes a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from autofit.errors import AutofitError
from autofit.printable import one_line
from autofit.probing.records import ProbeReport, SweepReport
from autofit.protocol.messages import OUT_OF_MEMORY, StageRecord, Trial, Verdict
from autofit.report.drawing import BLUE, INK, MOST_TICKS, ORANGE, RED, canvas, png, scale_by_doubling
from autofit.report.ladder_text import is_chosen, rung_words
from autofit.report.probe_text import is_linear, limit_name, ordered_trials, workload_words
from autofit.report.sweep_plot import LONGEST_NAME, sweep_figure
from autofit.report.sweep_text import sweep_title
from autofit.report.tables import shortened_text
from autofit.report.words import bytes_words
from autofit.runs.history import History, best_epoch, finished_epochs, quality_metric
from autofit.storage.safe_files import write_for_user

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "history_figure",
    "history_panels",
    "history_plot",
    "probe_figure",
    "probe_panels",
    "probe_plot",
    "sweep_figure",
    "sweep_plot",
]

GIGABYTE = 1e9
LINE_BEYOND_LIMIT = 1.05  # the fitted line ends just above the limit, below the legend


def probe_plot(report: ProbeReport, path: Path) -> None:
    """Write a PNG of memory and images per second against the batch size, replacing an existing file.

    Raises:
        OSError: the file cannot be written.
        AutofitError: matplotlib fails.
    """
    write_for_user(path, _image(lambda: probe_figure(report, workload_words(report.workload))))


def sweep_plot(report: SweepReport, path: Path) -> None:
    """Write a PNG of the speed and batch sizes of each network of a sweep, replacing an existing file.

    Raises:
        OSError: the file cannot be written.
        AutofitError: matplotlib fails.
    """
    write_for_user(path, _image(lambda: sweep_figure(report, sweep_title(report))))


def history_plot(
    history: History,
    target: Path | BinaryIO,
    recorded_best: int | None = None,
    stages: Sequence[StageRecord] = (),
) -> None:
    """Write a PNG of loss and accuracy over the epochs, to a path or an open binary file.

    The best epoch is marked: the recorded one if it is given, else that which `best_epoch` finds in the history. So
    are the epochs of the head where layers of the backbone were trained after it: the curves begin anew there.

    Raises:
        OSError: the file cannot be written.
        AutofitError: matplotlib fails.
    """
    image = _image(lambda: history_figure(history, recorded_best, stages))
    if isinstance(target, Path):
        write_for_user(target, image)
    else:
        target.write(image)


def _image(draw: Callable[[], Figure]) -> bytes:
    """A figure as a PNG.

    Raises:
        AutofitError: matplotlib fails; a broken installation may raise any exception.
    """
    try:
        return png(draw())
    except Exception as error:
        why = one_line(error) or type(error).__name__
        raise AutofitError(f"the plot is missing, matplotlib fails ({why}): reinstall it, or do without") from error


def probe_figure(report: ProbeReport, title: str) -> Figure:
    """Two panels: memory with the limit, the fitted line and the sizes that failed; images per second."""
    with canvas(title, panels=2) as (figure, (memory, speed)):
        _draw_memory(memory, report)
        _draw_speed(speed, report)
    return figure


def probe_panels(report: ProbeReport) -> list[Figure]:
    """The panels of `probe_figure` as separate figures: a page may show them side by side or one below the other."""
    with canvas("", panels=1) as (memory_figure, (memory,)):
        _draw_memory(memory, report)
    with canvas("", panels=1) as (speed_figure, (speed,)):
        _draw_speed(speed, report)
    return [memory_figure, speed_figure]


def history_figure(history: History, recorded_best: int | None = None, stages: Sequence[StageRecord] = ()) -> Figure:
    """Loss and, if the history has it, accuracy or mean average precision over the epochs, counted from one."""
    names = _drawn_metrics(history)
    with canvas("", panels=len(names)) as (figure, panels):
        for axes, name in zip(panels, names, strict=True):
            _draw_metric(axes, name, history, recorded_best)
            _draw_head(axes, history, stages)
    return figure


def history_panels(
    history: History, recorded_best: int | None = None, stages: Sequence[StageRecord] = ()
) -> list[Figure]:
    """The panels of `history_figure` as separate figures."""
    figures = []
    for name in _drawn_metrics(history):
        with canvas("", panels=1) as (figure, (axes,)):
            _draw_metric(axes, name, history, recorded_best)
            _draw_head(axes, history, stages)
        figures.append(figure)
    return figures


def _drawn_metrics(history: History) -> list[str]:
    quality = quality_metric(history)
    return ["loss", *([quality[1]] if quality else [])]


def _draw_memory(axes: Axes, report: ProbeReport) -> None:
    """The memory of each size, the line through it and the limit; a size that ran out is a cross at the limit."""
    limit = report.memory_limit_bytes / GIGABYTE
    fits, failed = _trials(report)
    known = [trial for trial in fits if trial.memory_bytes]
    axes.set(
        title=f"Memory, limited by {shortened_text(limit_name(report), LONGEST_NAME)}",
        xlabel="Images at once",
        ylabel="GB",
    )
    axes.axhline(
        limit, color=RED, linewidth=1.2, linestyle=(0, (5, 3)), label=f"limit, {bytes_words(limit * GIGABYTE)}"
    )
    _draw_headroom(axes, report)
    _draw_fitted_line(axes, report)
    _draw_other_rungs(axes, report, lambda trial: trial.memory_bytes / GIGABYTE)
    _draw_points(axes, known, [trial.memory_bytes / GIGABYTE for trial in known])
    if failed:
        heights = [_failed_height(trial, report) / GIGABYTE for trial in failed]
        axes.plot([t.batch_size for t in failed], heights, "x", color=RED, markersize=8, mew=2, label="failed")
    sizes = [trial.batch_size for trial in [*report.trials, *_of_other_rungs(report)]]
    axes.set_xlim(0, 1.05 * max(sizes, default=1))
    rows = math.ceil(len(axes.get_legend_handles_labels()[0]) / 2)
    highest = max([limit, *(trial.memory_bytes / GIGABYTE for trial in known)])
    axes.set_ylim(0, (1.17 + 0.09 * rows) * highest or 1.0)  # room for the legend above the limit
    axes.legend(loc="upper left", ncols=2)
    axes.grid(visible=False, axis="x")
    axes.set_yticks([tick for tick in axes.get_yticks() if tick <= 1.02 * highest])  # no line behind the legend
    _count_in_whole_images(axes)


def _failed_height(trial: Trial, report: ProbeReport) -> float:
    """The height of a failed size: the limit if it ran out of memory, else its measured or predicted memory."""
    model = report.memory_model
    if trial.verdict in OUT_OF_MEMORY:
        return float(report.memory_limit_bytes)
    predicted = model.base_bytes + model.bytes_per_image * trial.batch_size if model and is_linear(model) else 0.0
    return trial.memory_bytes or predicted


def _draw_points(axes: Axes, trials: Sequence[Trial], heights: Sequence[float]) -> None:
    """A dot for each size; a ring if it comes from a saved profile."""
    for label, saved, face in (("measured", False, BLUE), ("saved", True, "none")):
        points = [(t.batch_size, height) for t, height in zip(trials, heights, strict=True) if t.saved is saved]
        if points:
            axes.plot(*zip(*points, strict=True), "o", color=BLUE, markerfacecolor=face, mew=1.3, label=label)


def _draw_other_rungs(axes: Axes, report: ProbeReport, height_of: Callable[[Trial], float]) -> list[float]:
    """The sizes that fit on the rungs that were not chosen, small and grey; returns their heights."""
    heights: list[float] = []
    for record, marker in zip([one for one in report.rungs if not is_chosen(one, report)], "sDv^", strict=False):
        fits = [t for t in record.trials if t.verdict is Verdict.FITS and height_of(t) > 0]
        drawn = [(trial.batch_size, height_of(trial)) for trial in fits]
        if drawn:
            label = f"activations {rung_words(record.rung)}"
            axes.plot(*zip(*drawn, strict=True), marker, color=INK, alpha=0.45, markersize=4, label=label)
        heights += [height for _, height in drawn]
    return heights


def _of_other_rungs(report: ProbeReport) -> list[Trial]:
    """The trials that fit on the rungs that were not chosen."""
    others = [record for record in report.rungs if not is_chosen(record, report)]
    return [trial for record in others for trial in record.trials if trial.verdict is Verdict.FITS]


def _draw_headroom(axes: Axes, report: ProbeReport) -> None:
    headroom = report.headroom_bytes
    if headroom:
        limit = report.memory_limit_bytes
        band = (limit - headroom) / GIGABYTE, limit / GIGABYTE
        axes.axhspan(*band, color=RED, alpha=0.18, linewidth=0, label=f"headroom, {bytes_words(headroom)}")


def _draw_fitted_line(axes: Axes, report: ProbeReport) -> None:
    model = report.memory_model
    if model is None or not report.trials or not is_linear(model):
        return
    largest = max(trial.batch_size for trial in report.trials)
    room_bytes = LINE_BEYOND_LIMIT * report.memory_limit_bytes - model.base_bytes
    ends = [0.0, min(largest, max(room_bytes, 0.0) / max(model.bytes_per_image, 1.0))]
    fitted = [(model.base_bytes + model.bytes_per_image * size) / GIGABYTE for size in ends]
    axes.plot(ends, fitted, color=BLUE, alpha=0.6, linewidth=1.2, label="fitted line")


def _count_in_whole_images(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=MOST_TICKS, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(lambda size, _: f"{size:,.0f}")


def _draw_speed(axes: Axes, report: ProbeReport) -> None:
    """Images per second over a logarithmic scale of base 2: sizes are tried by doubling."""
    axes.set(title="Speed", xlabel="Images at once", ylabel="images/s")
    timed = [trial for trial in _trials(report)[0] if trial.images_per_second > 0]
    if not timed:
        axes.text(0.5, 0.5, "no size fits: nothing was timed", ha="center", transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return
    best = {trial.batch_size: trial.images_per_second for trial in sorted(timed, key=lambda t: t.images_per_second)}
    sizes = sorted(best)
    scale_by_doubling(axes, sorted({*sizes, *(trial.batch_size for trial in _of_other_rungs(report))}))
    axes.plot(sizes, [best[size] for size in sizes], color=BLUE, alpha=0.6, linewidth=1.2)
    if speed := best.get(report.recommended_batch):
        label = f"recommended, {report.recommended_batch:,}"
        axes.plot(
            report.recommended_batch,
            speed,
            "o",
            color=ORANGE,
            markersize=11,
            markerfacecolor="none",
            mew=2.2,
            label=label,
        )
    _draw_points(axes, timed, [trial.images_per_second for trial in timed])
    others = _draw_other_rungs(axes, report, lambda trial: trial.images_per_second)
    axes.set_ylim(0, 1.1 * max([*best.values(), *others]))
    axes.legend(loc="lower right")


def _trials(report: ProbeReport) -> tuple[list[Trial], list[Trial]]:
    """The trials that fit and those that did not, by size."""
    trials = ordered_trials(report)
    fits = [trial for trial in trials if trial.verdict is Verdict.FITS]
    return fits, [trial for trial in trials if trial.verdict is not Verdict.FITS]


def _draw_metric(axes: Axes, name: str, history: History, recorded_best: int | None) -> None:
    from matplotlib.ticker import MaxNLocator

    curves = [("training", name, ORANGE), ("validation", f"val_{name}", BLUE)]
    for label, key, colour in curves:
        if values := history.get(key):
            axes.plot(range(1, len(values) + 1), values, "o-", color=colour, markersize=3.5, label=label)
    axes.set_xlim(0.5, max(finished_epochs(history), 1) + 0.5)
    best = best_epoch(history, recorded_best)
    if best is not None:
        axes.axvline(best + 1, color=INK, alpha=0.35, linewidth=1, linestyle=(0, (2, 3)), label="best epoch")
    axes.set(title=shortened_text(name.replace("_", " ").capitalize(), LONGEST_NAME), xlabel="Epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def _draw_head(axes: Axes, history: History, stages: Sequence[StageRecord]) -> None:
    """Shade the epochs of the head, if others follow; a solved head is the first of them."""
    of_head = [stage for stage in stages if stage.name in {"head", "views"}]
    epochs = sum(stage.epochs for stage in of_head)
    if not 0 < epochs < finished_epochs(history):
        return
    label = "solved head" if {stage.method for stage in of_head} == {"solved"} else "head"
    axes.axvspan(0.5, epochs + 0.5, color=INK, alpha=0.08, linewidth=0, label=label)
    axes.legend()
