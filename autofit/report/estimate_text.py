"""An estimate's record as text for a terminal, a log or a notebook; each form says that it is an estimate. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.table import Table
from rich.text import Text

from autofit.printable import printable
from autofit.probing.estimate import Estimate, EstimateReport
from autofit.protocol.messages import Verdict
from autofit.report.markup import element, escaped, fragment, table
from autofit.report.probe_text import network_name
from autofit.report.sweep_text import TRAINS, probe_name, size_words
from autofit.report.tables import Layout, natural_widths, titled_table
from autofit.report.width import table_columns
from autofit.report.words import bytes_words, count_of, duration_words, fact_lines
from autofit.runs.what_would_help import is_own_network

TITLE = "Estimate: what fits other machines"
HEADERS = ("Network", "Size", "Trains", "Device", "Memory", "Largest", "At most", "An image")
FIGURES, SPARE = (5, 6, 7), (7, 2)
MOST_SHOWN = 10**6
NOTHING_SURE = "none"


def estimate_text(report: EstimateReport) -> str:
    """An estimate as plain lines, ASCII but for names, for a log or a pipe."""
    rows = [tuple(header.lower() for header in HEADERS), *(_cells(one) for one in report.estimates)]
    lines = _layout(rows).lines(rows) if report.estimates else []
    return "\n".join([TITLE, "", *lines, *([""] if lines else []), *estimate_facts(report)])


def estimate_table(report: EstimateReport) -> Table:
    """An estimate as a table for a terminal."""
    shown, rows = titled_table(TITLE), [_cells(one) for one in report.estimates]
    kept = _layout([HEADERS, *rows]).kept(table_columns())
    for place in kept:
        justify: Literal["left", "right"] = "right" if place in FIGURES else "left"
        shown.add_column(HEADERS[place], no_wrap=place > 0, overflow="fold", justify=justify)
    for one, cells in zip(report.estimates, rows, strict=True):
        name, *others = (cells[place] for place in kept)
        shown.add_row(Text(name, style="bold"), *map(Text, others), style="" if one.largest_batch else "red")
    return shown


def _layout(rows: Sequence[Sequence[str]]) -> Layout:
    return Layout(natural_widths(rows), FIGURES, spare=SPARE)


def estimate_card(report: EstimateReport) -> str:
    """An estimate for a cell of a notebook."""
    rows = [[escaped(cell) for cell in _cells(one)] for one in report.estimates]
    facts = [[escaped(name), escaped(value)] for name, value in estimate_lines(report)]
    title = element("p", element("b", escaped(f"{TITLE}.")))
    return fragment([title, table(HEADERS, rows, numbers=len(FIGURES), kind="whole"), table((), facts)])


def estimate_facts(report: EstimateReport, width: int | None = None) -> list[str]:
    """`estimate_lines` as lines for a terminal or a log of that width."""
    return fact_lines(estimate_lines(report), width)


def estimate_lines(report: EstimateReport) -> list[tuple[str, str]]:
    """How the figures were obtained, as pairs of a name and a value."""
    ran = (trial for line in report.measured for trial in line.trials if trial.verdict is Verdict.FITS)
    sizes = sorted({trial.batch_size for trial in ran})
    seen = ", ".join(f"{size:,}" for size in sizes)
    found = [
        ("Measured", f"on this machine's CPU, with {seen} images at once"),
        ("Largest", "what to count on; 'at most' is the upper bound: on a GPU, without workspaces of cuDNN"),
        *_weights_line(report),
        *_activations_line(report),
        *_other_lines(report),
        *_off_line(report),
    ]
    return [
        *(found if report.measured else []),
        *(("Failed", f"{probe_name(failed.workload)}: {printable(failed.cause)}") for failed in report.failures),
        ("Time", f"{duration_words(report.wall_seconds)}, {count_of(len(report.measured), 'network')}"),
    ]


def _other_lines(report: EstimateReport) -> list[tuple[str, str]]:
    """How much memory a GPU needs beside tensors, as a range over all devices."""
    on_gpus = [one.other_bytes for one in report.estimates if one.device != "cpu"]
    if not on_gpus:
        return []
    least, most = min(least for least, _ in on_gpus), max(most for _, most in on_gpus)
    words = f"{bytes_words(least)} to {bytes_words(most)}"
    return [("Beside tensors", f"{words} of a GPU: reserved for the system, the CUDA context (assumed), workspaces")]


def _weights_line(report: EstimateReport) -> list[tuple[str, str]]:
    """From which weights all layers train: BatchNormalization takes more memory where it trains. Empty for heads."""
    workloads = [one.workload for one in report.estimates]
    if not any(work.trainable == "all" and not is_own_network(work) for work in workloads):
        return []
    is_random = any(work.weights == "none" for work in workloads)
    return [
        ("All layers", "from random weights" if is_random else "pretrained; from random weights they may take more")
    ]


def _activations_line(report: EstimateReport) -> list[tuple[str, str]]:
    """That activations are kept, where a training could compute them again in less memory. Empty for heads."""
    if all(one.workload.trainable == "head" for one in report.estimates):
        return []
    return [("Activations", "kept; a training that does not fit so recomputes them, in less memory")]


def _off_line(report: EstimateReport) -> list[tuple[str, str]]:
    worst = max((one.max_relative_error for one in report.estimates), default=0.0)
    return [("Line", f"off by {100 * worst:.1f} % at most at the sizes that ran")]


def _cells(one: Estimate) -> tuple[str, ...]:
    return (
        printable(network_name(one.workload.backbone)),
        size_words(one.workload),
        TRAINS[one.workload.trainable],
        one.device,
        bytes_words(one.memory_bytes),
        _batch_words(one.largest_batch),
        _batch_words(one.largest_batch_at_most),
        bytes_words(one.bytes_per_image),
    )


def _batch_words(batch: int) -> str:
    if batch > MOST_SHOWN:
        return f"over {MOST_SHOWN:,}"
    return f"{batch:,}" if batch else NOTHING_SURE
