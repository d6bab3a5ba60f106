"""The commands that use a model: `autofit predict` and `autofit evaluate`."""

from __future__ import annotations

import csv
import io
import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autofit.cli.flags import Json, RunDir, takes_options
from autofit.cli.output import require_writable, say, write_json
from autofit.errors import StorageError, UserError

if TYPE_CHECKING:
    from autofit.api.predictions import Predictions

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
    json: Json = None,
) -> None:
    """Predict the class of images with the model of a run."""
    if csv == json == "-":
        raise UserError("--csv and --json cannot both be standard output: give one of them a file")
    for file in (csv, json):
        require_writable(file)
    from autofit.api.result import Result  # noqa: PLC0415 - `--help` loads none of it
    from autofit.report.prediction_text import prediction_lines  # noqa: PLC0415

    found = Result(run_dir).predict(paths, views=views)
    best = found.top(top)
    _write_csv(found, csv)
    write_json(_as_json(found, top), json)
    if "-" not in (csv, json):
        say("\n".join(prediction_lines(found.paths, best, None)))
    if not any(best):
        first = found.unreadable[0].reason if found.unreadable else "the model gives no finite probabilities"
        raise UserError(f"none of these {len(best):,} images can be predicted ({first}): give others")


@takes_options("evaluate")
def evaluate(
    run_dir: RunDir,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder with one subfolder for each class, or a CSV file.")
    ],
    *,
    views: Views = 1,
    json: Json = None,
    **options: Any,
) -> None:
    """Judge the model of a run on images with known classes."""
    require_writable(json)
    from autofit import api  # noqa: PLC0415
    from autofit.report.prediction_text import evaluation_text  # noqa: PLC0415

    figures = api.evaluate(run_dir, data, views=views, **options)
    write_json(figures.to_json().rstrip(), json)
    if json != "-":
        say(evaluation_text(figures))


def _write_csv(found: Predictions, target: str | None) -> None:
    if target is None:
        return
    from autofit.report.prediction_text import csv_rows  # noqa: PLC0415

    rows = csv_rows(found.paths, found.labels, found.probabilities, found.class_names)
    if target == "-":
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(rows)
        say(buffer.getvalue().removesuffix("\n"))
        return
    try:
        with Path(target).open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(rows)
    except OSError as error:
        raise StorageError(f"{target} cannot be written ({error.strerror}): give another file") from error


def _as_json(found: Predictions, top: int) -> str:
    reasons = {image.path: image.reason for image in found.unreadable}
    return json_text.dumps(
        {
            "classes": found.class_names,
            "images": [
                {"path": path, "label": label, "top": [{"label": name, "probability": p} for name, p in best]}
                if best
                else {"path": path, "label": None, "reason": reasons.get(path, "")}
                for path, label, best in zip(found.paths, found.labels, found.top(top), strict=True)
            ],
        }
    )
