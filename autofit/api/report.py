"""`write_report()`, and the page `report.html` of a run that has ended."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from autofit.api.directories import absolute
from autofit.api.existing_run import require_run
from autofit.api.result import Result, shown_path
from autofit.errors import UserError
from autofit.printable import one_line
from autofit.process.monitor import View
from autofit.report.run_page import run_page
from autofit.report.run_sections import sample_images
from autofit.report.run_text import report_command
from autofit.runs.memory_history import memory_history
from autofit.runs.model_worker import output_kind
from autofit.storage.run_directory import RunDirectory, writing_in
from autofit.storage.safe_files import write_atomically
from autofit.storage.system_errors import naming_system_errors
from autofit.warnings_shown import warnings_shown


def write_report(run_dir: str | Path) -> Result:
    """Write a run's `report.html` again, and return the run.

    Raises:
        UserError: the directory holds no run that has ended.
        StorageError: the page cannot be written.
    """
    files = RunDirectory(absolute(run_dir, "run_dir"))
    with naming_system_errors():
        require_run(files)
        result = Result(files.path)
        write_page(files, result)
    return result


def write_page(files: RunDirectory, result: Result) -> None:
    """Write the page of a run that has ended.

    Raises:
        StorageError: it cannot be written.
    """
    shown: dict[str, Any] = {"run": result.run_record, "memory": memory_history(files, result.record)}
    shown["outputs"] = output_kind(files.model)
    with contextlib.suppress(UserError):  # there is no list of the images
        shown["samples"] = sample_images(result.images)
    with contextlib.suppress(UserError):  # there are no predictions
        shown |= {"by_label": result.per_class()} if result.is_multi_label else {"predicted": result.predicted_images()}
    with warnings_shown():
        page = run_page(result.record, labels=result.labels, model_path=files.model, **shown)
    with writing_in(files.path):
        write_atomically(files.report, page.encode())  # in place of whatever has the name, and never through a link


def write_page_or_say_why(files: RunDirectory, result: Result, view: View) -> None:
    """Write the page; if that fails for any reason, show one message: a missing page does not make the run fail."""
    try:
        write_page(files, result)
    except Exception as error:  # noqa: BLE001 - also what matplotlib raises, or a broken installation of it
        reason = one_line(error) or type(error).__name__
        view.message(f"report.html is missing ({reason}): write it with {report_command(shown_path(files.path))}")
