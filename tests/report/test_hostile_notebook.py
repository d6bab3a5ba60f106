"""What a notebook shows, and what `--json` prints, with hostile names: text, and nothing that acts."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autofit.api
from autofit.api.data_report import DataReport
from autofit.api.display import ClassReport, ConfusionMatrix, WorstImages
from autofit.api.estimate_result import EstimateResult
from autofit.api.evaluation_result import EvaluationResult
from autofit.api.export_result import ExportResult
from autofit.api.predictions import Predictions
from autofit.api.probe_result import ProbeResult, SweepResult
from autofit.api.result import Result
from autofit.cli.output import write_json
from autofit.cli.prediction_json import JsonAnswer
from autofit.probing.estimate import EstimateReport, Target, estimated
from autofit.probing.records import ProbeReport, SweepReport
from autofit.protocol.messages import BadImage, EpochEnd, Phase, Progress
from autofit.report.views import NotebookView
from autofit.runs.data_findings import DataFindings, FoundImage, LabelDoubt
from autofit.runs.predicted_images import ClassFigures, PredictedImage
from tests.api.test_result import finished
from tests.support.hostile_names import NAME, assert_harmless_lines, assert_harmless_page, poisoned
from tests.support.lines import GB, measured_line
from tests.support.records import make_evaluation, make_export

HOSTILE = NAME.replace("/", "").replace("\0", "")


class Bundles:
    """Takes what a view displays, in place of IPython."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def __call__(self, bundle: dict[str, str], **_: object) -> Bundles:
        """Display."""
        self.shown.append(bundle)
        return self

    update = __call__


def test_the_progress_of_a_notebook() -> None:
    """A file's name in a message, or a metric's, would run a script in the browser of whoever watches."""
    display = Bundles()
    times = iter(range(1000))
    view = NotebookView(sys.stdout, display, clock=lambda: float(next(times)))
    view.message(NAME)
    view.working(NAME, 1, 2)
    view.update(Progress(time=0.0, phase=Phase.TRAIN, steps=2, step=1, metrics={NAME: 0.5}), epochs=2)
    for epoch in range(3):
        view.epoch_done(EpochEnd(epoch=epoch, metrics={NAME: 0.5, "loss": 0.5}), epochs=3)
    view.close()
    assert len(display.shown) > 6
    for bundle in display.shown:
        assert_harmless_page(bundle["text/html"])
        assert_harmless_lines(bundle["text/plain"])


def of_predictions() -> Predictions:
    rows = np.array([[0.75, 0.25], [np.nan, np.nan]], np.float32)
    return Predictions.of(rows, (NAME, "b"), [NAME, NAME], [BadImage(path=NAME, reason=NAME)], multi_label=False)


def of_data() -> DataReport:
    image = FoundImage(path="x", label="x", split="train")
    doubts = [LabelDoubt(image=image, suggested="x", probability=0.1, suggested_probability=0.8)]
    found = DataFindings(root="x", images=1, classes=[], doubts=doubts, likely_wrong=1, empty_classes=["x"])
    return DataReport(poisoned(found))


def of_estimate() -> EstimateResult:
    target = Target("cpu", 4 * GB)
    report = EstimateReport(
        estimates=[estimated(measured_line(), target)], failures=[], measured=[measured_line()], wall_seconds=1.0
    )
    return EstimateResult.of(poisoned(report))


@pytest.fixture
def displayed(report: ProbeReport, sweep: SweepReport, tmp_path: Path) -> dict[type[Any], Callable[[], Any]]:
    """One of each thing that a cell of a notebook shows by itself."""
    figures = ClassFigures(name=NAME, images=1, predicted=1, precision=1.0, recall=None, f1=0.5)
    folder = tmp_path / HOSTILE.replace("\udcff\udc80", "")
    folder.mkdir()
    return {
        ConfusionMatrix: lambda: ConfusionMatrix(np.array([[3, 1], [2, 4]]), [NAME, NAME], NAME),
        ClassReport: lambda: ClassReport([figures]),
        WorstImages: lambda: WorstImages([PredictedImage(NAME, NAME, NAME, 0.5, 0.5)]),
        Predictions: of_predictions,
        DataReport: of_data,
        ProbeResult: lambda: ProbeResult.of(poisoned(report)),
        SweepResult: lambda: SweepResult.of(poisoned(sweep)),
        EstimateResult: of_estimate,
        Result: lambda: finished(folder, (NAME, "b")),
        EvaluationResult: lambda: EvaluationResult.of(make_evaluation(NAME)),
        ExportResult: lambda: ExportResult.model_construct(**dict(make_export(NAME))),
    }


def classes_with_a_view() -> set[type[Any]]:
    """All classes of the interface that a notebook shows by their own HTML."""
    modules = [importlib.import_module(f"autofit.api.{one.name}") for one in pkgutil.iter_modules(autofit.api.__path__)]
    found = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    own = {one for one in found if one.__module__.startswith("autofit.api.") and hasattr(one, "_repr_html_")}
    return {one for one in own if not any(other is not one and issubclass(other, one) for other in own)}


@pytest.mark.slow
def test_what_a_cell_shows_by_itself(displayed: dict[type[Any], Callable[[], Any]]) -> None:
    """A class's name would be a script in the notebook; or something new be shown that nobody has looked at."""
    assert set(displayed) == classes_with_a_view()
    for make in displayed.values():
        one = make()
        assert_harmless_page(one._repr_html_())
        if not isinstance(one, ProbeResult | SweepResult | EstimateResult):  # theirs is a Python literal
            assert_harmless_lines(repr(one))
        if hasattr(one, "summary"):
            assert_harmless_lines(one.summary())


def json_texts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> list[str]:
    """Predictions and a record as `--json -` prints them, and predictions in a file."""
    for target in ("-", str(tmp_path / "all.json")):
        with JsonAnswer(target, top=2) as answer:
            answer.add(of_predictions())
            answer.add(of_predictions())
    printed = capsys.readouterr().out
    texts = [printed, (tmp_path / "all.json").read_text()]
    for record in (make_evaluation(NAME), make_export(NAME), of_data().findings):
        write_json(record.to_json(), "-")
        texts.append(capsys.readouterr().out)
    return texts


def test_json_in_a_terminal_acts_on_nothing_and_loses_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`autofit predict --json -` of a stranger's photos would clear the screen; or a name come back as another."""
    texts = json_texts(capsys, tmp_path)
    for text in texts:
        assert text.isascii()
        assert_harmless_lines(text)
    for text in texts[:2]:
        told = json.loads(text)
        assert told["classes"] == [NAME, "b"]
        assert [image["path"] for image in told["images"]] == [NAME] * 4
        assert told["images"][1]["reason"] == NAME
    assert json.loads(texts[2])["classes"][0]["name"] == NAME
