"""`evaluate()`: the model of a run that has ended, on images with known classes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from autofit.api.result import Result
from autofit.runs.evaluation import Evaluation


def evaluate(
    run_dir: str | Path, data: str | Path | Iterable[object], labels: Iterable[object] | None = None, *, views: int = 1
) -> Evaluation:
    """Judge the model of a run on images with known classes; unreadable images are left out.

    Args:
        run_dir: The run directory of a run that has ended.
        data: As in `run`: a folder with one subfolder for each class, a CSV file or a DataFrame with the columns `path`
            and `label`, or a list of paths with `labels`. Not every class has to have images.
        labels: A class name, or its index in `Result.labels`, for each path of a list.
        views: How many views of each image are predicted; the mean of their probabilities is the answer.

    Raises:
        UserError: there is no such run, a class is unknown to it, or no image can be read.
        AutofitError: the prediction failed; the message says why.
    """
    return Result(run_dir).evaluate(data, labels, views=views)
