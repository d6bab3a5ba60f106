"""All commands together. This is the only module that turns errors into exit codes.

0 done · 1 found something (`check --strict`) · 2 bad input or usage · 3 does not fit
4 failed for a reason that is not memory · 130 interrupted, resumable
"""

from __future__ import annotations

import functools
import platform
import shutil
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.main import get_command

from autofit import __version__, refuse_windows
from autofit.cli import cache, check, doctor, estimate, export, extract, prediction, probe, profiles, training
from autofit.errors import AutofitError, UserError
from autofit.printable import one_line
from autofit.process.signals import stop_signals
from autofit.report.steady_stream import flush_what_can_be_shown, is_terminal, open_missing_streams, steady
from autofit.report.width import in_columns, wrapped
from autofit.shadowing import cause_in_a_shadow

INTERRUPTED = 130

app = typer.Typer(
    name="autofit",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train image classifiers without ever losing the run to memory.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def show_help_without_a_command(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the versions of autofit and what it runs on.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere in a command.")
    ] = False,
) -> None:
    """Train image classifiers without ever losing the run to memory."""
    del debug  # run_command_line has removed it: it must know of it even if parsing fails
    if version:
        print(_versions())  # noqa: T201
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())  # noqa: T201


COMMANDS = (
    training.train,
    probe.probe,
    estimate.estimate,
    training.resume,
    training.report,
    prediction.predict,
    prediction.evaluate,
    check.check,
    extract.extract,
    export.export,
    doctor.doctor,
    training.demo,
)
for command in COMMANDS:
    app.command()(command)
for group in (profiles.app, cache.app):
    app.add_typer(group)


@functools.cache
def all_commands() -> TyperGroup:
    """The commands with their parameters, read from their functions once in a process."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)  # noqa: S101 - it has several commands
    return group


def _versions() -> str:
    """Autofit's version, and those of what decides the result of a training."""
    from autofit.machine.hardware import installed_version  # noqa: PLC0415 - `--help` loads none of it

    found = [(name, installed_version(name)) for name in ("tensorflow", "keras", "numpy")]
    packages = [f"{name} {version}" for name, version in found if version]  # TensorFlow has wheels of other names
    return f"autofit {__version__} (Python {platform.python_version()}, {', '.join(packages)})"


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are one line on stderr."""
    open_missing_streams()
    debug = "--debug" in arguments
    rest = [argument for argument in arguments if argument != "--debug"]
    try:
        refuse_windows()
        with stop_signals(), in_columns(shutil.get_terminal_size().columns):
            return _run_command(rest)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - no error may reach the user as a traceback
        if debug:
            traceback.print_exception(error)
        code, text = _code_and_text(error)
        _complain(f"autofit: {one_line(text)}")
        return code
    finally:
        flush_what_can_be_shown()


def _complain(line: str) -> None:
    """Write the line of an error: for a person in a terminal wrapped between words, elsewhere one line to be parsed."""
    if is_terminal(sys.stderr):
        with in_columns(shutil.get_terminal_size().columns):
            line = wrapped(line)
    print(line, file=steady(sys.stderr))


def _run_command(arguments: Sequence[str]) -> int:
    """Run a command and return the exit code that it asks for."""
    try:
        code = all_commands().main(args=list(arguments), prog_name="autofit", standalone_mode=False)
    except SystemExit as error:  # Click's, with 1, where nobody reads a help any more
        if isinstance(error.__context__, BrokenPipeError):
            return 0
        raise
    if code == INTERRUPTED:
        raise KeyboardInterrupt  # some versions of Typer return an exit code for Ctrl-C, others raise Abort
    return code if isinstance(code, int) else 0


def _code_and_text(error: BaseException) -> tuple[int, str]:
    """The exit code and the message of an error: one of autofit, of the system, of usage, Ctrl-C, or a defect."""
    if isinstance(error, AutofitError):
        return error.exit_code, str(error)
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return INTERRUPTED, "stopped"
    if isinstance(error, OSError):
        from autofit.storage.system_errors import described  # noqa: PLC0415 - `--help` loads none of it

        return AutofitError.exit_code, described(error)
    if words := cause_in_a_shadow(error):
        return UserError.exit_code, words
    if hasattr(error, "format_message"):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "autofit"
        return UserError.exit_code, f"{error.format_message()} ({command} --help)"
    defect = f"{type(error).__name__}: {error} (a defect of autofit: the same command with --debug shows where)"
    return AutofitError.exit_code, defect
