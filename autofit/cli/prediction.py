"""The commands that use a model: `autofit predict` and `autofit evaluate`."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autofit.cli.flags import Json, Quiet, RunDir, takes_options
from autofit.cli.output import do_all, progress, require_writable, say, write_json
from autofit.config.validators import whole_number
from autofit.errors import StorageError, UserError
from autofit.report.steady_stream import is_terminal

if TYPE_CHECKING:
    from autofit.api.predictions import Predictions
    from autofit.api.predictions_csv import CsvFile, CsvWriter

Views = Annotated[
    int, typer.Option("--views", metavar="N", help="Views of each image; the mean of their probabilities counts.")
]
Csv = Annotated[
    str | None,
    typer.Option("--csv", metavar="FILE|-", help="Write all probabilities as CSV; - is standard output."),
]


def predict(
    run_dir: RunDir,
    paths: Annotated[list[str], typer.Argument(metavar="PATHS...", help="Image files, folders and patterns.")],
    *,
    top: Annotated[int, typer.Option("--top", metavar="K", help="Name the K most probable classes.")] = 1,
    views: Views = 1,
    csv: Csv = None,
    quiet: Quiet = False,
    json: Json = None,
) -> None:
    """Predict the class of images with the model of a run."""
    if csv == json == "-":
        raise UserError("--csv and --json cannot both be standard output: give one of them a file")
    whole_number("--top", top, 1)
    for file in (csv, json):
        require_writable(file)
    from autofit.api.result import Result  # noqa: PLC0415 - `--help` loads none of it

    result = Result(run_dir)
    with ExitStack() as outputs:
        answer = _Answer(top, csv, json, outputs)
        with progress(quiet=quiet) as view:
            parts = result.predict_in_parts(paths, views=views, view=view, go_on=answer.go_on)
            with closing(parts):
                for part in parts:
                    answer.add(part)
    answer.show()


class _Answer:
    """Writes and prints predictions, one part of the images after another; with CSV only one part is in memory."""

    def __init__(self, top: int, csv: str | None, json: str | None, outputs: ExitStack) -> None:
        from autofit.api.predictions_csv import CsvFile, CsvWriter  # noqa: PLC0415 - `--help` loads none of it
        from autofit.cli.prediction_json import JsonAnswer  # noqa: PLC0415

        self._top, self._csv, self._json = top, csv, json
        self._text, self._listed = io.StringIO(), 0
        self._writer: CsvFile | CsvWriter
        if csv is None or csv == "-":
            self._writer = CsvWriter(self._text if csv else None)
        else:
            self._writer = outputs.enter_context(CsvFile(csv))
        self._images = None if json is None else outputs.enter_context(JsonAnswer(json, top))
        self._reason = "the model gives no finite probabilities"
        self._goes_to_files = any(file not in {None, "-"} for file in (csv, json)) and "-" not in {csv, json}
        self._not_said: StorageError | None = None

    @property
    def go_on(self) -> Callable[[str], int] | None:
        """The `go_on` of `Result.predict_in_parts`: a CSV file is continued, but not beside JSON, which begins anew."""
        return getattr(self._writer, "go_on", None) if self._images is None else None

    def add(self, part: Predictions) -> None:
        """Take the predictions of some images."""
        self._writer.add(part)
        self._reason = part.unreadable[0].reason if part.unreadable else self._reason
        if self._images is not None:
            self._images.add(part)
        if self._csv != "-" and self._json != "-":
            self._text.write("".join(f"{line}\n" for line in self._lines_of(part)))
        if not is_terminal(sys.stdout):  # in a terminal the bar is in the way until the end
            self._say()

    def show(self) -> None:
        """Print what has not been printed yet.

        Raises:
            UserError: not one image was predicted.
            StorageError: standard output could not be written; the files are complete.
        """
        from autofit.report.prediction_text import file_words  # noqa: PLC0415
        from autofit.report.words import count_of  # noqa: PLC0415

        self._say()
        if self._not_said is not None:
            raise self._not_said
        summary = self._writer.summary
        if summary.path and self._json != "-":
            say(file_words(summary.path, summary.images, summary.unreadable, summary.by_class))
        if summary.unreadable == summary.images:
            of_all = count_of(summary.images, "image")
            raise UserError(f"of {of_all} none can be predicted ({self._reason}): give others")

    def _lines_of(self, part: Predictions) -> list[str]:
        """A line for each image; if they are also written to a file, only for the first images."""
        from autofit.report.prediction_text import MOST_IMAGES, UNREADABLE, prediction_lines  # noqa: PLC0415

        most = None if self._csv is None else max(0, MOST_IMAGES - self._listed)
        paths, told = part.paths[:most], part.told(self._top)[:most]
        self._listed += len(paths)
        return prediction_lines(paths, told, None, least_width=len(UNREADABLE))

    def _say(self) -> None:
        if text := self._text.getvalue():
            try:
                say(text.removesuffix("\n"))
            except StorageError as error:
                if not self._goes_to_files:
                    raise
                self._not_said = error
            self._text.seek(0)
            self._text.truncate()


@takes_options("evaluate")
def evaluate(
    run_dir: RunDir,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder with one subfolder for each class, or a CSV or JSON file.")
    ],
    *,
    views: Views = 1,
    quiet: Quiet = False,
    json: Json = None,
    **options: Any,
) -> None:
    """Judge the model of a run on images with known classes."""
    require_writable(json)
    from autofit import api  # noqa: PLC0415
    from autofit.report.prediction_text import evaluation_text  # noqa: PLC0415

    with progress(quiet=quiet) as view:
        figures = api.evaluate(run_dir, data, views=views, view=view, **options)
    do_all(
        lambda: write_json(figures.to_json().rstrip(), json),
        lambda: None if json == "-" else say(evaluation_text(figures)),
    )
