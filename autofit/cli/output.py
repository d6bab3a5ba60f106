"""The output of a command: progress on stderr, the result on stdout or in the files that the user named."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from autofit.errors import StorageError, UserError
from autofit.storage.user_path import user_path

if TYPE_CHECKING:
    from rich.table import Table

    from autofit.report.views import ProgressView


def progress(*, quiet: bool = False) -> ProgressView:
    """Bars or lines on standard error, so that standard output stays free for the result; nothing if quiet."""
    from autofit.report.progress import progress_view  # noqa: PLC0415 - `--help` loads none of it

    return progress_view(sys.stderr, quiet=quiet)


def require_writable(file: str | Path | None) -> None:
    """Check, before work that takes minutes, that the result can be written to a file; None and `-` need no file.

    Missing folders of it are made when it is written.

    Raises:
        UserError: the file cannot be written.
    """
    if file is None or file == "-":
        return
    path = user_path(file).absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    if there != path and not there.is_dir():
        raise UserError(f"{file} cannot be written ({there} is no folder): give another file")
    if path.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"{file} cannot be written (a folder, or no permission): give another file")


def write_text(text: str, file: str | Path) -> None:
    """Write text to a file that the user named, whole or not at all.

    Raises:
        StorageError: the file cannot be written; what was there is unchanged.
    """
    from autofit.storage.safe_files import write_for_user  # noqa: PLC0415 - `--help` loads none of it

    try:
        write_for_user(user_path(file), text.encode())
    except OSError as error:
        from autofit.storage.system_errors import explained  # noqa: PLC0415

        raise StorageError(explained(error, f"{file} cannot be written")) from error


def say(text: str) -> None:
    """Write a result to standard output; a pipe whose reader has ended (`| head`) is no error.

    Raises:
        StorageError: standard output is a file that cannot be written.
    """
    from autofit.report.views import write  # noqa: PLC0415

    try:
        write(sys.stdout, text + "\n")
    except BrokenPipeError:
        pass
    except OSError as error:
        from autofit.storage.system_errors import explained  # noqa: PLC0415

        raise StorageError(explained(error, "standard output cannot be written")) from None


def note_on_stderr(text: str) -> None:
    """Write a line to standard error, which may be closed: standard output is for the result."""
    from autofit.report.steady_stream import steady  # noqa: PLC0415

    print(f"autofit: {text}", file=steady(sys.stderr))


def do_all(*steps: Callable[[], None]) -> None:
    """Do all steps that show and write a result, also those after a step that fails.

    Raises:
        Exception: the first exception that a step raised; raised after all steps.
    """
    failed: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - raised below
            failed.append(error)
    if failed:
        raise failed[0]


def terminal_safe(json: str) -> str:
    """ASCII JSON, which every stream can encode, with DEL escaped, which `json.dumps` leaves as it is."""
    return json.replace("\x7f", r"\u007f")


def write_json(text: str, target: str | None) -> None:
    """Write a record's JSON to a file or to standard output (`-`); None writes nothing.

    A number that is not finite, such as the loss of an epoch that was lost, becomes null: JSON has none.
    """
    if target is None:
        return
    import json  # noqa: PLC0415 - only if the user asked for JSON

    plain = json.loads(text, parse_constant=lambda _: None)
    if target == "-":
        say(terminal_safe(json.dumps(plain, indent=2)))
    else:
        write_text(json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n", target)


def show_table(plain: str, table: Table, facts: Callable[[int], list[str]]) -> None:
    """Print a table with colours in a terminal, plain lines elsewhere."""
    from autofit.report.progress import can_redraw  # noqa: PLC0415

    if not can_redraw(sys.stdout):
        say(plain)
        return
    from rich.console import Console  # noqa: PLC0415

    console = Console()
    console.print(table)
    for line in facts(console.width):
        console.print(line, highlight=False, markup=False)
