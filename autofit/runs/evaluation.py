"""Judges a model on images with known classes: computes figures from its probabilities. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from autofit.config.standard_error import effective_images, standard_error
from autofit.protocol.messages import BadImage
from autofit.runs.predicted_images import readable
from autofit.storage.records import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


NOT_FINITE = "the model gives no finite probabilities"
"""The reason of an image that can be read and has no answer: some networks divide by an image's contrast."""


class ClassCounts(Record):
    """A class in an evaluation.

    Attributes:
        name: the name of the class.
        images: how many of its images could be read.
        right: for how many of them the model predicted this class.
        predicted: for how many images of any class the model predicted this class.
    """

    name: str
    images: int
    right: int
    predicted: int


class Evaluation(Record):
    """The figures of a model on images with known classes; those that cannot be read do not count.

    Attributes:
        accuracy: the share of images that are predicted right; if images may have several labels, with all of them.
        standard_error: the standard error of the accuracy: on other images of the same kind it would differ by about
            so much, or where `groups` are known on images of other groups.
        loss: the mean cross-entropy, in nats; if images may have several labels, the mean binary cross-entropy.
        images: how many images could be read.
        views: over how many views of each image the probabilities are averaged.
        classes: the counts of each class, in the order of the model's outputs.
        unreadable: the images that could not be read, or got no finite probabilities, and why.
        mean_average_precision: over the labels, where an image may have several; else None.
        f1: of all labels together at a probability of 0.5, likewise.
        groups: how many groups the images are of, such as patients, if that is known; else 0.
        own_images: how many of the images given are the run's own, which it has trained on or validated with, or copies
            of them; of a run with more than 50,000 images only the same files count.
    """

    schema_: Literal["autofit/evaluation/1"] = Field("autofit/evaluation/1", alias="schema")
    accuracy: float
    standard_error: float
    loss: float
    images: int
    views: int
    classes: list[ClassCounts]
    unreadable: list[BadImage]
    mean_average_precision: float | None = None
    f1: float | None = None
    groups: int = 0
    own_images: int = 0


def evaluation(
    rows: NDArray[np.float32],
    numbers: Sequence[int],
    class_names: Sequence[str],
    unreadable: list[BadImage],
    views: int,
    groups: Sequence[int] = (),
) -> Evaluation | None:
    """Judge probabilities; None if no image could be read.

    Args:
        rows: probabilities, float32 (n, classes); NaN for an image that could not be read.
        numbers: the class number of each image.
        class_names: the name of each class.
        unreadable: the images that could not be read.
        views: over how many views the probabilities are averaged.
        groups: the number of the group that each image belongs to; none if that is not known.
    """
    images = readable([""] * len(rows), numbers, rows, class_names)
    if not len(images):
        return None
    classes = class_counts(class_names, images.class_counts())
    return summed_up(images.are_right, images.loss, groups_of_readable(groups, rows), classes, unreadable, views)


def groups_of_readable(groups: Sequence[int], rows: NDArray[np.float32]) -> NDArray[np.int64] | None:
    """The groups of the images that could be read, those whose rows have no NaN; None if none are known."""
    import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

    return np.asarray(groups, np.int64)[~np.isnan(rows).any(axis=1)] if len(groups) else None


def class_counts(class_names: Sequence[str], counts: Iterable[NDArray[np.int64]]) -> list[ClassCounts]:
    """The counts as a record for each class, from the arrays `images`, `right` and `predicted`, int64 (classes,)."""
    of_each = zip(class_names, *(each.tolist() for each in counts), strict=True)
    return [
        ClassCounts(name=name, images=images, right=right, predicted=predicted)
        for name, images, right, predicted in of_each
    ]


def summed_up(
    are_right: NDArray[np.bool_],
    loss: float,
    groups: NDArray[np.int64] | None,
    classes: list[ClassCounts],
    unreadable: list[BadImage],
    views: int,
) -> Evaluation:
    """The record of these figures, with the accuracy and its standard error, from which images are predicted right."""
    accuracy, images = float(are_right.mean()), len(are_right)
    return Evaluation(
        accuracy=accuracy,
        standard_error=standard_error(accuracy, images if groups is None else effective_images(are_right, groups)),
        loss=loss,
        images=images,
        views=views,
        classes=classes,
        unreadable=unreadable,
        groups=0 if groups is None else len(set(groups.tolist())),
    )
