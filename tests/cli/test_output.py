"""The output of a command: JSON, summary and files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from autofit.api.evaluation_result import EvaluationResult
from autofit.api.export_result import ExportResult
from autofit.api.extracted import Extracted
from autofit.cache.store import CacheList
from autofit.cli import run_command_line
from autofit.cli.output import write_json
from autofit.doctor.records import Diagnosis
from autofit.probing.estimate import EstimateReport
from autofit.probing.records import ProbeReport, SweepReport
from autofit.profiles.records import ProfileList
from autofit.runs.data_findings import DataFindings
from autofit.runs.result_record import ResultRecord
from autofit.storage import safe_files
from autofit.storage.records import Record
from tests.cli.fake_api import Calls, FinishedRun, failure, found


@pytest.mark.parametrize("arguments", [["train", "photos"], ["resume", "a"], ["report", "a"], ["demo"]], ids=str)
def test_stdout_has_only_the_json(calls: Calls, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """A program that reads stdout would find a progress bar or a summary in the JSON."""
    assert run_command_line([*arguments, "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"status": "completed", "labels": ["café"]}
    assert out.isascii()  # so that any stream can encode it
    assert ("looking around" in err) == (arguments[0] != "report")
    assert len(calls.made) == 1


@pytest.mark.parametrize(
    "record",
    [
        CacheList, DataFindings, Diagnosis, EstimateReport, EvaluationResult, ExportResult, Extracted, ProbeReport,
        ProfileList, ResultRecord, SweepReport,
    ],
)  # fmt: skip
def test_what_a_command_writes_as_json_says_first_what_it_is(record: type[Record]) -> None:
    """A program that reads it could not tell a later format from this one."""
    first, field = next(iter(record.model_fields.items()))
    assert (first, field.alias) == ("schema_", "schema")
    assert str(field.default).startswith("autofit/")


def test_json_goes_to_a_file_and_the_summary_to_stdout(
    calls: Calls, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The JSON or the summary would be lost."""
    assert run_command_line(["train", "photos", "--json", str(tmp_path / "x.json")]) == 0
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["labels"] == ["café"]
    assert capsys.readouterr().out == "Trained 2 epochs in 3 s.\n"
    assert len(calls.made) == 1


def test_a_summary_that_the_console_cannot_encode_is_still_printed(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After hours of training the summary would raise a UnicodeEncodeError, and the exit code would be a failure's."""
    monkeypatch.setattr(FinishedRun, "summary", lambda _: "classes: café")
    with (tmp_path / "stdout").open("w", encoding="ascii") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert run_command_line(["report", "a"]) == 0
    assert (tmp_path / "stdout").read_text(encoding="ascii") == "classes: caf?\n"
    assert len(calls.made) == 1


@pytest.mark.slow
def test_a_probe_is_shown_and_written_in_each_format(
    calls: Calls, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A format of a probe's report would be missing or empty."""
    files = {name: tmp_path / f"probe.{name}" for name in ("json", "png", "html")}
    arguments = ["--json", files["json"], "--plot", files["png"], "--report", files["html"]]
    assert run_command_line(["probe", *map(str, arguments)]) == 0
    assert ProbeReport.load(files["json"]) == calls.report
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert "<html" in files["html"].read_text(encoding="utf-8")
    assert "64" in capsys.readouterr().out


def test_stdout_has_only_the_json_of_a_probe(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    """A program that reads stdout would find a table in the JSON."""
    assert run_command_line(["probe", "--json", "-"]) == 0
    assert ProbeReport.model_validate_json(capsys.readouterr().out) == calls.report


def test_a_probe_without_a_size_that_fits_exits_with_3(
    calls: Calls, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A script would continue as if a size fitted, or have no report of the trials."""
    calls.report = found(largest=0)
    assert run_command_line(["probe", "--json", str(tmp_path / "x.json")]) == 3
    assert "autofit: not even one image at a time fits (limited by the host)" in capsys.readouterr().err
    assert ProbeReport.load(tmp_path / "x.json").largest_feasible_batch == 0


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        (["train", "photos", "--json"], "file/x.json"),
        (["resume", "a", "--json"], "file/x.json"),
        (["report", "a", "--json"], "file/x.json"),
        (["demo", "--json"], "file/x.json"),
        (["probe", "--json"], "file/x.json"),
        (["probe", "--plot"], "file/x.png"),
        (["probe", "--report"], "file/x.html"),
        (["train", "photos", "--json"], "file/new/x.json"),
        (["train", "photos", "--json"], "folder"),
        (["probe", "--plot"], "folder"),
    ],
    ids=str,
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    calls: Calls,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    target: str,
) -> None:
    """The result of an hour of training would be lost."""
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    assert failure(capsys, [*arguments, target]).startswith(f"{target} cannot be written")
    assert calls.made == []


def test_missing_folders_of_a_file_are_made(calls: Calls, tmp_path: Path) -> None:
    """A command would be refused for a folder that `--run-dir` and `--out` make."""
    assert run_command_line(["train", "photos", "--quiet", "--json", str(tmp_path / "new" / "results" / "x.json")]) == 0
    assert json.loads((tmp_path / "new" / "results" / "x.json").read_text(encoding="utf-8"))["status"] == "completed"
    assert len(calls.made) == 1


def test_a_tilde_that_no_shell_has_replaced_is_the_home(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bash leaves the `~` of `--json=~/x.json`; a folder of that name would have to be made, in the working folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_command_line(["train", "photos", "--json=~/x.json", "--quiet"]) == 0
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["status"] == "completed"
    assert len(calls.made) == 1


def test_a_disk_that_became_full_is_named(
    calls: Calls, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An OSError would be reported as a defect of autofit."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "x.json").write_text("of yesterday", encoding="utf-8")
    monkeypatch.setattr(safe_files, "fsync_file", full)
    assert run_command_line(["train", "photos", "--json", str(tmp_path / "x.json")]) == 4
    out, err = capsys.readouterr()
    assert out == "Trained 2 epochs in 3 s.\n"
    assert "x.json cannot be written (No space left" in err
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == "of yesterday"
    assert len(calls.made) == 1


@pytest.mark.parametrize("target", ["-", "file"])
def test_numbers_that_json_does_not_have_are_null(
    target: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A strict reader would refuse the whole result for one epoch whose loss was lost."""
    monkeypatch.chdir(tmp_path)
    write_json('{"val_loss": [0.5, NaN, Infinity, -Infinity], "name": "Käfer"}', target)
    text = capsys.readouterr().out if target == "-" else Path("file").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail) == {"val_loss": [0.5, None, None, None], "name": "Käfer"}
