"""Judges a model on images with any number of known labels: computes figures from its probabilities. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autofit.config.multi_label_figures import THRESHOLD, multi_label_figures
from autofit.protocol.messages import BadImage
from autofit.runs.evaluation import Evaluation, class_counts, evaluation, groups_of_readable, summed_up
from autofit.runs.predicted_images import LEAST_PROBABILITY, ClassFigures, figures_of_class

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COUNTED_AT_ONCE = 2**20
"""The losses of so many probabilities are in memory at once."""


def evaluation_of(
    rows: NDArray[np.float32],
    numbers: Sequence[Sequence[int]],
    class_names: Sequence[str],
    unreadable: list[BadImage],
    views: int,
    groups: Sequence[int] = (),
    *,
    multi_label: bool,
) -> Evaluation | None:
    """Judge probabilities by the class numbers of each image: exactly one, or with `multi_label` any number."""
    if multi_label:
        return multi_label_evaluation(rows, numbers, class_names, unreadable, views, groups)
    return evaluation(rows, [number for (number,) in numbers], class_names, unreadable, views, groups)


def multi_label_evaluation(
    rows: NDArray[np.float32],
    numbers: Sequence[Sequence[int]],
    class_names: Sequence[str],
    unreadable: list[BadImage],
    views: int,
    groups: Sequence[int] = (),
) -> Evaluation | None:
    """Judge probabilities of independent labels; None if no image could be read.

    Args:
        rows: probabilities, float32 (n, classes); NaN for an image that could not be read.
        numbers: the class numbers of each image.
        class_names: the name of each class.
        unreadable: the images that could not be read.
        views: over how many views the probabilities are averaged.
        groups: the number of the group that each image belongs to; none if that is not known.
    """
    of_groups = groups_of_readable(groups, rows)
    rows, truth = _readable(rows, numbers)
    if not len(rows):
        return None
    told = rows >= THRESHOLD
    figures = multi_label_figures(rows, truth, THRESHOLD)
    counts = class_counts(class_names, [each.sum(axis=0) for each in (truth, truth & told, told)])
    known = summed_up((told == truth).all(axis=1), _loss(rows, truth), of_groups, counts, unreadable, views)
    update = {"mean_average_precision": figures.mean_average_precision, "f1": figures.f1}
    return known.model_copy(update=update)


def _loss(rows: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """The mean cross-entropy of all labels, in nats."""
    import numpy as np  # noqa: PLC0415

    step, total = max(1, COUNTED_AT_ONCE // rows.shape[1]), 0.0
    for start in range(0, len(rows), step):
        some, of_some = rows[start : start + step], truth[start : start + step]
        likelihood = np.clip(np.where(of_some, some, 1 - some), LEAST_PROBABILITY, 1.0)
        total -= float(np.log(likelihood).sum(dtype=np.float64))
    return total / rows.size


def label_figures(
    rows: NDArray[np.float32], numbers: Sequence[Sequence[int]], class_names: Sequence[str]
) -> list[ClassFigures]:
    """Precision, recall and F1 of each label at a probability of 0.5; arguments as in `multi_label_evaluation`."""
    rows, truth = _readable(rows, numbers)
    told = rows >= THRESHOLD
    counts = zip(*(each.sum(axis=0).tolist() for each in (truth, told, truth & told)), strict=True)
    return [figures_of_class(name, *of_class) for name, of_class in zip(class_names, counts, strict=True)]


def _readable(
    rows: NDArray[np.float32], numbers: Sequence[Sequence[int]]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The probabilities of the images that could be read, and which labels each has; both (n, classes)."""
    import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

    readable = ~np.isnan(rows).any(axis=1)
    truth = truth_of(numbers, rows.shape[1])
    return (rows, truth) if readable.all() else (rows[readable], truth[readable])  # no copy of what may be gigabytes


def truth_of(numbers: Sequence[Sequence[int]], classes: int) -> NDArray[np.bool_]:
    """Which classes each image has, (n, classes), from their numbers."""
    import numpy as np  # noqa: PLC0415

    truth = np.zeros((len(numbers), classes), bool)
    for row, of_image in zip(truth, numbers, strict=True):
        row[list(of_image)] = True
    return truth
