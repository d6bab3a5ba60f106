"""Plots of a probe and of a history, as PNG for files and as SVG for a page.

matplotlib is imported inside functions (it takes a second) and used through `Figure`, never through pyplot: a notebook
keeps its own figures, backend and style.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from autofit.probing.records import ProbeReport
from autofit.process.messages import Trial, Verdict
from autofit.records import write_atomically
from autofit.report.history import History, accuracy_name, best_epoch, finished_epochs
from autofit.report.text import is_linear, ordered_trials, workload_words
from autofit.report.words import OUT_OF_MEMORY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#24292f"
BLUE, ORANGE, RED = "#3a7fc1", "#d5822a", "#d1483f"  # told apart on white and on black
DOTS_PER_INCH = 150
GIGABYTE = 1e9
LINE_BEYOND_LIMIT = 1.05  # the fitted line ends just above the limit, below the legend

STYLE: Any = {  # matplotlib 3.11 types the keys as one literal each, older ones as str
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 10,
    "text.usetex": False,
    "text.parse_math": False,  # a name with two dollar signs is no formula
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "grid.linestyle": "-",
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "autofit",  # the same figure gives the same page
}


def probe_plot(report: ProbeReport, path: Path) -> None:
    """Write a PNG of memory and images a second against the batch, in place of what was there.

    Raises:
        OSError: it cannot be written there.
    """
    write_atomically(path, _png(probe_figure(report, workload_words(report.workload))))


def history_plot(history: History, target: Path | BinaryIO) -> None:
    """Write a PNG of loss and accuracy over the epochs, to a path or an open binary file.

    Raises:
        OSError: it cannot be written there.
    """
    image = _png(history_figure(history))
    if isinstance(target, Path):
        write_atomically(target, image)
    else:
        target.write(image)


def probe_figure(report: ProbeReport, title: str) -> Figure:
    """Two panels: memory with the limit, the fitted line and what failed; images a second."""
    with _figure(title, panels=2) as (figure, (memory, speed)):
        _draw_memory(memory, report)
        _draw_speed(speed, report)
    return figure


def history_figure(history: History) -> Figure:
    """Loss and, where there is one, accuracy over the epochs, counted from one."""
    names = [name for name in ("loss", accuracy_name(history)) if name]
    with _figure("", panels=len(names)) as (figure, panels):
        for axes, name in zip(panels, names, strict=True):
            _draw_metric(axes, name, history)
    return figure


def svg(figure: Figure) -> str:
    """The figure as an `<svg>` element for a page: see-through, its ink the colour of the text around it."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with _style():
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with _style():
        figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, facecolor="white")
    return buffer.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    """Our style, whatever style the user has set, and theirs again afterwards."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        yield


@contextmanager
def _figure(title: str, panels: int) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure with panels side by side; drawn on in our style, since artists take it when they are made."""
    from matplotlib.figure import Figure

    with _style():
        figure = Figure(figsize=(4.8 * panels, 3.6), layout="constrained")
        if title:
            figure.suptitle(title, x=0.01, ha="left", weight="bold", size=11)
        yield figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _draw_memory(axes: Axes, report: ProbeReport) -> None:
    """Measured peaks, the line through them and the limit; a size that failed is a cross at the limit it ran into.

    Peaks are of tensors, so the limit is what is left for tensors.
    """
    limit = report.tensors_limit_bytes / GIGABYTE
    fits, failed = _trials(report)
    axes.set(title="Peak memory", xlabel="Images at once", ylabel="GB")
    axes.axhline(limit, color=RED, linewidth=1.2, linestyle=(0, (5, 3)), label=f"limit for tensors, {limit:.2f} GB")
    _draw_fitted_line(axes, report)
    sizes, peaks = [t.batch_size for t in fits], [t.peak_bytes / GIGABYTE for t in fits]
    axes.plot(sizes, peaks, "o", color=BLUE, label="measured")
    if failed:
        heights = [limit if t.verdict in OUT_OF_MEMORY else t.peak_bytes / GIGABYTE for t in failed]
        axes.plot([t.batch_size for t in failed], heights, "x", color=RED, markersize=8, mew=2, label="failed")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.35 * max([limit, *peaks]) or 1.0)  # room for the legend above the limit
    axes.legend(loc="upper left", ncols=2)


def _draw_fitted_line(axes: Axes, report: ProbeReport) -> None:
    model = report.memory_model
    if model is None or not report.trials or not is_linear(model):
        return
    largest = max(trial.batch_size for trial in report.trials)
    room_bytes = LINE_BEYOND_LIMIT * report.tensors_limit_bytes - model.base_bytes
    ends = [0.0, min(largest, max(room_bytes, 0.0) / max(model.bytes_per_image, 1.0))]
    fitted = [(model.base_bytes + model.bytes_per_image * size) / GIGABYTE for size in ends]
    axes.plot(ends, fitted, color=BLUE, alpha=0.5, linewidth=1.2, label="fitted line")


def _draw_speed(axes: Axes, report: ProbeReport) -> None:
    """Images a second over a scale that doubles: sizes are tried by doubling."""
    from matplotlib.ticker import NullLocator

    timed = [trial for trial in _trials(report)[0] if trial.images_per_second > 0]
    axes.set(title="Speed", xlabel="Images at once", ylabel="images/s")
    axes.set_xscale("log", base=2)
    axes.plot([t.batch_size for t in timed], [t.images_per_second for t in timed], "o-", color=BLUE)
    recommended = [trial for trial in timed if trial.batch_size == report.recommended_batch]
    for trial in recommended[:1]:  # the second is its verification
        axes.plot(trial.batch_size, trial.images_per_second, "o", color=ORANGE, markersize=10, label="recommended")
        axes.legend(loc="lower right")
    axes.xaxis.set_major_formatter(lambda size, _: f"{size:,.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, 1.1 * max((t.images_per_second for t in timed), default=1.0))


def _trials(report: ProbeReport) -> tuple[list[Trial], list[Trial]]:
    """The trials that fit and those that did not, by size."""
    trials = ordered_trials(report)
    fits = [trial for trial in trials if trial.verdict is Verdict.FITS]
    return fits, [trial for trial in trials if trial.verdict is not Verdict.FITS]


def _draw_metric(axes: Axes, name: str, history: History) -> None:
    from matplotlib.ticker import MaxNLocator

    curves = [("training", name, ORANGE), ("validation", f"val_{name}", BLUE)]
    for label, key, colour in curves:
        if values := history.get(key):
            axes.plot(range(1, len(values) + 1), values, "o-", color=colour, markersize=3.5, label=label)
    axes.set_xlim(0.5, max(finished_epochs(history), 1) + 0.5)
    best = best_epoch(history)
    if best is not None:
        axes.axvline(best + 1, color=INK, alpha=0.35, linewidth=1, linestyle=(0, (2, 3)), label="best epoch")
    axes.set(title=name.replace("_", " ").capitalize(), xlabel="Epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
