"""The commands about a run: `autofit train`, `resume`, `report` and `demo`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autofit.cli.flags import Json, Quiet, RunDir, takes_again, takes_options
from autofit.cli.output import do_all, progress, require_writable, say, write_json
from autofit.errors import AutofitError, StorageError

if TYPE_CHECKING:
    from autofit.api.result import Result


@takes_options("run")
def train(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder with one subfolder for each class, or a CSV or JSON file.")
    ],
    *,
    quiet: Quiet = False,
    json: Json = None,
    **options: Any,
) -> None:
    """Train a classifier on a folder of photos."""
    require_writable(json)
    from autofit import api  # noqa: PLC0415 - `--help` loads none of it

    with progress(quiet=quiet) as view:
        result = api.run(data, view=view, **options)
    _show(result, json)


@takes_again
def resume(
    run_dir: RunDir,
    *,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODULE:FUNCTION", help="The network again, if the run was started elsewhere."),
    ] = None,
    quiet: Quiet = False,
    json: Json = None,
    **options: Any,
) -> None:
    """Resume a run that was interrupted, killed or failed. With more epochs, train a finished one on."""
    require_writable(json)
    from autofit import api  # noqa: PLC0415

    with progress(quiet=quiet) as view:
        result = api.resume(run_dir, model=model, view=view, **options)
    _show(result, json)


def report(run_dir: RunDir, *, json: Json = None) -> None:
    """Summarise a run, and write its report.html again."""
    require_writable(json)
    from autofit import api  # noqa: PLC0415
    from autofit.api.result import Result  # noqa: PLC0415

    try:
        result = api.write_report(run_dir)
    except StorageError:  # what can be read is shown, though its page cannot be written
        with suppress(AutofitError):
            _show(Result(run_dir), json)
        raise
    _show(result, json)


def demo(
    *,
    folder: Annotated[Path, typer.Option("--folder", help="The folder for the digits and the run.")] = Path(
        "autofit-demo"
    ),
    quiet: Quiet = False,
    json: Json = None,
) -> None:
    """Run out of memory on purpose, and finish with a trained model. It downloads nothing."""
    require_writable(json)
    from autofit.demo.demo_run import run_demo  # noqa: PLC0415

    with progress(quiet=quiet) as view:
        result = run_demo(folder, view)
    _show(result, json)


def _show(result: Result, json: str | None) -> None:
    """Show a result, and write it as JSON if a file was given.

    Raises:
        StorageError: one of the two cannot be written; the message says that the run is saved and how to show it.
    """
    try:
        do_all(lambda: write_json(result.to_json(), json), lambda: None if json == "-" else say(result.summary()))
    except StorageError as error:
        from autofit.api.result import shown_path  # noqa: PLC0415 - `--help` loads none of it
        from autofit.report.run_text import report_command  # noqa: PLC0415

        shown_by = report_command(shown_path(result.run_dir))
        raise StorageError(f"{error}; the run is saved, and {shown_by} shows it") from error
