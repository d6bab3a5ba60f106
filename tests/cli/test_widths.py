"""What a command shows, and its help, fits in a terminal of 80 columns and in one of 60."""

from __future__ import annotations

import pytest

from autofit.cli import run_command_line
from autofit.cli.app import all_commands

GROUP = all_commands()
COMMANDS = [
    [],
    *([name] for name in GROUP.commands),
    *([name, sub] for name, found in GROUP.commands.items() for sub in getattr(found, "commands", {})),
]
LONG_COMMANDS = {"train", "resume", "probe", "estimate", "predict", "evaluate", "check", "export", "extract", "demo"}


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "autofit")
def test_help_fits_the_terminal(
    command: list[str], columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The columns of flags and their meanings would be torn apart."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERMINAL_WIDTH", str(columns))
    assert run_command_line([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.lower().lstrip().startswith("usage: ")
    assert [line for line in shown.splitlines() if len(line.rstrip()) > columns] == []
    assert columns < 80 or "..." not in shown.partition("\nCommands:\n")[2], "a command's first sentence is cut"


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize(
    "command",
    [["--version"], ["doctor"], ["profiles", "list"], ["profiles", "path"], ["cache", "list"]],
    ids=" ".join,
)
def test_what_is_printed_fits_the_terminal(
    command: list[str], columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables would wrap where no one looks: in a terminal of the usual width, or in a window beside another."""
    monkeypatch.setenv("COLUMNS", str(columns))
    run_command_line(command)
    shown = capsys.readouterr().out
    assert shown
    assert [
        line for line in shown.splitlines() if len(line) > columns and "/" not in line and "(Python" not in line
    ] == []


@pytest.mark.parametrize("columns", [60, 80])
def test_an_error_is_wrapped_between_words_in_a_terminal_only(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that mends it would be torn apart in a word; or a script have to put a line together again."""
    monkeypatch.setenv("COLUMNS", str(columns))
    said = []
    for shown in (False, True):
        monkeypatch.setattr("autofit.cli.app.is_terminal", lambda _, shown=shown: shown)
        assert run_command_line(["train", "no-such-folder", "--image-size", "oh"]) == 2
        said.append(capsys.readouterr().err)
    alone, wrapped = said
    assert len(alone.splitlines()) == 1
    assert len(alone) > columns >= max(map(len, wrapped.splitlines()))
    assert wrapped.split() == alone.split()


def test_each_long_command_can_be_quiet() -> None:
    """A script that calls it each night would fill its log with bars; or a new command be forgotten."""
    quiet = {name for name, found in GROUP.commands.items() if any("--quiet" in p.opts for p in found.params)}
    assert quiet == LONG_COMMANDS
