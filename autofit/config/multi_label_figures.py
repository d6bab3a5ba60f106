"""How well the labels of multi-label images are predicted: mean average precision and F1. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

MEAN_AVERAGE_PRECISION, F1 = "mean_average_precision", "f1"
"""The names of the two figures in a history; people read `mean average precision` and `F1`."""

THRESHOLD = 0.5
"""An image is predicted to have each label whose probability is at least this."""


class MultiLabelFigures(NamedTuple):
    """The figures of scores.

    Attributes:
        mean_average_precision: the mean over the labels of the area under the precision-recall curve, as a step
            function. Labels that all images have, or no image has, are left out; 0 if no label is left.
        f1: the harmonic mean of precision and recall, over all decisions together (micro); 0 without a true positive.
    """

    mean_average_precision: float
    f1: float


def multi_label_figures(
    scores: NDArray[np.floating], truth: NDArray[np.number | np.bool_], threshold: float
) -> MultiLabelFigures:
    """Judge scores, such as probabilities or logits.

    Args:
        scores: (n, labels); a higher one is more certain of the label.
        truth: 0 or 1, (n, labels).
        threshold: an image is predicted to have a label if its score is at least this.
    """
    return figures_of_groups([(scores, truth)], threshold)


def figures_of_groups(
    groups: Iterable[tuple[NDArray[np.floating], NDArray[np.number | np.bool_]]], threshold: float
) -> MultiLabelFigures:
    """As `multi_label_figures`, for scores and truth that come in groups of labels, of which one is in memory."""
    import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

    precisions: list[float] = []
    hits = misses = 0
    for scores, truth in groups:
        has = truth.astype(bool)
        told = scores >= threshold
        hits, misses = hits + int((told & has).sum()), misses + int((told ^ has).sum())
        judged = has.any(axis=0) & ~has.all(axis=0)
        precisions += [average_precision(scores[:, number], has[:, number]) for number in np.flatnonzero(judged)]
    return MultiLabelFigures(
        mean_average_precision=float(np.mean(precisions)) if precisions else 0.0,
        f1=2 * hits / (2 * hits + misses) if hits else 0.0,
    )


def average_precision(scores: NDArray[np.floating], has: NDArray[np.bool_]) -> float:
    """The mean, over the images that have a label, of the precision at each one's score; equal scores are one step.

    As in Manning, Raghavan and Schuetze, Introduction to Information Retrieval (2008), section 8.4.

    Args:
        scores: (n,).
        has: which images have the label, (n,); at least one.
    """
    import numpy as np  # noqa: PLC0415

    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(has[order])
    last_of_equals = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    found = hits[last_of_equals]
    precision = found / (last_of_equals + 1)
    return float(np.sum(np.diff(found, prepend=0) * precision) / found[-1])
