"""A sweep's record as text: one table of all networks and image sizes, and what does not fit. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.table import Table
from rich.text import Text

from autofit.printable import printable
from autofit.probing.recommend import recommended_speed
from autofit.probing.records import ProbeReport, SweepFailure, SweepReport, Workload
from autofit.report.probe_text import is_linear, limit_name, network_name
from autofit.report.tables import Layout, natural_widths, titled_table
from autofit.report.width import table_columns, wrapped
from autofit.report.words import (
    ASCII_MARKS,
    BAR_CELLS,
    BLOCKS,
    bar,
    bytes_words,
    count_of,
    duration_words,
    fact_lines,
    speed_words,
)
from autofit.runs.what_would_help import advice_after

DOES_NOT_FIT, FAILED = "does not fit", "failed"
SPEED_CELLS = 6
GAP_CELLS = 2
LEAST_BAR_CELLS = 4
TRAINS = {"head": "head", "all": "all layers"}
FIGURES = ("recommended", "largest", "an image", "time")


def sweep_text(report: SweepReport) -> str:
    """A sweep as plain lines, ASCII but for names, for a log or a pipe."""
    rows = [_headers(report), *_rows(report, ASCII_MARKS)]
    return "\n".join([wrapped(sweep_title(report)), "", *_layout(rows).lines(rows), "", *sweep_facts(report)])


def _layout(rows: Sequence[Sequence[str]]) -> Layout:
    """The layout of rows with their headers: figures are aligned right; memory and time are left out first."""
    numbers = range(len(rows[0]) - len(FIGURES), len(rows[0]))
    return Layout(natural_widths(rows), numbers, spare=(numbers[-2], numbers[-1]))


def sweep_table(report: SweepReport) -> Table:
    """A sweep as a table for a terminal; `sweep_lines` has the other findings."""
    table = titled_table(sweep_title(report))
    headers, rows = _headers(report), _rows(report, BLOCKS)
    kept = _layout([headers, *rows]).kept(table_columns())
    for header in (headers[place] for place in kept):
        justify: Literal["left", "right"] = "right" if header in FIGURES else "left"
        table.add_column(header.capitalize(), no_wrap=header != "network", overflow="fold", justify=justify)
    speed = headers.index("images/s")
    for row in rows:
        style = "red" if row[speed] in {DOES_NOT_FIT, FAILED} else ""
        name, *cells = (row[place] for place in kept)
        table.add_row(Text(name, style="bold"), *map(Text, cells), style=style)
    return table


def sweep_lines(report: SweepReport, *, reasons: bool = True) -> list[tuple[str, str]]:
    """The findings of a sweep beside its table, as pairs of a name and a value.

    With `reasons` they include why a row has no figures.
    """
    return [
        *_fastest_line(report),
        *_limit_line(report),
        *_others_line(report),
        *(_reason_lines(report) if reasons else []),
        ("Time", f"{duration_words(report.wall_seconds)}, {count_of(len(_workloads(report)), 'probe')}"),
    ]


def _reason_lines(report: SweepReport) -> list[tuple[str, str]]:
    """Advice for each network that does not fit, and the cause of each failed probe."""
    unfit = [(probe_name(probe.workload), fit_advice(probe, report)) for probe in report.probes if not _fits(probe)]
    failed = [(probe_name(failure.workload), printable(failure.cause)) for failure in report.failures]
    return [
        *(("Does not fit", f"{name}: {advice}") for name, advice in unfit),
        *(("Failed", f"{name}: {cause}") for name, cause in failed),
    ]


def sweep_facts(report: SweepReport, width: int | None = None) -> list[str]:
    """`sweep_lines` as lines for a terminal or a log of that width."""
    return fact_lines(sweep_lines(report), width)


def probe_name(workload: Workload) -> str:
    """The name of a row outside of the table, as `ResNet50 at 224`."""
    return printable(f"{network_name(workload.backbone)} at {size_words(workload)}")


def size_words(workload: Workload) -> str:
    """The image size: one number for a square, else `160 x 192`."""
    height, width = workload.image_size
    return f"{height}" if height == width else f"{height} x {width}"


def fit_advice(probe: ProbeReport, report: SweepReport) -> str:
    """Advice if not even one image fits: the largest size of this network that fits, if there is one."""
    smaller = [
        other.workload
        for other in report.probes
        if _fits(other)
        and other.workload.model_copy(
            update={"image_size": probe.workload.image_size, "segments": probe.workload.segments}
        )
        == probe.workload
    ]
    if not smaller:
        return f"not even one image: {advice_after(probe)}"
    largest = max(smaller, key=lambda workload: workload.image_size)
    return f"not even one image; at {size_words(largest)} it fits"


def sweep_title(report: SweepReport) -> str:
    """The title, with what all rows share: which layers train, unless that differs, and the weights."""
    workloads = _workloads(report)
    parts = {TRAINS[workload.trainable] for workload in workloads}
    weights = {"random" if workload.weights == "none" else workload.weights for workload in workloads}
    shared = [f"{kind} {word}" for kinds, word in ((parts, "trainable"), (weights, "weights")) for kind in _only(kinds)]
    return printable("; ".join(["Sweep, the fastest first", *([", ".join(shared)] if shared else [])]))


def _only(kinds: set[str]) -> list[str]:
    return list(kinds) if len(kinds) == 1 else []


def _workloads(report: SweepReport) -> list[Workload]:
    return [*(probe.workload for probe in report.probes), *(failure.workload for failure in report.failures)]


def _fits(probe: ProbeReport) -> bool:
    return probe.largest_feasible_batch > 0


def fastest_probe(report: SweepReport) -> ProbeReport | None:
    """The probe whose recommended batch has the most images a second; None if nothing fits."""
    return max((probe for probe in report.probes if _fits(probe)), key=recommended_speed, default=None)


def _fastest_line(report: SweepReport) -> list[tuple[str, str]]:
    best = fastest_probe(report)
    if best is None:
        return []
    pace = f"{speed_words(recommended_speed(best))} images/s with {count_of(best.recommended_batch, 'image')} at once"
    return [("Fastest", f"{probe_name(best.workload)}, {pace}")]


def _limit_line(report: SweepReport) -> list[tuple[str, str]]:
    """The limit; a range, since free memory may change a little from probe to probe."""
    limits = sorted({probe.memory_limit_bytes for probe in report.probes})
    names = list(dict.fromkeys(limit_name(probe) for probe in report.probes))
    if not limits:
        return []
    shown = list(dict.fromkeys([bytes_words(limits[0]), bytes_words(limits[-1])]))
    return [("Limited by", f"{' or '.join(names)}, {' to '.join(shown)}")]


def _others_line(report: SweepReport) -> list[tuple[str, str]]:
    others = dict.fromkeys(printable(process) for probe in report.probes for process in probe.other_gpu_processes)
    return [("Also on the GPU", ", ".join(others))] if others else []


def trains_differ(report: SweepReport) -> bool:
    """Whether different layers train in different rows."""
    return len({workload.trainable for workload in _workloads(report)}) > 1


def _headers(report: SweepReport) -> list[str]:
    return ["network", "size", *(["trains"] if trains_differ(report) else []), "images/s", *FIGURES]


def _rows(report: SweepReport, marks: str) -> list[list[str]]:
    """The rows in the table's order: networks that fit, networks that do not, and failed probes."""
    names = [*(_name_cells(workload, report) for workload in _workloads(report))]
    probes = [_figure_cells(probe) for probe in report.probes]
    failures = [_failed_cells(failure) for failure in report.failures]
    rows = [[*name, *figures] for name, figures in zip(names, [*probes, *failures], strict=True)]
    cells = _bar_cells(rows, report)
    best = max((recommended_speed(probe) for probe in report.probes), default=0.0)
    for row, probe in zip(rows, report.probes, strict=False):
        if _fits(probe) and best and cells:
            speed = len(row) - len(FIGURES) - 1
            row[speed] = f"{bar(recommended_speed(probe) / best, cells, marks)} {row[speed]}"
    return rows


def _name_cells(workload: Workload, report: SweepReport) -> list[str]:
    trains = [workload.trainable] if trains_differ(report) else []
    return [printable(workload.backbone), size_words(workload), *trains]


def _figure_cells(probe: ProbeReport) -> list[str]:
    """Images/s, without its bar, and the other figures of a probe."""
    time = short_duration(probe.all_seconds)
    if not _fits(probe):
        return [DOES_NOT_FIT, "", "", "", time]
    speed = f"{speed_words(recommended_speed(probe)) if recommended_speed(probe) else '':>{SPEED_CELLS}}"
    return [speed, f"{probe.recommended_batch:,}", f"{probe.largest_feasible_batch:,}", image_words(probe), time]


def short_duration(seconds: float) -> str:
    """A duration in a column: `41 s`, `12 min`."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"  # noqa: PLR2004


def _failed_cells(_: SweepFailure) -> list[str]:
    return [FAILED, "", "", "", ""]


def image_words(probe: ProbeReport) -> str:
    """The memory per image; empty if memory is not linear in the batch size."""
    model = probe.memory_model
    return bytes_words(model.bytes_per_image) if model and is_linear(model) else ""


def _bar_cells(rows: Sequence[Sequence[str]], report: SweepReport) -> int:
    """The length of the bar that keeps a row within the width of text; 0 if there is no room for one."""
    widths = [max(map(len, column)) for column in zip(_headers(report), *rows, strict=True)]
    speed = len(widths) - len(FIGURES) - 1
    others = sum(widths) - widths[speed] + GAP_CELLS * (len(widths) - 1)
    room = table_columns() - others - SPEED_CELLS - 1
    return min(BAR_CELLS, room) if room >= LEAST_BAR_CELLS else 0
