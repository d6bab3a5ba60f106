"""Tests of the command `autofit profiles`: its output, its files and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from autofit.cli import run_command_line
from autofit.machine.hardware import Hardware, detect, fingerprint
from autofit.probing.records import ProbeReport, Workload
from autofit.profiles import store as store_module
from autofit.profiles.store import ProfileStore
from autofit.protocol.job import ExtractionSpeed

MakeReport = Callable[..., ProbeReport]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of profiles that the commands use, and none that come with autofit."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("AUTOFIT_PROFILES", str(tmp_path / "profiles"))
    monkeypatch.setattr(store_module, "shipped_folder", lambda: None)
    return tmp_path / "profiles"


@pytest.fixture
def here(folder: Path, make_report: MakeReport) -> str:
    """A probe on this machine is saved; its fingerprint."""
    machine = detect()
    ProfileStore(folder, None, pytest.fail).save(make_report(), machine, 7.0, limit_is_given=True)
    return fingerprint(machine)


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """A user who does not know the commands would get an error instead of their names."""
    assert run_command_line(["profiles"]) == 0
    assert {"list", "show", "export", "import", "path"} <= set(capsys.readouterr().out.split())


def test_this_machine_is_listed_and_shown(here: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody could look at the saved measurements."""
    assert run_command_line(["profiles", "list"]) == 0
    assert here in capsys.readouterr().out
    for arguments in ([], [here[:6]]):
        assert run_command_line(["profiles", "show", *arguments]) == 0
        assert capsys.readouterr().out.startswith(f"Machine {here} (yours)\n")
    assert run_command_line(["profiles", "path"]) == 0
    assert capsys.readouterr().out == f"{folder}\n"


def test_the_list_and_a_profile_can_be_had_as_json(here: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Another program would have to read a table."""
    assert run_command_line(["profiles", "list", "--json", "-"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [profile["fingerprint"] for profile in listed["profiles"]] == [here]
    assert run_command_line(["profiles", "show", "--json", "-"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["schema"], shown["fingerprint"]) == ("autofit/profile/2", here)


def test_a_profile_is_exported_and_imported(
    here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A profile could not be carried to another machine."""
    file = str(tmp_path / "out.json")
    assert run_command_line(["profiles", "export", file, "--machine", here]) == 0
    monkeypatch.setenv("AUTOFIT_PROFILES", str(tmp_path / "elsewhere"))
    assert run_command_line(["profiles", "import", file]) == 0
    assert f"1 probe of the machine {here} added." in capsys.readouterr().out
    assert run_command_line(["profiles", "show", here]) == 0


def test_an_extraction_is_shown_exported_and_imported(
    folder: Path,
    make_speed: Callable[..., ExtractionSpeed],
    workload: Workload,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nobody could see where the next extraction starts, or an export would say that it is empty."""
    ProfileStore(folder, None, pytest.fail).save_extraction(make_speed(), workload, detect(), 7.0)
    file = str(tmp_path / "out.json")
    assert run_command_line(["profiles", "show"]) == 0
    line = "extraction: MobileNetV2 at 160: 32 images at once, 230 images/s"
    assert line in capsys.readouterr().out.splitlines()
    assert run_command_line(["profiles", "export", file]) == 0
    assert ": 1 extraction of the machine " in capsys.readouterr().out
    monkeypatch.setenv("AUTOFIT_PROFILES", str(tmp_path / "elsewhere"))
    assert run_command_line(["profiles", "import", file]) == 0
    assert capsys.readouterr().out.startswith("1 extraction of the machine ")
    assert run_command_line(["profiles", "show"]) == 0
    assert line in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("command", [["show"], ["show", "ffff"], ["export", "x.json"], ["import", "missing.json"]])
def test_a_missing_profile_or_file_is_bad_input(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user would get a traceback, or an empty file that looks like an export."""
    monkeypatch.chdir(tmp_path)
    assert run_command_line(["profiles", *command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("autofit: ")
    assert list(tmp_path.iterdir()) == []


def test_a_warning_does_not_spoil_the_json(
    folder: Path, cpu: Hardware, make_report: MakeReport, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program that reads standard output would fail on a message about a damaged file."""
    ProfileStore(folder, None, pytest.fail).save(make_report(), cpu, 7.0, limit_is_given=True)
    (folder / "bad.json").write_text("{")
    assert run_command_line(["profiles", "list", "--json", "-"]) == 0
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)["profiles"]) == 1
    assert shown.err.startswith("autofit: profile ")
