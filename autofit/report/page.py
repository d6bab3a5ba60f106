"""A probe, a sweep or a run as one page of HTML: self-contained, without scripts or network requests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autofit.probing.recommend import recommended_speed
from autofit.probing.records import ProbeReport, SweepReport, Workload
from autofit.protocol.messages import Trial, Verdict
from autofit.report import plots
from autofit.report.classification_text import class_table, confused_list, confusion_table, pictures
from autofit.report.drawing import svg
from autofit.report.markup import Html, bar, bullets, cards, document, element, escaped, fragment, join, section, table
from autofit.report.probe_text import (
    fastest_trial,
    memory_share,
    noted_trial,
    ordered_trials,
    probe_lines,
    shown_memory,
    workload_words,
)
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
from autofit.report.sweep_text import (
    DOES_NOT_FIT,
    FAILED,
    fit_advice,
    image_words,
    size_words,
    sweep_lines,
    sweep_title,
    trains_differ,
)
from autofit.report.thumbnails import thumbnail_uri
from autofit.report.what_was_run import what_was_run
from autofit.report.words import attempt_words, bytes_words, count_of, duration_words, metric_words, speed_words
from autofit.runs.history import best_epoch, best_figures, finished_epochs, stage_of
from autofit.runs.predicted_images import ClassFigures, PredictedImages
from autofit.runs.result_record import ResultRecord
from autofit.runs.run_record import RunRecord

MOST_CLASSES_IN_A_TABLE = 20
WORST_IMAGES = 12


def probe_page(report: ProbeReport) -> str:
    """A probe as a page: what was found, memory and speed against the batch, every trial, the machine."""
    name = workload_words(report.workload)
    opening = [element("h1", escaped(name)), element("p", escaped("What fits on this machine, and how fast."), "lead")]
    return document(f"Probe: {name}", [*opening, *_probe_sections(report, 2), _machine(report)])


def probe_card(report: ProbeReport) -> str:
    """A probe for a cell of a notebook: what was found, memory and speed against the batch."""
    found = [[escaped(name), escaped(value)] for name, value in probe_lines(report)]
    curves = svg(plots.probe_figure(report, title="")) if report.trials else ""
    name = element("p", element("b", escaped(workload_words(report.workload))))
    return fragment([name, table((), found), Html(curves)])


def sweep_card(report: SweepReport) -> str:
    """A sweep for a cell of a notebook: one table of all networks."""
    return fragment([element("p", element("b", escaped(f"{sweep_title(report)}."))), _sweep_rows(report)])


def sweep_page(report: SweepReport) -> str:
    """A sweep as a page: one table and one figure of all networks, then the sections of each probe."""
    heading = element("h1", escaped("What fits on this machine, and how fast"))
    facts = [[escaped(name), escaped(value)] for name, value in sweep_lines(report, reasons=False)]
    picture = Html(svg(plots.sweep_figure(report, title=""), prefix="sweep-")) if report.probes else Html("")
    return document(
        sweep_title(report),
        [
            heading,
            element("p", escaped(f"{sweep_title(report)}."), "lead"),
            section("All of them", join([_sweep_rows(report), picture])),
            section("Found", table((), facts)),
            *(_probe_in_sweep(probe, number) for number, probe in enumerate(report.probes, 1)),
            *([_machine(report.probes[0])] if report.probes else []),
        ],
    )


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


def _probe_in_sweep(probe: ProbeReport, number: int) -> Html:
    parts = join(_probe_sections(probe, 3, prefix=f"probe{number}-"))
    return section(workload_words(probe.workload), parts)


def _probe_sections(report: ProbeReport, level: int, prefix: str = "") -> list[Html]:
    found = [[escaped(name), escaped(value)] for name, value in probe_lines(report)]
    curves = svg(plots.probe_figure(report, title=""), prefix) if report.trials else ""
    return [
        section("Found", table((), found), level),
        section("Memory and speed", Html(curves), level),
        section("Trials", _trials(report), level),
    ]


def _machine(report: ProbeReport) -> Html:
    rows = [_machine_row(name, value) for name, value in report.hardware.items() if value is not None]
    return section("Machine", table((), rows))


def _machine_row(name: str, value: str | float) -> list[Html]:
    """A fact about the machine; a field whose name ends in `_bytes` is shown in GB."""
    shown = f"{value}"
    if name.endswith("_bytes") and isinstance(value, int | float):
        shown = bytes_words(value)
    return [escaped(name.removesuffix("_bytes").replace("_", " ")), escaped(shown)]


def _trials(report: ProbeReport) -> Html:
    memory = f"Memory of {bytes_words(report.memory_limit_bytes)}"
    rows = [_trial_row(trial, report) for trial in ordered_trials(report)]
    return table(("Batch", "Verdict", memory, "", "Images/s", ""), rows)


def _trial_row(trial: Trial, report: ProbeReport) -> list[Html]:
    top, speed = fastest_trial(report), trial.images_per_second
    cells = [
        escaped(f"{trial.batch_size:,}"),
        element("span", escaped(noted_trial(trial, report)), "" if trial.verdict is Verdict.FITS else "bad"),
        bar(memory_share(trial, report)) if shown_memory(trial) else Html(""),
        escaped(shown_memory(trial)),
        bar(speed / top.images_per_second) if speed and top else Html(""),
        escaped(speed_words(speed) if speed else ""),
    ]
    return [element("span", cell, "soft") if cell and trial.saved else cell for cell in cells]


def _sweep_rows(report: SweepReport) -> Html:
    """The sweep's table; a network that does not fit or failed has the reason in place of its speed."""
    trains = ["Trains"] if trains_differ(report) else []
    headers = ["Network", "Size", *trains, "Images/s", "", "Recommended", "Largest", "An image", "Time"]
    best = max((recommended_speed(probe) for probe in report.probes), default=0.0)
    rows = [_name_cells(probe.workload, report) + _sweep_cells(probe, report, best) for probe in report.probes]
    failed = [_name_cells(f.workload, report) + _reason_cells(f"{FAILED}: {f.cause}", "") for f in report.failures]
    return table(headers, [*rows, *failed], numbers=5, kind="whole")


def _name_cells(workload: Workload, report: SweepReport) -> list[Html]:
    trains = [escaped(workload.trainable)] if trains_differ(report) else []
    return [escaped(workload.backbone), escaped(size_words(workload)), *trains]


def _sweep_cells(probe: ProbeReport, report: SweepReport, best: float) -> list[Html]:
    time = duration_words(probe.wall_seconds)
    if not probe.largest_feasible_batch:
        return _reason_cells(f"{DOES_NOT_FIT}: {fit_advice(probe, report)}", time)
    speed = recommended_speed(probe)
    figures = (f"{probe.recommended_batch:,}", f"{probe.largest_feasible_batch:,}", image_words(probe), time)
    return [bar(speed / best if best else 0.0), escaped(speed_words(speed)), *map(escaped, figures)]


def _reason_cells(reason: str, time: str) -> list[Html]:
    return [element("span", escaped(reason), "bad"), *[Html("")] * 4, escaped(time)]


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
