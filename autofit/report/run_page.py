"""A run as one page of HTML: self-contained, without scripts or network requests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autofit.protocol.messages import Verdict
from autofit.report import plots
from autofit.report.classification_text import class_table, confused_list, confusion_table, pictures
from autofit.report.drawing import svg
from autofit.report.markup import Html, bullets, cards, document, element, escaped, join, section, table
from autofit.report.repeated_run import repeated_run
from autofit.report.run_text import (
    before_resuming,
    figure_words,
    headline,
    incidents,
    resume_command,
    stage_lines,
    test_figure,
    time_words,
    usage_code,
    usage_words,
)
from autofit.report.thumbnails import thumbnail_uri
from autofit.report.what_was_run import what_was_run
from autofit.report.words import attempt_words, count_of, duration_words, metric_words
from autofit.runs.history import best_epoch, best_figures, finished_epochs, stage_of
from autofit.runs.predicted_images import ClassFigures, PredictedImages
from autofit.runs.result_record import ResultRecord
from autofit.runs.run_record import RunRecord

MOST_CLASSES_IN_A_TABLE = 20
WORST_IMAGES = 12


def run_page(
    result: ResultRecord,
    *,
    labels: Sequence[str],
    model_path: Path,
    images_per_second: float | None = None,
    predicted: PredictedImages | None = None,
    by_label: Sequence[ClassFigures] = (),
    run: RunRecord | None = None,
) -> str:
    """A run as a page: how it ended, its curves, the problems it recovered from, how to use the model.

    Args:
        result: the content of `result.json`.
        labels: the class names, in the order of the model's outputs.
        model_path: the path of `model.keras` in the run directory.
        images_per_second: training speed, if it is known.
        predicted: what the best epoch's model says of the validation images, if it was kept.
        by_label: where an image may have several labels, the figures of each on the validation images, if known.
        run: the content of `run.json`.
    """
    curves = svg(plots.history_figure(result.history, result.best_epoch)) if finished_epochs(result.history) else ""
    return document(
        f"Run: {result.status}",
        [
            element("h1", escaped(headline(result, images_per_second)), "" if result.status == "completed" else "bad"),
            _run_facts(result),
            section("Curves", Html(curves)),
            *(_judged(predicted, result) if predicted else []),
            *([section("Label by label", class_table(by_label))] if by_label else []),
            section("What happened", bullets([*stage_lines(result), *incidents(result)])),
            section("Words of warning", bullets(result.warnings)),
            _next(result, labels, model_path),
            *([section("What was run", what_was_run(run, result))] if run else []),
            *([section("To repeat it", repeated_run(run))] if run else []),
            section("Epochs", _epochs(result)),
            section("Attempts", _attempts(result)),
            section("Out of memory", _oom_events(result)),
            section(f"Images left out: {len(result.quarantined):,}", _bad_images(result)),
        ],
    )


def _judged(predicted: PredictedImages, result: ResultRecord) -> list[Html]:
    """The validation images class by class, and those that the model is most wrong about."""
    counts, names = predicted.confusion_counts(), predicted.class_names
    matrix = confusion_table if len(names) <= MOST_CLASSES_IN_A_TABLE else confused_list
    before = " from before it was fitted once more on all images" if any(s.refitted for s in result.stages) else ""
    whose = f"On {count_of(len(predicted), 'validation image')}, by the best model{before}."
    worst = [image for image in predicted.worst(WORST_IMAGES) if not image.is_right]
    return [
        section("Class by class", join([element("p", escaped(whose), "lead"), class_table(predicted.class_figures())])),
        section("Which class is taken for which", matrix(counts, names)),
        section("The worst mistakes", pictures(worst, thumbnail_uri) if worst else Html("")),
    ]


def _run_facts(result: ResultRecord) -> Html:
    best = best_epoch(result.history, result.best_epoch)
    figures = best_figures(result.history, best) if best is not None else []
    tested = test_figure(result)
    return cards(
        [
            ("Epochs", f"{finished_epochs(result.history):,}"),
            *([("Best epoch", f"{best + 1:,}")] if best is not None else []),
            *((name.capitalize(), figure_words(name, value, result)) for name, value in figures),
            *([tested] if tested else []),
            ("Time", time_words(result)),
            ("Out of memory", count_of(len(result.oom_events), "time") if result.oom_events else "never"),
            ("Result changed", "yes" if result.result_changed else "no"),
        ]
    )


def _next(result: ResultRecord, labels: Sequence[str], model_path: Path) -> Html:
    if result.status != "completed":
        advice = element("p", escaped(before_resuming(result)))
        command = element("pre", escaped(resume_command(model_path.parent)))
        best = element("p", escaped(f"The best model so far is {model_path}.")) if model_path.is_file() else Html("")
        return section("To continue", join([advice, command, best]))
    code = element("pre", join(escaped(line) for line in usage_code(model_path)))
    return section("To use the model", join([code, element("p", escaped(usage_words(labels, result)))]))


def _epochs(result: ResultRecord) -> Html:
    names, best = list(result.history), best_epoch(result.history, result.best_epoch)
    rows = [
        [
            element("b", escaped(f"{epoch + 1} (best)")) if epoch == best else escaped(f"{epoch + 1}"),
            *([escaped(stage_of(result.stages, epoch))] if len(result.stages) > 1 else []),
            *(
                escaped(metric_words(column[epoch]) if epoch < len(column) else "")
                for column in result.history.values()
            ),
        ]
        for epoch in range(finished_epochs(result.history))
    ]
    stage = ["Stage"] if len(result.stages) > 1 else []
    return table(["Epoch", *stage, *names], rows, numbers=len(names))


def _attempts(result: ResultRecord) -> Html:
    rows = [
        [
            escaped(f"{number}"),
            escaped(attempt_words(attempt) if attempt.verdict is not Verdict.COMPLETED else "completed"),
            escaped(f"{attempt.batch_size:,}"),
            escaped(f"{attempt.micro_batch_size:,}"),
            escaped(duration_words(attempt.wall_seconds)),
        ]
        for number, attempt in enumerate(result.attempts, 1)
    ]
    return table(("Attempt", "Outcome", "Batch", "At once", "Time"), rows, numbers=3)


def _oom_events(result: ResultRecord) -> Html:
    rows = [
        [
            escaped(event.phase.value),
            escaped(f"{event.attempt:,}"),
            escaped(f"{event.epoch + 1:,}"),
            escaped(f"{event.step + 1:,}"),
            escaped(f"{event.micro_batch_size_before:,} to {event.micro_batch_size_after:,}"),
            escaped(duration_words(event.seconds_lost)),
        ]
        for event in result.oom_events
    ]
    return table(("Phase", "Attempt", "Epoch", "Step", "At once", "Lost"), rows, numbers=5)


def _bad_images(result: ResultRecord) -> Html:
    return table(("Image", "Why"), [[escaped(image.path), escaped(image.reason)] for image in result.quarantined])
