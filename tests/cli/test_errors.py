"""The errors of a command: exit codes and one line on stderr; help and Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from autofit import api
from autofit.cli import run_command_line
from autofit.errors import (
    AutofitError,
    DoesNotFitError,
    InterruptedRunError,
    StorageError,
    TrainingFailedError,
    UserError,
)
from tests.api.test_result import finished
from tests.cli.fake_api import Calls, failure


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("epochs must be 1"), 2, "epochs must be 1"),
        (DoesNotFitError("not even one image"), 3, "not even one image"),
        (TrainingFailedError("SIGSEGV"), 4, "SIGSEGV"),
        (StorageError("the disk is full"), 4, "the disk is full"),
        (InterruptedRunError("go on with: autofit resume a"), 130, "go on with: autofit resume a"),
        (KeyboardInterrupt(), 130, "stopped"),
        (UserError("two\nlines  and\tmore"), 2, "two lines and more"),
        (AutofitError("of no kind"), 4, "of no kind"),
        (ZeroDivisionError("oh"), 4, "ZeroDivisionError: oh (a defect of autofit: the same command with --debug"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    "arguments", [["train", "photos"], ["resume", "a"], ["probe"], ["report", "a"], ["demo"]], ids=str
)
def test_each_error_is_one_line_and_an_exit_code(
    calls: Calls, capfd: pytest.CaptureFixture[str], arguments: list[str], error: BaseException, code: int, line: str
) -> None:
    """A script could not distinguish a typing error from a crash, or a user would not find the message."""
    calls.error = error
    assert run_command_line(arguments) == code
    # some Typers begin a new line after Ctrl-C, which a terminal shows as ^C
    shown = [text for text in capfd.readouterr().err.splitlines() if text not in {"", "looking around"}]
    assert len(shown) == 1
    assert shown[0].startswith(f"autofit: {line}")


def test_a_run_on_a_drive_that_cannot_be_written_is_summarised(
    calls: Calls, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Of a run in an archive nothing could be seen on the command line."""
    finished(tmp_path)
    calls.error = StorageError("the drive is read-only")
    assert run_command_line(["report", str(tmp_path)]) == 4
    shown = capsys.readouterr()
    assert shown.out.startswith("Trained 2 epochs")
    assert shown.err == "autofit: the drive is read-only\n"


@pytest.mark.parametrize(
    ("arguments", "message", "command"),
    [
        (["train"], "Missing argument 'DATA'", "autofit train"),
        (["resume"], "Missing argument 'DIR'", "autofit resume"),
        (["trian", "photos"], "No such command 'trian'", "autofit"),
        (["train", "photos", "--epoch-s", "3"], "No such option: --epoch-s", "autofit train"),
        (["train", "photos", "--dropout", "many"], "Invalid value for '--dropout'", "autofit train"),
        (["train", "photos", "--dropout", "some"], "Invalid value for '--dropout'", "autofit train"),
        (["train", "photos", "more"], "Got unexpected extra argument", "autofit train"),
        (["train", "photos", "--epochs"], "Option '--epochs' requires an argument", "autofit"),
        (["profiles", "show", "a", "b"], "Got unexpected extra argument", "autofit profiles show"),
        (["--nonsense"], "No such option: --nonsense", "autofit"),
    ],
    ids=str,
)
def test_a_usage_error_is_one_line_too(
    calls: Calls, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str, command: str
) -> None:
    """A typing error would get a box of five lines, or the help that it names would not have that command's flags."""
    line = failure(capsys, arguments)
    assert line.startswith(message)
    assert line.endswith(f"({command} --help)")
    assert calls.made == []


@pytest.mark.parametrize("arguments", [["--debug", "probe"], ["probe", "--debug"]], ids=str)
def test_debug_shows_the_traceback_at_any_place_in_the_command(
    calls: Calls, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """A defect could not be reported, or the flag would be refused at the end of the line, where users type it."""
    calls.error = ZeroDivisionError("oh")
    assert run_command_line(arguments) == 4
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("autofit: ZeroDivisionError: oh")


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """A user who types only `autofit` would get an error or no output."""
    assert run_command_line([]) == 0
    alone = capsys.readouterr()
    assert run_command_line(["--help"]) == 0
    assert alone == capsys.readouterr()
    assert [name for name in ("train", "resume", "report", "probe", "demo") if f"  {name} " not in alone.out] == []
    assert alone.err == ""


def test_on_windows_a_command_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user would get an ImportError of `fcntl`."""
    monkeypatch.setattr(sys, "platform", "win32")
    assert failure(capsys, ["train", "photos"]).startswith("autofit runs on Linux")


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_a_command_as_ctrl_c_does(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, asked: signal.Signals
) -> None:
    """A job that a batch system stops, or whose terminal is closed, would lose what it has trained."""

    def killed(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), asked)

    monkeypatch.setattr(api, "run", killed)
    signal.signal(asked, signal.SIG_DFL)  # the tests may run under nohup
    assert run_command_line(["train", "photos"]) == 130
    assert calls.made == []


def test_under_nohup_a_closed_terminal_stops_nothing(calls: Calls) -> None:
    """The run that was meant to outlive its terminal would end with it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert run_command_line(["train", "photos"]) == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert len(calls.made) == 1


def test_the_version_names_what_decides_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    """A bug report would lack the half of it."""
    assert run_command_line(["--version"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("autofit 0.1.0 (Python 3.")
    assert "tensorflow 2." in line
    assert "keras 3." in line
