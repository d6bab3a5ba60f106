"""`autofit check`: its exit codes, its files, and what goes to which stream."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autofit import api
from autofit.api.data_report import DataReport
from autofit.cli import run_command_line
from autofit.runs.data_findings import ClassSize, DataFindings

CLEAN = DataFindings(root="/photos", images=20, classes=[ClassSize(name="cat", train=20)])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """The arguments of each call; a folder named `bad` has an empty class."""
    calls: list[dict[str, object]] = []

    def check(data: str, **options: object) -> DataReport:
        calls.append({"data": data, **options})
        return DataReport(CLEAN.model_copy(update={"empty_classes": ["owl"]} if data == "bad" else {}))

    monkeypatch.setattr(api, "check", check)
    return calls


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("arguments", "code"), [(["good"], 0), (["bad"], 0), (["good", "--strict"], 0), (["bad", "--strict"], 1)]
)
def test_findings_fail_a_pipeline_only_if_it_asks(arguments: list[str], code: int) -> None:
    """A job that only looks would fail, or one that guards the data pass."""
    assert run_command_line(["check", *arguments]) == code


def test_json_goes_to_standard_output_alone_and_the_page_to_its_file(
    asked: list[dict[str, object]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program that reads the output would find words in it, or a person no page."""
    page = tmp_path / "page.html"
    assert run_command_line(["check", "bad", "--json", "-", "--html", str(page), "--no-labels"]) == 0
    assert json.loads(capsys.readouterr().out)["empty_classes"] == ["owl"]
    assert "owl" in page.read_text()
    assert asked[0]["find_wrong_labels"] is False
    assert run_command_line(["check", "good"]) == 0
    assert capsys.readouterr().out.startswith("20 images of 1 class (20 train).\n")
    assert asked[1]["find_wrong_labels"] is True


def test_a_page_that_cannot_be_written_is_refused_before_the_work(
    asked: list[dict[str, object]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An hour of looking would be lost."""
    assert run_command_line(["check", "good", "--html", str(tmp_path)]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert asked == []
