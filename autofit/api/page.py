"""A run's page, `report.html`: written when it has ended, and again for whoever asks."""

from __future__ import annotations

from pathlib import Path

from autofit.api.directories import absolute
from autofit.api.existing_run import read_run
from autofit.finished_run import Result
from autofit.report.page import run_page
from autofit.run_directory import RunDirectory, writing_in


def report(run_dir: str | Path) -> Result:
    """Write a run's `report.html` anew and return the run."""
    files = RunDirectory(absolute(run_dir))
    read_run(files)
    result = Result(files.path)
    write_page(files, result)
    return result


def write_page(files: RunDirectory, result: Result) -> None:
    """Write the page of a run that has ended.

    Raises:
        StorageError: it cannot be written.
    """
    page = run_page(result.record, labels=result.labels, model_path=files.model)
    with writing_in(files.path):
        files.report.write_text(page, encoding="utf-8")
