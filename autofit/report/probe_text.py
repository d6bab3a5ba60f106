"""A probe's record as text for a terminal, a log or a page. Pure."""

from __future__ import annotations

from typing import Literal

from rich.table import Table
from rich.text import Text

from autofit.config.option_checks import GIVEN_FUNCTION
from autofit.config.rungs import Rung
from autofit.machine.memory_policy import SHARE_OF_MACHINE
from autofit.printable import printable
from autofit.probing.gpu_search import HEADROOM_SHARE, LEAST_HEADROOM_BYTES, headroom_bytes
from autofit.probing.memory_model import MAX_RELATIVE_ERROR
from autofit.probing.recommend import AS_FAST_AS_THE_BEST, recommended_speed
from autofit.probing.records import MemoryModelRecord, ProbeReport, TimeSpent, Workload
from autofit.protocol.messages import OUT_OF_MEMORY, Trial, Verdict
from autofit.report.ladder_text import ladder_lines
from autofit.report.tables import Layout, natural_widths, titled_table
from autofit.report.width import COLUMNS, columns, table_columns, wrapped
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
    trial_words,
)
from autofit.runs.memory_budget import GIVEN_LIMIT
from autofit.runs.what_would_help import advice_after, is_own_network

BATCH_CELLS, BYTES_CELLS, SPEED_CELLS = 6, 8, 6
GAP_CELLS = 2
LEAST_BAR_CELLS = 4
EXACT, SHOWN_ERROR = 1e-9, 0.0005


def workload_words(workload: Workload) -> str:
    """The probed workload, as `MobileNetV2 at 160 x 160, head trainable, imagenet weights`.

    With which weights a network of the user's begins is the user's to say; also what trains, but for the head alone.
    """
    height, width = workload.image_size
    part = "all layers" if workload.trainable == "all" else "head"
    weights = "random" if workload.weights == "none" else workload.weights
    saving = Rung(segments=workload.segments).words
    saved = f", {saving}" if saving else ""
    numbers = "" if workload.precision == "float32" else f", {workload.precision}"
    trains = f", {part} trainable, {weights} weights"
    if is_own_network(workload):
        trains = ", head trainable" if workload.trainable == "head" else ""
    return printable(f"{network_name(workload.backbone)} at {height} x {width}{trains}{numbers}{saved}")


def network_name(name: str) -> str:
    """The name of a network for people; a function that was given as an object has none."""
    return "your own model" if name == GIVEN_FUNCTION else name


def fastest_trial(report: ProbeReport) -> Trial | None:
    """The feasible trial with the most images a second; None if none was timed."""
    timed = [trial for trial in report.trials if trial.verdict is Verdict.FITS and trial.images_per_second > 0]
    return max(timed, key=lambda trial: trial.images_per_second, default=None)


def ordered_trials(report: ProbeReport) -> list[Trial]:
    """The trials by size; trials of the same size in the order in which they ran."""
    return sorted(report.trials, key=lambda trial: trial.batch_size)


def memory_share(trial: Trial, report: ProbeReport) -> float:
    """The share of the limit that a trial used, from 0 to 1; above 1 if it exceeded the limit."""
    return trial.memory_bytes / max(report.memory_limit_bytes, 1)


def probe_lines(report: ProbeReport) -> list[tuple[str, str]]:
    """The findings of a probe, as pairs of a name and a value."""
    found = [("Largest that fits", _largest_words(report)), ("Recommended", _why_recommended(report))]
    nothing = [("Result", f"not even one image fits: {advice_after(report)}")]
    return [
        *(found if report.largest_feasible_batch else nothing),
        *ladder_lines(report),
        *_precision_line(report),
        ("Limited by", limit_words(report)),
        *_others_line(report),
        *_memory_lines(report),
        ("Time", _probe_time(report)),
        *([("Of that", _spent_words(report, report.time_spent))] if report.time_spent else []),
    ]


def _largest_words(report: ProbeReport) -> str:
    """The largest batch that fits, with a note if the probe was not asked to look for larger ones."""
    largest = report.largest_feasible_batch
    return f"{largest:,}, and no larger size was asked for" if largest == report.max_batch else f"{largest:,}"


def limit_words(report: ProbeReport) -> str:
    """The memory limit, given or detected, and the part of it that was left for tensors."""
    limit, tensors = report.memory_limit_bytes, report.allocator_limit_bytes
    left = f"; {bytes_words(tensors)} of it left for tensors" if 0 < tensors < limit else ""
    is_found = report.limited_by != GIVEN_LIMIT and report.hardware.get("device") == "cpu"
    share = f" ({SHARE_OF_MACHINE:.0%} of what is free)" if is_found else ""
    return f"{limit_name(report)}, {bytes_words(limit)}{share}{left}"


def _precision_line(report: ProbeReport) -> list[tuple[str, str]]:
    choice = report.precision_choice
    return [("Precision", printable(f"{choice.precision}: {choice.why}"))] if choice else []


def found_words(report: ProbeReport, most: int) -> str:
    """What a probe before a training has found, as one line.

    Args:
        report: with a size that fits.
        most: the largest size that was looked for.
    """
    largest, recommended = report.largest_feasible_batch, report.recommended_batch
    if largest == 1:
        found = "1 image at once fits easily" if most == 1 else "only 1 image at once fits"
    elif largest == recommended >= most:
        found = f"{largest} images at once fit easily and are as fast as any"
    else:
        fits = f"{largest} images at once fit easily" if largest >= most else f"up to {largest} images at once fit"
        found = f"{fits}, {recommended} {'is' if recommended == 1 else 'are'} as fast as any"
    return f"probe: {found} ({report.all_seconds:.0f} s)"


def limit_name(report: ProbeReport) -> str:
    """The name of the limit, without its size."""
    return printable(report.limited_by.replace("_", " "))


def _others_line(report: ProbeReport) -> list[tuple[str, str]]:
    others = ", ".join(printable(process) for process in report.other_gpu_processes)
    return [("Also on the GPU", others)] if others else []


def _why_recommended(report: ProbeReport) -> str:
    fastest = fastest_trial(report)
    if fastest is None:
        return f"{report.recommended_batch:,}"
    if fastest.batch_size == report.recommended_batch:
        return f"{report.recommended_batch:,}, the fastest ({speed_words(fastest.images_per_second)} images/s)"
    best = f"{speed_words(fastest.images_per_second)} images/s at {fastest.batch_size:,}"
    share = AS_FAST_AS_THE_BEST[_device(report)]
    if 0 < recommended_speed(report) < share * fastest.images_per_second:
        return f"{report.recommended_batch:,}, as fast as any that keeps the headroom ({best})"
    return f"{report.recommended_batch:,}, the smallest within {100 * (1 - share):.0f} % of the best ({best})"


def _device(report: ProbeReport) -> Literal["cpu", "gpu"]:
    return "gpu" if report.hardware.get("device") == "gpu" else "cpu"


def _memory_lines(report: ProbeReport) -> list[tuple[str, str]]:
    """The memory per image, the non-allocator memory and the headroom."""
    model, non_allocator = report.memory_model, report.non_allocator_bytes
    other = f"{bytes_words(non_allocator)}, measured outside tensors and image buffers"
    measured = {t.batch_size for t in report.trials if t.verdict is Verdict.FITS and t.memory_bytes}
    return [
        *([("Memory", _line_words(model))] if model or len(measured) > 1 else []),
        *([("Other memory", other)] if non_allocator else []),
        *([("Headroom", _headroom_words(report))] if report.headroom_bytes else []),
    ]


def _headroom_words(report: ProbeReport) -> str:
    headroom = bytes_words(report.headroom_bytes)
    if _device(report) == "cpu":
        return f"{headroom} kept free below the limit, from the measured spread"
    others = report.headroom_bytes - headroom_bytes(report.memory_limit_bytes)
    taken = f", and {bytes_words(others)} that other processes took meanwhile" if others >= 1 else ""
    return (
        f"{headroom} that the recommended size leaves free: {HEADROOM_SHARE:.0%} of the limit, "
        f"{bytes_words(LEAST_HEADROOM_BYTES)} at least{taken}"
    )


def _line_words(model: MemoryModelRecord | None) -> str:
    if model is None or not is_linear(model):
        return "not linear in the batch here, so there is no figure for an image"
    image = f"{bytes_words(model.bytes_per_image)} an image"
    base = bytes_words(abs(model.base_bytes))
    line = f"{base} + {image}" if model.base_bytes >= 0 else f"{image}, less {base}"
    return f"{line}{_error_words(model.max_relative_error)}{_gap_words(model.fragmentation)}"


def _gap_words(fragmentation: float) -> str:
    """The extra memory for gaps between tensors in the allocator (fragmentation)."""
    share = f"{100 * (fragmentation - 1):.0f}"
    return f"; tensors with {share} % for the gaps between them" if share != "0" else ""


def _error_words(relative: float) -> str:
    """The error of the fitted line; empty if the line passes through all points, as it does with two."""
    if relative < EXACT:
        return ""
    return f", off by {100 * relative:.1f} % at most" if relative >= SHOWN_ERROR else ", off by under 0.1 %"


def is_linear(model: MemoryModelRecord) -> bool:
    """Whether the fitted line describes the memory of the sizes that were tried."""
    return model.max_relative_error <= MAX_RELATIVE_ERROR


def _probe_time(report: ProbeReport) -> str:
    saved = sum(trial.saved for trial in report.trials)
    known = f", {saved:,} known from a saved profile" if saved else ""
    time = f"{duration_words(report.wall_seconds)}, {count_of(len(report.trials) - saved, 'trial')}{known}"
    if not report.rungs:
        return time
    ran = sum(not record.saved for record in report.rungs)
    return f"{duration_words(report.all_seconds)} on {count_of(ran, 'rung')}; on the chosen one {time}"


def _spent_words(report: ProbeReport, spent: TimeSpent) -> str:
    """How the time was spent, as `15 s starting 2 processes, 12 s first steps (tracing, tuning), …`."""
    processes = sum(trial.fresh and not trial.saved for trial in report.trials)
    return (
        f"{duration_words(spent.process_starts_seconds)} starting {count_of(processes, 'process', 'processes')}, "
        f"{duration_words(spent.first_steps_seconds)} first steps (tracing, tuning), "
        f"{duration_words(spent.steady_steps_seconds)} steady steps, {duration_words(spent.other_seconds)} other"
    )


def noted_trial(trial: Trial, report: ProbeReport) -> str:
    """A trial's verdict and its role in the report: `fits, verified, largest`.

    A size may have run twice, to be measured and to be verified. The first of its trials is marked as recommended, the
    last as largest.
    """
    saved = ["saved"] if trial.saved else []
    if trial.verdict is not Verdict.FITS:
        return ", ".join([trial_words(trial), *saved])
    runs = [t for t in report.trials if t.verdict is Verdict.FITS and t.batch_size == trial.batch_size]
    largest = trial.batch_size == report.largest_feasible_batch
    notes = {
        "verified": largest and trial.fresh and not trial.saved,
        "largest": largest and trial is runs[-1],
        "recommended": trial.batch_size == report.recommended_batch and trial is runs[0],
    }
    return ", ".join([trial_words(trial), *saved, *(note for note, holds in notes.items() if holds)])


def shown_memory(trial: Trial) -> str:
    """The memory of a trial; empty if it ran out of memory, since its peak is not what the size needs."""
    return bytes_words(trial.memory_bytes) if trial.memory_bytes and trial.verdict not in OUT_OF_MEMORY else ""


def probe_table(report: ProbeReport) -> Table:
    """The trials as a table for a terminal; `probe_lines` has the findings."""
    table = titled_table(workload_words(report.workload))
    table.add_column("Batch", justify="right", no_wrap=True, min_width=BATCH_CELLS)
    table.add_column("Verdict")  # the longest are folded in a narrow terminal
    for header in (_memory_header(report), "Images/s"):
        table.add_column(header, no_wrap=True)
    for trial in ordered_trials(report):
        batch, verdict, memory, speed = _cells(trial, report, BLOCKS)
        style = "dim" if trial.saved else ""
        known = "green" if trial.verdict is Verdict.FITS else "red"
        table.add_row(Text(batch, style="bold"), Text(verdict, style=known), Text(memory), Text(speed), style=style)
    return table


def probe_text(report: ProbeReport) -> str:
    """A probe as plain lines, ASCII but for names, for a log or a pipe."""
    cells = [_cells(trial, report, ASCII_MARKS) for trial in ordered_trials(report)]
    rows = [("batch", "verdict", _memory_header(report).replace("M", "m", 1), "images/s"), *cells]
    table = Layout((BATCH_CELLS, *natural_widths(rows)[1:]), numbers=(0,), flexible=1).lines(rows)
    title, rest = wrapped(workload_words(report.workload)), probe_facts(report)
    return "\n".join([title, "", *([*table, ""] if cells else []), *rest])


def probe_facts(report: ProbeReport, width: int | None = None) -> list[str]:
    """`probe_lines` as lines for a terminal or a log of that width."""
    return fact_lines(probe_lines(report), width)


def _cells(trial: Trial, report: ProbeReport, marks: str) -> tuple[str, str, str, str]:
    """One trial's row: its size, its verdict, and a bar with a figure for memory and for speed."""
    top, speed, memory = fastest_trial(report), trial.images_per_second, shown_memory(trial)
    cells = _bar_cells(report)
    timed = trial.verdict is Verdict.FITS and speed and top
    share = speed / top.images_per_second if timed and top else 0.0
    return (
        f"{trial.batch_size:,}",
        noted_trial(trial, report),
        _barred(memory_share(trial, report), cells, marks, f"{memory:>{BYTES_CELLS}}") if memory else "",
        _barred(share, cells, marks, f"{speed_words(speed):>{SPEED_CELLS}}") if timed and top else "",
    )


def _barred(share: float, cells: int, marks: str, figure: str) -> str:
    return f"{bar(share, cells, marks)} {figure}" if cells else figure


def _bar_cells(report: ProbeReport) -> int:
    """The length of the two bars beside the longest verdict, within the width of text; 0 if they would be too short."""
    verdict = max((len(noted_trial(trial, report)) for trial in report.trials), default=0)
    header = len(_memory_header(report))

    def row_width(cells: int) -> int:
        memory, speed = max(cells + 1 + BYTES_CELLS, header), cells + 1 + SPEED_CELLS
        return BATCH_CELLS + verdict + memory + speed + 3 * GAP_CELLS

    lengths = range(BAR_CELLS, LEAST_BAR_CELLS, -1)
    least = LEAST_BAR_CELLS if columns() == COLUMNS else 0
    return next((cells for cells in lengths if row_width(cells) <= table_columns()), least)


def _memory_header(report: ProbeReport) -> str:
    return "Memory" if columns() < COLUMNS else f"Memory of {bytes_words(report.memory_limit_bytes)}"
