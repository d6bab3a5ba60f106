"""`evaluate()`: the model of a run that has ended, on images with known classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from autofit.api.evaluation_result import EvaluationResult
from autofit.api.result import Result
from autofit.report.views import ProgressView


def evaluate(
    run_dir: str | Path,
    data: Any,
    labels: Iterable[object] | None = None,
    *,
    views: int = 1,
    path_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    images_in: str | Path | None = None,
    view: ProgressView | None = None,
) -> EvaluationResult:
    """Judge the model of a run on images with known classes; unreadable images are left out.

    Args:
        run_dir: The run directory of a run that has ended.
        data: As in `run`: a folder with one subfolder for each class, a CSV or JSON file or a DataFrame with the
            columns `path` and `label`, a list of paths, arrays or PIL images or an array with `labels`, or a dataset of
            pairs. Not every class has to have images.
        labels: A class name, or its index in `Result.labels`, for each image of a list or array. With `multi_label` a
            list of names for each, or rows of 0 and 1.
        views: How many views of each image are predicted; the mean of their probabilities is the answer.
        path_column: The column of a table that holds the paths. Default: `path`, or another usual name.
        label_column: The column of a table that holds the labels. With `multi_label` also `a,b,c`, or a list in Python:
            the columns of 0 and 1, one for each label. Default: `label`, or another usual name.
        images_in: The folder that a table's relative paths are relative to. Default: that of the table, or the one in
            it where the images are.
        view: An object that shows the progress, in Python only. Default: bars in a terminal or notebook, else plain
            lines.

    Raises:
        UserError: there is no such run, a class is unknown to it, or no image can be read.
        AutofitError: the prediction failed; the message says why.
    """
    return Result(run_dir).evaluate(
        data,
        labels,
        views=views,
        path_column=path_column,
        label_column=label_column,
        images_in=images_in,
        view=view,
    )
