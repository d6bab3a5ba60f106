"""A run as one page of HTML: self-contained, without scripts or network requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from autofit.protocol.messages import Verdict
from autofit.protocol.model_jobs import OutputKind
from autofit.report import plots
from autofit.report.classification_text import (
    MOST_CLASSES_IN_A_TABLE,
    Thumbnail,
    class_table,
    confused_list,
    confusion_table,
    pictures,
)
from autofit.report.data_page import data_findings_section
from autofit.report.drawing import drawings_or_reason, svg
from autofit.report.markup import (
    MAX_ROWS,
    Html,
    bullets,
    command_line,
    document,
    element,
    escaped,
    join,
    section,
    table,
)
from autofit.report.model_usage import AS_THE_MODEL_SAYS, reading_of, usage_code, usage_words
from autofit.report.repeated_run import repeated_run
from autofit.report.run_sections import (
    SampleImage,
    memory_section,
    run_facts,
    samples_section,
    stages_table,
    time_section,
)
from autofit.report.run_text import (
    attempt_line,
    before_resuming,
    incidents,
    page_headline,
    resume_command,
    stage_lines,
)
from autofit.report.stage_words import epoch_in_stage
from autofit.report.thumbnails import Thumbnails
from autofit.report.what_was_run import what_was_run
from autofit.report.words import attempt_words, count_of, duration_words, named_metric, oom_position
from autofit.runs.history import best_epoch, finished_epochs, kept_stage
from autofit.runs.memory_history import MemoryHistory
from autofit.runs.predicted_images import ClassFigures, PredictedImages
from autofit.runs.result_record import ResultRecord
from autofit.runs.run_record import RunRecord

WORST_IMAGES = 12


def run_page(  # noqa: PLR0913 - what a page shows, by name
    result: ResultRecord,
    *,
    labels: Sequence[str],
    model_path: Path,
    outputs: OutputKind = "probabilities",
    predicted: PredictedImages | None = None,
    by_label: Sequence[ClassFigures] = (),
    run: RunRecord | None = None,
    memory: MemoryHistory | None = None,
    samples: Sequence[SampleImage] = (),
) -> str:
    """A run as a page: how it ended, its curves, the problems it recovered from, how to use the model.

    Args:
        result: the content of `result.json`.
        labels: the class names, in the order of the model's outputs.
        model_path: the path of `model.keras` in the run directory.
        outputs: what the saved model gives.
        predicted: the predictions of the best epoch's model for the validation images, if they were kept.
        by_label: for a multi-label model the figures of each label on the validation images, if they are known.
        run: the content of `run.json`.
        memory: the memory of the run over time, if it is known.
        samples: training images to be shown.
    """
    completed, thumbnail = result.status == "completed", Thumbnails()
    return document(
        f"Run: {result.status}",
        [
            element("h1", escaped(page_headline(result)), "bad" if result.status == "failed" else ""),
            *([] if completed else [_to_continue(result, model_path)]),
            run_facts(result),
            section("Words of warning", bullets(result.warnings)),
            section("Curves", _curves(result)),
            section("Stages", stages_table(result, memory)),
            *(_judged(predicted, result, thumbnail) if predicted else []),
            *([section("Label by label", class_table(by_label))] if by_label else []),
            section("What happened", bullets([*stage_lines(result), *_incidents(result)])),
            *([_to_use(result, labels, model_path, outputs, run)] if completed else []),
            *([section("What was run", what_was_run(run, result))] if run else []),
            *([_to_run_again(run, model_path.parent, is_completed=completed)] if run else []),
            section("Some of the images", samples_section(samples, thumbnail)),
            section("Where the time went", time_section(result)),
            section("Memory", memory_section(memory)) if memory else Html(""),
            data_findings_section(result.data) if result.data else Html(""),
            section("Epochs", _epochs(result)),
            section("Attempts", _attempts(result)),
            section("Out of memory", _oom_events(result)),
            section(f"Images left out: {len(result.quarantined):,}", _bad_images(result)),
        ],
    )


def _curves(result: ResultRecord) -> Html:
    def draw() -> Iterator[str]:
        panels = plots.history_panels(result.history, result.best_epoch, result.stages)
        return (svg(panel, f"{name}-") for panel, name in zip(panels, ("loss", "quality"), strict=False))

    return drawings_or_reason(draw) if finished_epochs(result.history) > 1 else Html("")


def _incidents(result: ResultRecord) -> list[str]:
    """The problems from which the run recovered; the one that ended it stands at the top of the page."""
    has_failed = result.status != "completed" and bool(result.attempts)
    ended = attempt_line(result, len(result.attempts)) if has_failed else ""
    return [line for line in incidents(result) if line != ended]


def _judged(predicted: PredictedImages, result: ResultRecord, thumbnail: Thumbnail) -> list[Html]:
    """The validation images class by class, and those that the model is most wrong about."""
    kept = kept_stage(result.history, result.epoch_of_model, result.stages)
    before = " from before it was fitted once more on all images" if kept and kept.refitted else ""
    model = "best model" if result.has_saved_best else "last model saved"
    whose = f"On {count_of(len(predicted), 'validation image')}, by the {model}{before}."
    worst = [image for image in predicted.worst(WORST_IMAGES) if not image.is_right]
    return [
        section("Class by class", join([element("p", escaped(whose), "lead"), class_table(predicted.class_figures())])),
        section("Which class is taken for which", _taken_for(predicted)),
        section("The worst mistakes", pictures(worst, thumbnail) if worst else Html("")),
    ]


def _taken_for(predicted: PredictedImages) -> Html:
    names = predicted.class_names
    if len(names) <= MOST_CLASSES_IN_A_TABLE:
        return confusion_table(predicted.confusion_counts(), names)
    return confused_list(predicted.confusions(), names)


def _to_continue(result: ResultRecord, model_path: Path) -> Html:
    """Why a run ended early, and how to go on: the only place on the page for an error."""
    cause = [element("p", element("b", escaped(_sentence(result.cause))))] if result.cause else []
    advice = element("p", escaped(f"{before_resuming(result)}To continue:"))
    command = command_line(resume_command(model_path.parent))
    has_failed = result.status == "failed"
    which = "best model so far" if result.has_saved_best else "last model saved"
    model = [element("p", escaped(f"The {which} is {model_path}."))] if model_path.is_file() else []
    return element("div", join([*cause, advice, command, *model]), "error" if has_failed else "notice")


def _sentence(cause: str) -> str:
    """A cause as a sentence with a capital, unless it begins with the name of an option such as `max_minutes`."""
    is_option = "_" in cause.partition(" ")[0]
    return f"{cause[:1] if is_option else cause[:1].upper()}{cause[1:].removesuffix('.')}."


def _to_use(
    result: ResultRecord, labels: Sequence[str], model_path: Path, outputs: OutputKind, run: RunRecord | None
) -> Html:
    lines = usage_code(model_path, reading=reading_of(run) if run else AS_THE_MODEL_SAYS)
    code = element("pre", join(escaped(line) for line in lines))
    return section("To use the model", join([code, element("p", escaped(usage_words(labels, result, outputs)))]))


def _to_run_again(run: RunRecord, run_dir: Path, *, is_completed: bool) -> Html:
    return section("To run it again", repeated_run(run, run_dir, is_completed=is_completed))


def _epochs(result: ResultRecord) -> Html:
    """A row for each epoch; of very many the last ones, and the best."""
    names, best = list(result.history), best_epoch(result.history, result.best_epoch)
    is_staged = bool({stage.name for stage in result.stages} - {"training"})
    count = finished_epochs(result.history)
    last = range(count - MAX_ROWS + 1 if count > MAX_ROWS else 0, count)
    shown = [*([best] if best is not None and best not in last else []), *last]
    rows = [
        [
            element("b", escaped(f"{epoch + 1} (best)")) if epoch == best else escaped(f"{epoch + 1}"),
            *([escaped(epoch_in_stage(result.stages, epoch))] if is_staged else []),
            *(
                escaped(named_metric(name, column[epoch]) if epoch < len(column) else "")
                for name, column in result.history.items()
            ),
        ]
        for epoch in shown
    ]
    stage = ["Stage"] if is_staged else []
    more = f"Of {count:,} epochs the last ones, and the best; history.csv has all." if len(shown) < count else ""
    lead = [element("p", escaped(more), "lead")] if more else []
    return join([*lead, table(["Epoch", *stage, *names], rows, numbers=len(names))])


def _attempts(result: ResultRecord) -> Html:
    attempts = list(result.attempts)
    if attempts and result.status != "completed":  # its cause stands at the top of the page
        attempts[-1] = attempts[-1].model_copy(update={"cause": ""})
    rows = [
        [
            escaped(f"{number}"),
            escaped(attempt_words(attempt, result.stages) if attempt.verdict is not Verdict.COMPLETED else "completed"),
            escaped(f"{attempt.batch_size:,}"),
            escaped(f"{attempt.micro_batch_size:,}"),
            escaped(duration_words(attempt.wall_seconds)),
        ]
        for number, attempt in enumerate(attempts, 1)
    ]
    return table(("Attempt", "Outcome", "Batch", "At once", "Time"), rows, numbers=3)


def _oom_events(result: ResultRecord) -> Html:
    rows = [
        [
            escaped(oom_position(event, result.stages)),
            escaped(f"{event.attempt:,}"),
            escaped(f"{event.micro_batch_size_before:,} to {event.micro_batch_size_after:,}"),
            escaped(duration_words(event.seconds_lost)),
        ]
        for event in result.oom_events
    ]
    return table(("Where", "Attempt", "At once", "Lost"), rows, numbers=3)


def _bad_images(result: ResultRecord) -> Html:
    return table(("Image", "Why"), [[escaped(image.path), escaped(image.reason)] for image in result.quarantined])
