"""Numbers, sizes, durations and verdicts as words, shared by all reports. Pure.

Records count epochs, steps and the like from zero; people read them from one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from autofit.printable import printable
from autofit.protocol.messages import OomEvent, Phase, StageRecord, Trial, Verdict
from autofit.report.stage_words import epoch_in_stage, step_in_stage, step_of_stage
from autofit.report.width import NO_BREAK, columns, padded_text, wrapped, wrapped_lines
from autofit.runs.result_record import AttemptRecord

NAME_CELLS = 18
BAR_CELLS = 12
BLOCKS, ASCII_MARKS = "█░", "#."
DOT = " · "

COUNTED = frozenset({"skipped_updates"})
"""The columns of a history that are numbers of something."""

TRIAL_WORDS = {
    Verdict.FITS: "fits",
    Verdict.DEVICE_OOM: "out of memory",
    Verdict.HOST_OOM: "out of host memory",
    Verdict.TIMEOUT: "too slow",
}
ATTEMPT_WORDS = {
    Verdict.DEVICE_OOM: "ran out of device memory",
    Verdict.HOST_OOM: "ran out of host memory",
    Verdict.TIMEOUT: "took too long",
    Verdict.HUNG: "stopped responding",
    Verdict.YIELDED: "stopped before host memory ran out",
    Verdict.STORAGE: "could not write to the disk",
    Verdict.USER_ERROR: "stopped on a user error",
    Verdict.INTERRUPTED: "was interrupted",
}
PHASE_WORDS = {  # the phases without steps of an epoch
    Phase.START: "while starting",
    Phase.WEIGHTS: "while loading the weights",
    Phase.BUILD: "while building the model",
    Phase.TRACE: "while tracing",
    Phase.PROBE: "while probing",
    Phase.SOLVE: "while solving the head",
    Phase.SAVE: "while saving",
    Phase.PREDICT: "while predicting",
}


def count_of(number: int, noun: str, plural: str = "") -> str:
    """`1 image`, `2 images`, `1,200 images`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def bytes_words(size_bytes: float) -> str:
    """Bytes as `1.41 GB`, `141.2 GB`, `85 MB` or `1.97 kB`, eight columns at most below a terabyte; GB is 10^9."""
    if abs(size_bytes) >= 1e8:  # noqa: PLR2004
        return f"{size_bytes / 1e9:.{1 if abs(size_bytes) >= 99.995e9 else 2}f} GB"  # noqa: PLR2004
    if 0 < abs(size_bytes) < 1e5:  # noqa: PLR2004 - the export of a small network
        return f"{size_bytes / 1e3:.3g} kB"
    return f"{size_bytes / 1e6:.3g} MB"


def speed_words(images_per_second: float) -> str:
    """Images per second, to a tenth below ten: a large network on a CPU runs five."""
    return f"{images_per_second:,.{1 if images_per_second < 9.95 else 0}f}"  # noqa: PLR2004


def duration_words(seconds: float) -> str:
    """Seconds as `0.4 s`, `42 s`, `3 min 20 s` or `2 h 5 min`; NaN and infinity are an unknown time."""
    if not math.isfinite(seconds):
        return "an unknown time"
    whole = round(seconds)
    if whole < 10:  # noqa: PLR2004 - from ten on a tenth says nothing
        return f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{whole} s"


def metric_words(value: float) -> str:
    """A metric's value with three decimals, or as a power of ten if it is smaller than 0.001, or a million or more."""
    is_usual = abs(value) < 1e6 or not math.isfinite(value)  # noqa: PLR2004
    return f"{value:.1e}" if 0 < abs(value) < 0.001 or not is_usual else f"{value:.3f}"  # noqa: PLR2004


def named_metric(name: str, value: float) -> str:
    """The same of a metric by its name in a history, of which some count."""
    return f"{value:,.0f}" if name in COUNTED and math.isfinite(value) else metric_words(value)


def bar(share: float, cells: int = BAR_CELLS, marks: str = BLOCKS) -> str:
    """A bar filled by a share from 0 to 1; readable without colour, and never empty for a share above 0.

    `marks` are two characters: one for the full part and one for the empty part.
    """
    known = 0.0 if math.isnan(share) else min(max(share, 0.0), 1.0)
    filled = max(round(known * cells), 1 if known > 0 else 0)
    return marks[0] * filled + marks[1] * (cells - filled)


def fact_lines(facts: Iterable[tuple[str, str]], width: int | None = None) -> list[str]:
    """Names and values as lines of `width`, by default that of text; a long value is wrapped and indented."""
    return [
        line
        for name, value in facts
        for line in wrapped_lines(
            f"{padded_text(name + ':', NAME_CELLS)} {value}",
            max(width or columns(), 2 * NAME_CELLS),
            indent=" " * (NAME_CELLS + 1),
            break_long_words=True,
        )
    ]


def wrapped_facts(line: str) -> str:
    """A line of facts separated by dots, wrapped between two facts to the width of text, if the facts are short."""
    facts = line.split(DOT)
    short = [fact.replace(" ", NO_BREAK) if len(fact) <= columns() // 2 else fact for fact in facts]
    return wrapped(f"{NO_BREAK}· ".join(short))


def oom_position(event: OomEvent, stages: Sequence[StageRecord] = ()) -> str:
    """Where in a run with these stages an out-of-memory happened, counted from one."""
    if event.phase in PHASE_WORDS:
        return PHASE_WORDS[event.phase]
    if event.phase is Phase.VALIDATE:
        return f"while validating {epoch_in_stage(stages, event.epoch)}"
    if event.phase is Phase.EXTRACT and not event.step:  # before the epoch's steps, or in the first of them
        return f"while extracting features for {epoch_in_stage(stages, event.epoch)}"
    return step_in_stage(stages, event.epoch, event.step)


def attempt_words(attempt: AttemptRecord, stages: Sequence[StageRecord] = ()) -> str:
    """The outcome and position of an attempt, as `crashed at epoch 2, step 7 with 32 images at once (SIGSEGV)`.

    Args:
        attempt: the attempt.
        stages: the stages of its run, in which its epoch is counted.
    """
    how = ATTEMPT_WORDS.get(attempt.verdict, attempt.verdict)
    cause = f" ({printable(attempt.cause)})" if attempt.cause else ""
    size = attempt.micro_batch_size  # 0 if it ended before a micro-batch was chosen
    images = f" with {count_of(size, 'image')} at once" if size else ""
    place = (
        step_of_stage(attempt.stage, stages, attempt.epoch, attempt.step)
        if attempt.stage
        else step_in_stage(stages, attempt.epoch, attempt.step)
    )
    return f"{how} {place}{images}{cause}"


def trial_words(trial: Trial) -> str:
    """A trial's verdict in a word or two."""
    return TRIAL_WORDS.get(trial.verdict, trial.verdict.replace("_", " "))
