"""Sections of a run's page: its head figures, its stages, its memory, sample images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from autofit.dataset import ImageIndex
from autofit.dataset.spread import spread_over
from autofit.protocol.messages import StageRecord
from autofit.report.classification_text import Thumbnail
from autofit.report.drawing import drawings_or_reason, svg
from autofit.report.markup import Html, breakable, cards, element, escaped, join, picture, table
from autofit.report.memory_plot import limit_in_view, memory_figure
from autofit.report.run_text import figure_words, test_figure, time_parts, time_words
from autofit.report.stage_words import STAGE_WORDS, best_fact, how_solved
from autofit.report.tables import shortened_text
from autofit.report.words import bytes_words, count_of, duration_words, metric_words
from autofit.runs.history import best_epoch, best_figures, finished_epochs, kept_stage, quality_metric, stage_of
from autofit.runs.memory_history import MemoryHistory
from autofit.runs.result_record import ResultRecord

MOST_SAMPLES, A_CLASS = 24, 3
"""The most sample images on a page, of about 5 kB each, and the most of one class."""

LONGEST_NAME = 40


class SampleImage(NamedTuple):
    """An image and its class, or its labels with commas between."""

    path: str
    label: str


def head_figures(result: ResultRecord) -> list[tuple[str, str]]:
    """The most important figures: those of the best epoch and of the test, and which epoch was the best."""
    best = best_epoch(result.history, result.best_epoch)
    figures = best_figures(result.history, best) if best is not None else []
    tested = test_figure(result)
    epoch = [] if best is None else [best_fact(result.stages, best, finished_epochs(result.history))]
    return [
        *((name.capitalize(), figure_words(name, value, result)) for name, value in figures),
        *([tested] if tested else []),
        *epoch,
    ]


def run_facts(result: ResultRecord) -> Html:
    """The head figures of a page."""
    return cards(
        [
            *head_figures(result),
            ("Time", time_words(result)),
            ("Out of memory", count_of(len(result.oom_events), "time") if result.oom_events else "never"),
            *([("Result changed", "yes")] if result.result_changed else []),
        ]
    )


def stages_table(result: ResultRecord, memory: MemoryHistory | None) -> Html:
    """The time, memory and quality of each stage, and which one gave the model; empty for a training without stages."""
    if len(result.stages) < 2:  # noqa: PLR2004 - then the head figures say it all
        return Html("")
    seconds = dict(memory.stage_seconds) if memory else {}
    quality, figures = quality_metric(result.history), [_stage_quality(result, stage) for stage in result.stages]
    kept = kept_stage(result.history, result.best_epoch, result.stages)
    has_figures = quality is not None and any(figures)  # without validation there are none
    rows = [
        [
            escaped(STAGE_WORDS[stage.name]),
            escaped(how_solved(stage) if stage.method == "solved" else count_of(stage.epochs, "epoch")),
            escaped(duration_words(seconds[stage.name]) if seconds.get(stage.name) else ""),
            *([escaped(figure)] if has_figures else []),
            element("b", escaped("kept")) if stage is kept else escaped(stage.cut_short and "cut short"),
        ]
        for stage, figure in zip(result.stages, figures, strict=True)
    ]
    named = [f"Validation {quality[0]}"] if quality and has_figures else []
    return table(("Stage", "How", "Time", *named, "Model"), rows)


def _stage_quality(result: ResultRecord, stage: StageRecord) -> str:
    """A stage's figure on the validation images: that of the run's best epoch if it has that, else its own best one.

    Empty for a refit, which trains on them.
    """
    quality = quality_metric(result.history)
    column = result.history.get(f"val_{quality[1]}", []) if quality else []
    reached = {epoch: value for epoch, value in enumerate(column) if stage_of(result.stages, epoch) == stage.name}
    if stage.name == "refit" or not reached:
        return ""
    best = best_epoch(result.history, result.best_epoch)
    return metric_words(reached[best] if best in reached else max(reached.values()))


def time_section(result: ResultRecord) -> Html:
    """How the time of the run was spent; empty if that is not known."""
    if result.time_spent is None:
        return Html("")
    rows = [
        [escaped(words[:1].upper() + words[1:]), escaped(duration_words(seconds))]
        for words, seconds in time_parts(result.time_spent)
    ]
    return table(("What", "Time"), rows, numbers=1) if rows else Html("")


def memory_section(memory: MemoryHistory) -> Html:
    """The memory over time, with its limit; empty if nothing was recorded."""
    if len(memory.points) < 2:  # noqa: PLR2004 - one point is no curve
        return Html("")
    words = "Resident memory of the process and what of it the tensors have"
    if memory.device == "gpu":
        words = "Tensors on the device, and resident memory of the process on the host"
    limit = ""
    if memory.limit_bytes and not limit_in_view(memory):
        limit = f" The limit, {bytes_words(memory.limit_bytes)}, is far above the picture."
    restarts = " A dotted line is the start of another process." if memory.restarts else ""
    lead = element("p", escaped(f"{words}.{limit}{restarts}"), "lead")
    return join([lead, drawings_or_reason(lambda: [svg(memory_figure(memory), "memory-")])])


def sample_images(index: ImageIndex) -> list[SampleImage]:
    """Some training images, evenly spread over the classes and within each class."""
    by_class: dict[int, list[int]] = {}
    for number in range(index.train_count):
        by_class.setdefault(index.labels[number], []).append(number)
    classes = sorted(by_class)
    shown = [classes[place] for place in spread_over(len(classes), MOST_SAMPLES)]
    each = min(max(MOST_SAMPLES // max(len(shown), 1), 1), A_CLASS)
    return [
        SampleImage(index.path(by_class[label][place]), _label_words(index, label))
        for label in shown
        for place in spread_over(len(by_class[label]), each)
    ]


def _label_words(index: ImageIndex, label: int) -> str:
    return ", ".join(index.class_names[number] for number in index.classes_of(label)) or "no label"


def samples_section(samples: Sequence[SampleImage], thumbnail: Thumbnail) -> Html:
    """Images with their classes as small pictures; those that cannot be read are left out."""
    figures = [
        element("figure", join([picture(uri), element("figcaption", breakable(shortened_text(label, LONGEST_NAME)))]))
        for label, uri in ((sample.label, thumbnail(sample.path)) for sample in samples)
        if uri
    ]
    return element("div", join(figures), "pictures") if figures else Html("")
