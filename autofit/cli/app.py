"""The commands put together. Errors become exit codes here and nowhere else.

0 done · 2 bad input or usage · 3 does not fit · 4 failed for a reason that is not memory · 130 interrupted, resumable
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from autofit import refuse_windows
from autofit.cli import cache, machine, probe, profiles, run
from autofit.errors import AutofitError, UserError

INTERRUPTED = 130

app = typer.Typer(
    name="autofit",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train image classifiers without ever losing the run to memory.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def everywhere(
    context: typer.Context,
    *,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback with an error; anywhere in a command.")
    ] = False,
) -> None:
    """Train image classifiers without ever losing the run to memory."""
    del debug  # taken out by run_command_line, which must know of it also where parsing fails
    if context.invoked_subcommand is None:
        print(context.get_help())  # noqa: T201


for command in (run.train, probe.probe, run.resume, run.report, machine.doctor, run.demo):
    app.command()(command)
for group in (profiles.app, cache.app):
    app.add_typer(group)


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are one line on stderr."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leaves as Ctrl-C does
    debug = "--debug" in arguments
    rest = [argument for argument in arguments if argument != "--debug"]
    try:
        refuse_windows()
        _run_command(rest)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last door
        if debug:
            traceback.print_exception(error)
        code, text = _code_and_text(error)
        print(f"autofit: {' '.join(text.split())}", file=sys.stderr)  # noqa: T201
        return code
    return 0


def _run_command(arguments: Sequence[str]) -> None:
    if app(args=list(arguments), prog_name="autofit", standalone_mode=False) == INTERRUPTED:
        raise KeyboardInterrupt  # which some Typers return as an exit code, and others raise as Abort


def _code_and_text(error: BaseException) -> tuple[int, str]:
    """The exit code and the words for an error: ours, Ctrl-C, the parser's, or a defect."""
    if isinstance(error, AutofitError):
        return error.exit_code, str(error)
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return INTERRUPTED, "stopped"
    if hasattr(error, "format_message"):
        return UserError.exit_code, f"{error.format_message()} (autofit --help)"
    defect = f"{type(error).__name__}: {error} (a defect of autofit: the same command with --debug shows where)"
    return AutofitError.exit_code, defect
