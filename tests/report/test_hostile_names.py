"""Every writer with hostile names: none reaches a terminal, page, notebook, plot or table as anything but text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from autofit import errors
from autofit.api.data_call import data_call
from autofit.api.predictions import Predictions
from autofit.api.predictions_csv import CsvFile
from autofit.cache.store import CacheList, EntrySummary
from autofit.config.options import make_options
from autofit.doctor.records import Diagnosis, Finding, Severity
from autofit.printable import as_cell
from autofit.probing.records import ProbeReport, SweepReport
from autofit.profiles.records import ProfileList, ProfileSummary
from autofit.protocol.messages import BadImage, EpochEnd, Phase, Progress, StageRecord, Verdict
from autofit.report import (
    cache_text,
    classification_text,
    confusion_plot,
    data_page,
    data_text,
    doctor_text,
    export_text,
    markup,
    page,
    plots,
    prediction_text,
    probe_text,
    profile_text,
    progress_text,
    repeated_run,
    result_card,
    run_page,
    run_sections,
    run_text,
    sweep_plot,
    sweep_text,
    views,
    what_was_run,
)
from autofit.report.epoch_table import EpochTable
from autofit.runs.data_findings import ClassSize, DataFindings, FoundImage, ImageGroup, LabelDoubt
from autofit.runs.predicted_images import ClassFigures, Confusion, PredictedImage
from autofit.runs.result_record import ResultRecord
from autofit.runs.run_record import RunRecord
from tests.support.hostile_names import FORMULAS, NAME, PARTS, assert_harmless_lines, assert_harmless_page, poisoned
from tests.support.machines import make_hardware
from tests.support.records import make_evaluation, make_export, make_plan

HISTORY = {"loss": [0.5, 0.4], NAME: [0.1, 0.2], f"val_{NAME}": [0.1, 0.2]}
COUNTS = np.array([[3, 1], [2, 4]])
HOSTILE_PATH = Path("/runs") / NAME.replace("/", "").replace("\0", "")


@pytest.fixture
def result(make_result: Callable[..., ResultRecord], make_attempt: Callable[..., Any]) -> ResultRecord:
    """A run with a bad image, a warning, stages, failures and metrics of the user's, all of hostile names."""
    made = make_result(
        status="failed",
        cause="x",
        history=HISTORY,
        attempts=[make_attempt(Verdict.CRASHED, "x"), make_attempt(Verdict.COMPLETED)],
        quarantined=[BadImage(path="x", reason="x")],
        warnings=["x"],
        environment={"x": "x"},
        stages=[StageRecord(name="head", method="solved", epochs=1, cut_short="x")],
        data=findings(),
    )
    return poisoned(made)


def a_run() -> RunRecord:
    """A run of a table, of which all names are hostile."""
    data = {
        "root": "x",
        "class_names": ["x"],
        "train_count": 8,
        "validation_count": 2,
        "skipped_files": 0,
        "fingerprint": "0",
    }
    call = data_call("x", None, "y", path_column="x", label_column="x", images_in="x")
    fields = {
        "options": make_options().model_dump(),
        "data": data,
        "plan": make_plan().model_dump(),
        "started": 0.0,
        "has_callbacks": False,
    }
    run = RunRecord.model_validate(fields | {"call": call and call.model_dump()})
    return poisoned(run).model_copy(update={"options": run.options})


def findings() -> DataFindings:
    """One thing of each kind."""
    image = FoundImage(path="x", label="x", split="train")
    return poisoned(
        DataFindings(
            root="x",
            images=4,
            classes=[ClassSize(name="x", train=3), ClassSize(name="y", train=1)],
            understood=["x"],
            empty_classes=["x"],
            tiny_classes=["x"],
            unreadable=[BadImage(path="x", reason="x")],
            same=[ImageGroup(images=[image, image])],
            alike=[ImageGroup(images=[image, image])],
            doubts=[LabelDoubt(image=image, suggested="x", probability=0.1, suggested_probability=0.8)],
            likely_wrong=1,
            labels_note="x",
            copies_note="x",
        )
    )


def shown(table: object, width: int = 100) -> str:
    """A table of rich as a terminal without colours shows it."""
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(table)
    return stream.getvalue()


def run_of(made: ResultRecord) -> dict[str, str]:
    """A run in words, in a terminal's."""
    run = a_run()
    return {
        "summary": run_text.run_summary(made, labels=[NAME], model_path=HOSTILE_PATH),
        "failure": "\n".join([*run_text.attempt_lines(made), *run_text.bad_image_lines(made.quarantined)]),
        "resume": run_text.resume_command(HOSTILE_PATH) + run_text.report_command(HOSTILE_PATH),
        "command": str(repeated_run.repeating_command(run)),
    }


def test_a_run_in_a_terminal(result: ResultRecord) -> None:
    """A file's name would clear the screen, or write the clipboard."""
    for text in run_of(result).values():
        assert_harmless_lines(text)


def test_a_run_as_a_page_and_a_card(result: ResultRecord) -> None:
    """A class's name would be a script."""
    run = a_run()
    samples = [run_sections.SampleImage(NAME, NAME)]
    figures = [ClassFigures(name=NAME, images=1, predicted=1, precision=1.0, recall=1.0, f1=1.0)]
    again = repeated_run.repeated_run(run, HOSTILE_PATH, is_completed=False)
    for text in (
        run_page.run_page(result, labels=[NAME], model_path=HOSTILE_PATH, run=run, samples=samples, by_label=figures),
        result_card.result_card(result, run_dir=HOSTILE_PATH, model_path=HOSTILE_PATH),
        markup.document(NAME, [what_was_run.what_was_run(run, result), again]),
        run_sections.samples_section(samples, lambda _: "data:,x"),
    ):
        assert_harmless_page(text)


def test_what_was_found_in_the_data() -> None:
    """`autofit check` is what one runs on a stranger's photos first."""
    assert_harmless_lines(data_text.data_summary(findings()))
    assert_harmless_page(data_page.data_page(findings(), lambda _: None))
    assert_harmless_page(data_page.data_card(findings(), lambda _: None))


@pytest.mark.slow
def test_probes_and_sweeps(report: ProbeReport, sweep: SweepReport) -> None:
    """The name of a user's own network, or of a processor, would be an escape sequence."""
    one, many = poisoned(report), poisoned(sweep)
    for text in (
        probe_text.probe_text(one),
        shown(probe_text.probe_table(one)),
        sweep_text.sweep_text(many),
        shown(sweep_text.sweep_table(many)),
        "\n".join([*probe_text.probe_facts(one), *sweep_text.sweep_facts(many)]),
    ):
        assert_harmless_lines(text)
    for text in (page.probe_page(one), page.probe_card(one), page.sweep_page(many), page.sweep_card(many)):
        assert_harmless_page(text)


def labels_of(figure: Any) -> list[str]:
    """All text in a plot."""
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.slow
def test_plots(report: ProbeReport, sweep: SweepReport) -> None:
    """Matplotlib would take a name for mathematics, or end at a character that no font has."""
    figures = [
        confusion_plot.confusion_figure(COUNTS, [NAME, "$\\frac$"], "a title"),
        plots.history_figure(HISTORY),
        plots.probe_figure(poisoned(report), "a title"),
        sweep_plot.sweep_figure(poisoned(sweep), "a title"),
    ]
    for figure in figures:
        for text in labels_of(figure):
            assert_harmless_lines(text)
        figure.savefig(io.BytesIO(), format="png")


def test_predictions_and_evaluations() -> None:
    """The images of a stranger are predicted, and named."""
    best = [[(NAME, 0.9), (NAME, 0.1)], []]
    for text in (
        "\n".join(prediction_text.prediction_lines([NAME, NAME], best)),
        prediction_text.file_words(NAME, 2, 1, {NAME: 1}),
        "\n".join(classification_text.confusion_lines(COUNTS, [NAME, NAME])),
        "\n".join(classification_text.confused_lines(COUNTS, [NAME, NAME])),
    ):
        assert_harmless_lines(text)
    for part in (
        prediction_text.prediction_table([NAME, NAME], best),
        classification_text.confusion_table(COUNTS, [NAME, NAME]),
        classification_text.confused_list([Confusion(2, 1, 0)], [NAME, NAME]),
        prediction_text.evaluation_card(make_evaluation(NAME)),
        export_text.export_card(make_export(NAME), HOSTILE_PATH),
    ):
        assert_harmless_page(part)


def test_figures_of_each_class() -> None:
    """A class's name would move the table's columns, or more."""
    figures = [ClassFigures(name=NAME, images=1, predicted=1, precision=1.0, recall=None, f1=0.5)]
    assert_harmless_lines("\n".join(classification_text.class_lines(figures)))
    assert_harmless_page(classification_text.class_table(figures))
    image = PredictedImage(NAME, NAME, NAME, 0.5, 0.5)
    assert_harmless_lines(classification_text.image_line(image))
    assert_harmless_page(classification_text.pictures([image], lambda _: "data:,x"))


def test_lists_and_the_doctor() -> None:
    """A profile or a cache entry of a stranger's would do something when it is listed."""
    entry = EntrySummary(name="x", kind="features", about={"x": "x"}, images=1, size_bytes=1, last_used=0.0)
    listing = CacheList.model_construct(folder=NAME, limit_bytes=1, entries=[poisoned(entry)])
    finding = Finding(severity=Severity.WARNING, topic="disk", text="x", advice="x", command="x")
    diagnosis = Diagnosis(hardware=make_hardware(), versions={"x": "x"}, environment={"X": "x"}, findings=[finding])
    profile = ProfileSummary(fingerprint="x", device_name="x", entries=1, newest=0.0, origin="own")
    profiles = ProfileList(folder=NAME, profiles=[poisoned(profile)])
    for text in (
        cache_text.cache_text(listing),
        doctor_text.doctor_text(poisoned(diagnosis)),
        profile_text.profiles_text(profiles),
    ):
        assert_harmless_lines(text)


def test_evaluations_and_exports() -> None:
    """A class's name, or a folder's, would act on the terminal."""
    assert_harmless_lines(prediction_text.evaluation_text(make_evaluation(NAME)))
    assert_harmless_lines("\n".join(export_text.export_lines(make_export(NAME), HOSTILE_PATH)))


def test_progress() -> None:
    """User code names metrics; a message names files."""
    beat = Progress(time=0.0, phase=Phase.TRAIN, steps=2, step=1, metrics={NAME: 0.5})
    end = EpochEnd(epoch=0, metrics={NAME: 0.5})
    stream = io.StringIO()
    view = views.PlainView(stream)
    view.message(NAME)
    view.update(beat, epochs=2)
    view.epoch_done(end, epochs=2)
    assert_harmless_lines(stream.getvalue())
    assert_harmless_lines(progress_text.describe_epoch(end, 2) + " ".join(progress_text.describe(beat, 2).facts))
    table = EpochTable()
    table.add(end, 2, 1.0)
    table.add(end, 2, 1.0)
    assert_harmless_page(table.html())


@pytest.mark.parametrize("kind", [errors.UserError, errors.StorageError, errors.DoesNotFitError])
def test_errors(kind: type[errors.AutofitError]) -> None:
    """Whatever an error names would act on the terminal that shows it, or on the notebook's."""
    error = kind(f"the file {NAME} cannot be read")
    assert_harmless_lines(str(error))
    assert_harmless_lines("".join(error._render_traceback_()))
    assert len(str(kind(NAME * 99))) <= errors.MOST_CHARACTERS


@pytest.mark.parametrize("name", [*PARTS, "all"])
def test_a_record_keeps_a_name_of_any_bytes(name: str, make_result: Callable[..., ResultRecord]) -> None:
    """A check of a folder called in Latin-1 would end in a traceback, or name other files than there are."""
    text = PARTS.get(name, NAME)
    image = FoundImage(path=f"/photos/{text}", label=text, split="train")
    made = make_result(data=DataFindings(root=text, images=1, classes=[], same=[ImageGroup(images=[image])]))
    saved = made.to_json().encode()
    assert ResultRecord.model_validate_json(saved) == made
    assert min(b"".join(saved.splitlines())) >= ord(" ")
    json.loads(saved)


@pytest.mark.parametrize("name", [*FORMULAS, NAME])
def test_a_table_of_predictions_computes_nothing_and_loses_nothing(tmp_path: Path, name: str) -> None:
    """A spreadsheet would run what a folder is called; or the table not say which file it was."""
    rows = np.array([[0.75, 0.25]], np.float32)
    with CsvFile(tmp_path / "out.csv") as file:
        file.add(Predictions.of(rows, (name, "other"), [name], [], multi_label=False))
    with (tmp_path / "out.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        header, row = csv.reader(stream)
    assert header[3] == row[0] == row[1] == as_cell(name)
    assert row[0].lstrip("'") == name
    assert not row[0].startswith(("=", "+", "-", "@", "\t", "\r"))
