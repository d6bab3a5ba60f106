"""A run's page, `report.html`: written when it has ended, and again for whoever asks."""

from __future__ import annotations

from pathlib import Path

from autofit.api.directories import absolute
from autofit.api.existing_run import read_run
from autofit.finished_run import Result
from autofit.process.messages import EpochEnd
from autofit.process.watch import View
from autofit.report.drawing import import_ahead
from autofit.report.page import run_page
from autofit.run_directory import RunDirectory, writing_in


class PageAhead:
    """A run's view that sees to it that its page can be drawn at once: what draws it is imported in the last epoch.

    Not earlier: it would take 31 MB of a machine that trains.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._has_begun = False
        self.update, self.message, self.passthrough = view.update, view.message, view.passthrough

    def epoch_done(self, end: EpochEnd, *, epochs: int) -> None:
        """Show the figures of a finished epoch; after the last but one, begin."""
        self._view.epoch_done(end, epochs=epochs)
        if not self._has_begun and end.epoch >= epochs - 2:
            self._has_begun = True
            import_ahead()


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
