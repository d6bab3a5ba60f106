"""From records to words: what a person reads in a terminal, a log or a page. Pure."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from autofit.probing.records import VERIFIED, MemoryModelRecord, ProbeReport, Workload
from autofit.process.messages import OomEvent, QuarantinedImage, Trial, Verdict
from autofit.report.history import best_epoch, best_figures, finished_epochs
from autofit.report.words import (
    OUT_OF_MEMORY,
    attempt_words,
    bar,
    bytes_words,
    count_of,
    duration_words,
    metric_words,
    place,
    printable,
    trial_words,
)
from autofit.result import ResultRecord

SHOWN_EVENTS = 3
SHOWN_LABELS = 6


def run_summary(
    result: ResultRecord, *, labels: Sequence[str], model_path: Path, images_per_second: float | None = None
) -> str:
    """What happened in a run, where the model lies and what to do next, for a person with little patience.

    Args:
        result: the content of `result.json`.
        labels: the class names, in the order of the model's outputs.
        model_path: where `model.keras` lies, in the run directory.
        images_per_second: training speed, where it is known.
    """
    opening = [headline(result, images_per_second), *best_line(result)]
    paragraphs = [
        "\n".join(opening),
        "\n".join(map(_wrapped, [*happenings(result), *quarantine_lines(result.quarantined)])),
        what_next(result, labels, model_path),
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _wrapped(line: str) -> str:
    """A sentence within 80 columns; a line about a file stays whole, so that its name can be copied."""
    if line.startswith(" "):
        return line
    return textwrap.fill(line, 80, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def headline(result: ResultRecord, images_per_second: float | None = None) -> str:
    """How the run ended, in one line."""
    epochs = finished_epochs(result.history)
    done = count_of(epochs, "epoch")
    wall = duration_words(result.wall_seconds)
    if result.status == "completed":
        return f"Trained {done} in {wall}{_pace(result, images_per_second)}."
    ended = "Failed" if result.status == "failed" else "Interrupted"
    cause = f": {printable(result.cause)}" if result.cause else ""
    where = f"after {done} ({wall})" if epochs else f"before the first epoch was finished ({wall})"
    return f"{ended} {where}{cause}".removesuffix(".") + "."


def _pace(result: ResultRecord, images_per_second: float | None) -> str:
    facts = [f"{images_per_second:,.0f} images/s"] if images_per_second else []
    if result.seconds_to_first_step is not None:
        facts.append(f"first step after {duration_words(result.seconds_to_first_step)}")
    return f" ({', '.join(facts)})" if facts else ""


def best_line(result: ResultRecord) -> list[str]:
    """The best epoch and its figures, as one line; none before the first epoch is finished."""
    epoch = best_epoch(result.history)
    if epoch is None:
        return ["No epoch had a finite loss: try a lower learning rate."] if finished_epochs(result.history) else []
    figures = [f"{name} {metric_words(value)}" for name, value in best_figures(result.history, epoch)]
    return [f"Best epoch {epoch + 1}: {', '.join(figures)}."]


def happenings(result: ResultRecord) -> list[str]:
    """What went wrong and was got over, a line each; empty where nothing did."""
    lines = [*oom_lines(result.oom_events, result_changed=result.result_changed), *attempt_lines(result)]
    if result.result_changed:
        lines.append(
            "THE RESULT IS CHANGED: BatchNormalization was training, and memory forced fewer images at once than "
            "planned. A machine with more memory would end with other weights."
        )
    return lines


def oom_lines(events: Sequence[OomEvent], *, result_changed: bool) -> list[str]:
    """Each out-of-memory that was got over, or one line for all where they are many."""
    unchanged = "" if result_changed else "; the result is not changed"
    if len(events) <= SHOWN_EVENTS:
        return [f"{_oom_words(event)}{unchanged}." for event in events]
    most = max(event.micro_batch_size_before for event in events)
    least = min(event.micro_batch_size_after for event in events)
    lost = duration_words(sum(event.seconds_lost for event in events))
    first, last = place(events[0]), place(events[-1])
    where = first if first == last else f"first {first}, last {last}"
    sizes = f"went from {most} images at once down to {least}"
    return [f"Ran out of memory {len(events):,} times, {where}; {sizes}; {lost} lost{unchanged}."]


def _oom_words(event: OomEvent) -> str:
    before, after = count_of(event.micro_batch_size_before, "image"), event.micro_batch_size_after
    return f"Ran out of memory {place(event)} with {before} at once; went on with {after}"


def attempt_lines(result: ResultRecord) -> list[str]:
    """Each attempt that ended before its time, and why; the first few where they are many."""
    bad = [(n, a) for n, a in enumerate(result.attempts, 1) if a.verdict is not Verdict.COMPLETED]
    resumed = "; the next went on from the last checkpoint"
    lines = [
        f"Attempt {number} {attempt_words(attempt)}{resumed if number < len(result.attempts) else ''}."
        for number, attempt in bad[:SHOWN_EVENTS]
    ]
    return lines + _more(len(bad), "attempt", "ended early; result.json has them all")


def quarantine_lines(images: Sequence[QuarantinedImage]) -> list[str]:
    """How many images could not be read, and the first few of them."""
    if not images:
        return []
    were = "was" if len(images) == 1 else "were"
    first = [f"  {printable(image.path)}: {printable(image.reason)}" for image in images[:SHOWN_EVENTS]]
    head = f"{count_of(len(images), 'image')} could not be read and {were} left out:"
    return [head, *first, *_more(len(images), "image", "in result.json", indent="  ")]


def _more(total: int, noun: str, rest: str, indent: str = "") -> list[str]:
    hidden = total - SHOWN_EVENTS
    return [f"{indent}and {count_of(hidden, f'more {noun}')} {rest}."] if hidden > 0 else []


def what_next(result: ResultRecord, labels: Sequence[str], model_path: Path) -> str:
    """Where the model lies and how to use it; for a run that did not end well, how to go on."""
    if result.status == "completed":
        code = "\n".join(f"    {line}" for line in usage_code(model_path))
        return f"The model is {printable(str(model_path))}. To use it:\n\n{code}\n\n{_wrapped(usage_words(labels))}"
    first = _wrapped(f"{before_resuming(result)}To go on:")
    return f"{first}\n\n    {resume_command(model_path.parent)}"


def usage_code(model_path: Path) -> list[str]:
    """The two lines of Python that open the model."""
    return ["import keras", f"model = keras.models.load_model({str(model_path)!r})"]


def usage_words(labels: Sequence[str]) -> str:
    """What goes into the model and what comes out."""
    shown = ", ".join(printable(label) for label in labels[:SHOWN_LABELS])
    more = f" and {len(labels) - SHOWN_LABELS:,} more (labels.json)" if len(labels) > SHOWN_LABELS else ""
    classes = f" for {count_of(len(labels), 'class', 'classes')}: {shown}{more}" if labels else ""
    return f"It takes raw pixels, 0 to 255, and gives probabilities{classes}."


def resume_command(run_directory: Path) -> str:
    """The command that goes on with a run."""
    return printable(f"autofit resume {shlex.quote(str(run_directory))}")


def before_resuming(result: ResultRecord) -> str:
    """What to put right first, where the last attempt's verdict tells."""
    verdict = result.attempts[-1].verdict if result.attempts and result.status == "failed" else None
    if verdict in OUT_OF_MEMORY:
        return "Close what else uses the memory; where that does not help, start anew with a smaller image_size. "
    if verdict is Verdict.STORAGE:
        return "Make room on the disk first. "
    return "Put right what is named above first. " if verdict else ""


def workload_words(workload: Workload) -> str:
    """What was probed, as `MobileNetV2 at 160 x 160, head trainable, imagenet weights`."""
    height, width = workload.image_size
    part = "all layers" if workload.trainable == "all" else "head"
    weights = "random" if workload.weights == "none" else workload.weights
    return printable(f"{workload.backbone} at {height} x {width}, {part} trainable, {weights} weights")


def fastest_trial(report: ProbeReport) -> Trial | None:
    """The feasible trial with the most images a second; None where none was timed."""
    timed = [trial for trial in report.trials if trial.verdict is Verdict.FITS and trial.images_per_second > 0]
    return max(timed, key=lambda trial: trial.images_per_second, default=None)


def ordered_trials(report: ProbeReport) -> list[Trial]:
    """The trials by size; those of one size in the order they ran."""
    return sorted(report.trials, key=lambda trial: trial.batch_size)


def probe_lines(report: ProbeReport) -> list[tuple[str, str]]:
    """What a probe found: a name and what there is to say, each."""
    largest = report.largest_feasible_batch
    found = [("Largest that fits", f"{largest:,}"), ("Recommended", _why_recommended(report))]
    nothing = [("Result", "not even one image fits: take a smaller image size or a smaller backbone")]
    return [
        *(found if largest else nothing),
        ("Limited by", _limit_words(report)),
        *_memory_line(report),
        ("Time", _probe_time(report)),
    ]


def _limit_words(report: ProbeReport) -> str:
    """The limit as it was given or found, and what of it is left for tensors."""
    limit, tensors = report.memory_limit_bytes, report.tensors_limit_bytes
    left = f"; {bytes_words(tensors)} of it left for tensors" if tensors < limit else ""
    return f"{printable(report.limited_by.replace('_', ' '))}, {bytes_words(limit)}{left}"


def _why_recommended(report: ProbeReport) -> str:
    fastest = fastest_trial(report)
    if fastest is None:
        return f"{report.recommended_batch:,}"
    if fastest.batch_size == report.recommended_batch:
        return f"{report.recommended_batch:,}, the fastest ({fastest.images_per_second:,.0f} images/s)"
    best = f"{fastest.images_per_second:,.0f} images/s at {fastest.batch_size:,}"
    return f"{report.recommended_batch:,}, the smallest within 5 % of the fastest ({best})"


def _memory_line(report: ProbeReport) -> list[tuple[str, str]]:
    model = report.memory_model
    if model is None:
        return []
    image = f"{bytes_words(model.bytes_per_image)} an image"
    if not is_linear(model):
        return [("Memory", f"not linear in the batch here; about {image} at the largest sizes")]
    base = bytes_words(abs(model.base_bytes))
    line = f"{base} + {image}" if model.base_bytes >= 0 else f"{image}, less {base}"
    return [("Memory", f"{line}; off by {100 * model.max_relative_error:.1f} % at most")]


def is_linear(model: MemoryModelRecord) -> bool:
    """Whether the fitted line says anything of the sizes tried; one that misses a peak by all of it does not."""
    return model.max_relative_error <= 1.0


def _probe_time(report: ProbeReport) -> str:
    how = "known from a saved profile" if report.source == "profile" else count_of(len(report.trials), "trial")
    return f"{duration_words(report.wall_seconds)}, {how}"


def noted_trial(trial: Trial, report: ProbeReport) -> str:
    """A trial's verdict, and what it is to the report: `fits, verified, largest`.

    A size may have run twice, to be measured and to be verified: the first is marked recommended, the last largest.
    """
    if trial.verdict is not Verdict.FITS:
        return trial_words(trial)
    runs = [t for t in report.trials if t.verdict is Verdict.FITS and t.batch_size == trial.batch_size]
    notes = {
        "verified": trial.cause == VERIFIED,
        "largest": trial.batch_size == report.largest_feasible_batch and trial is runs[-1],
        "recommended": trial.batch_size == report.recommended_batch and trial is runs[0],
    }
    return ", ".join([trial_words(trial), *(note for note, holds in notes.items() if holds)])


def shown_memory(trial: Trial) -> str:
    """A trial's peak, where it is what the size needs: one that ran out of memory had only come so far."""
    return bytes_words(trial.peak_bytes) if trial.peak_bytes and trial.verdict not in OUT_OF_MEMORY else ""


def probe_table(report: ProbeReport) -> Table:
    """The trials as a table for a terminal 80 columns wide; `probe_lines` say what was found."""
    title = Text(workload_words(report.workload), style="bold not italic")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Batch", justify="right", no_wrap=True)
    for header in ("Verdict", f"Memory of {bytes_words(report.tensors_limit_bytes)}", "Images/s"):
        table.add_column(header, no_wrap=True)
    for trial in ordered_trials(report):
        table.add_row(*_table_row(trial, report))
    return table


def _table_row(trial: Trial, report: ProbeReport) -> list[Text]:
    fits = trial.verdict is Verdict.FITS
    top = fastest_trial(report)
    filled, speed = trial.peak_bytes / max(report.tensors_limit_bytes, 1), trial.images_per_second
    return [
        Text(f"{trial.batch_size:,}", style="bold"),
        Text(noted_trial(trial, report), style="green" if fits else "red"),
        Text(f"{bar(filled)} {shown_memory(trial):>8}" if shown_memory(trial) else ""),
        Text(f"{bar(speed / top.images_per_second)} {speed:>6,.0f}" if fits and speed and top else ""),
    ]


def probe_text(report: ProbeReport) -> str:
    """A probe as plain lines, ASCII but for names, for a log or a pipe."""
    rows = [
        ("batch", "verdict", "memory", "images/s"),
        *(_plain_row(trial, report) for trial in ordered_trials(report)),
    ]
    table = [f"{batch:>6}  {verdict:<26}  {memory:>8}  {speed:>8}".rstrip() for batch, verdict, memory, speed in rows]
    facts = [f"{name + ':':<18} {value}" for name, value in probe_lines(report)]
    return "\n".join([workload_words(report.workload), "", *([*table, ""] if report.trials else []), *facts])


def _plain_row(trial: Trial, report: ProbeReport) -> tuple[str, str, str, str]:
    speed = f"{trial.images_per_second:,.0f}" if trial.images_per_second else ""
    return f"{trial.batch_size:,}", noted_trial(trial, report), shown_memory(trial), speed
