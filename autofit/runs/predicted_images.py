"""The model's predictions for images whose classes are known: counts by class, figures by class, the worst images.

The probabilities come from `validation.npy` and `test.npy` of the run directory, so nothing is computed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from autofit.storage.records import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_PROBABILITY = 1e-7
"""Keras's epsilon: in the loss, smaller probabilities are replaced by this."""


class ClassFigures(Record):
    """The figures of one class.

    Attributes:
        name: the name of the class.
        images: how many of its images could be read.
        predicted: for how many images of any class the model predicted this class.
        precision: the share of these that are of this class; None if there are none.
        recall: the share of the class's images for which it was predicted; None if there are none.
        f1: the harmonic mean of precision and recall (van Rijsbergen, Information Retrieval, 1979), 0 without a right
            one; None if the class has no images and was never predicted.
    """

    name: str
    images: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class PredictedImage:
    """An image, its class, and the model's prediction.

    Attributes:
        path: the absolute path of the file.
        label: the image's class.
        predicted: the class with the highest probability.
        probability: the probability of `predicted`, from 0 to 1.
        label_probability: the probability of `label`, from 0 to 1.
    """

    path: str
    label: str
    predicted: str
    probability: float
    label_probability: float

    @property
    def is_right(self) -> bool:
        """Whether the predicted class is the image's class."""
        return self.label == self.predicted


class Confusion(NamedTuple):
    """For how many images of the class number `true` the model predicted the class number `told`."""

    images: int
    true: int
    told: int


@dataclass(frozen=True, slots=True, eq=False)
class PredictedImages:
    """Images with known classes and the model's probabilities for them; those that cannot be read are left out.

    Attributes:
        paths: the absolute paths of the images.
        labels: the class number of each image, int64 (n,).
        probabilities: float32 (n, classes).
        class_names: the name of each class number.
    """

    paths: Sequence[str]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def confusion_counts(self) -> NDArray[np.int64]:
        """The confusion matrix, int64 (classes, classes): rows for the true classes, columns for the predicted ones."""
        import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

        classes = len(self.class_names)
        cells = self.labels * classes + self._told()
        return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)

    def class_counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """For each class: how many images it has, how often it was rightly predicted, and how often it was predicted.

        Each is int64 (classes,). The confusion matrix is not made for that: with tens of thousands of classes it would
        take gigabytes.
        """
        import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

        classes, told = len(self.class_names), self._told()
        images, right, predicted = (
            np.bincount(numbers, minlength=classes) for numbers in (self.labels, told[told == self.labels], told)
        )
        return images, right, predicted

    def confusions(self) -> list[Confusion]:
        """The pairs of a true and a different predicted class that occur, in the order of the true class."""
        import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

        classes, told = len(self.class_names), self._told()
        cells, counts = np.unique((self.labels * classes + told)[told != self.labels], return_counts=True)
        return [
            Confusion(images, *divmod(cell, classes))
            for cell, images in zip(cells.tolist(), counts.tolist(), strict=True)
        ]

    def class_figures(self) -> list[ClassFigures]:
        """The figures of each class, in the order of the model's outputs."""
        columns = zip(self.class_names, *(counts.tolist() for counts in self.class_counts()), strict=True)
        return [figures_of_class(name, images, predicted, right) for name, images, right, predicted in columns]

    def worst(self, count: int) -> list[PredictedImage]:
        """The images whose own class has the lowest probability, the lowest first: mistakes and doubtful labels."""
        import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

        own = self.probabilities[np.arange(len(self)), self.labels]
        return [self[int(place)] for place in np.argsort(own, kind="stable")[:count]]

    def __getitem__(self, place: int) -> PredictedImage:
        row, label = self.probabilities[place], int(self.labels[place])
        told = int(row.argmax())
        names = self.class_names
        return PredictedImage(self.paths[place], names[label], names[told], float(row[told]), float(row[label]))

    def __iter__(self) -> Iterator[PredictedImage]:
        return map(self.__getitem__, range(len(self)))

    @property
    def are_right(self) -> NDArray[np.bool_]:
        """Whether the predicted class of each image is right, (n,)."""
        right: NDArray[np.bool_] = self._told() == self.labels
        return right

    @property
    def accuracy(self) -> float:
        """The share of the images whose predicted class is right."""
        return float(self.are_right.mean())

    @property
    def loss(self) -> float:
        """The mean cross-entropy, in nats, with probabilities of at least Keras's epsilon."""
        import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

        own = self.probabilities[np.arange(len(self)), self.labels]
        return float(-np.log(np.clip(own, LEAST_PROBABILITY, 1.0)).mean())

    def _told(self) -> NDArray[np.int64]:
        told: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return told


def figures_of_class(name: str, images: int, predicted: int, right: int) -> ClassFigures:
    """The figures of a class by its counts: its images, how often it was predicted, and how often rightly."""
    precision = right / predicted if predicted else None
    recall = right / images if images else None
    f1 = 2 * right / (images + predicted) if images + predicted else None  # the same, where both are defined
    return ClassFigures(name=name, images=images, predicted=predicted, precision=precision, recall=recall, f1=f1)


def readable(
    paths: Sequence[str], labels: Sequence[int], probabilities: Any, class_names: Sequence[str]
) -> PredictedImages:
    """The images without those whose row has NaN, which stands for an image that could not be read."""
    import numpy as np  # noqa: PLC0415 - kept out of `import autofit`

    known = ~np.isnan(probabilities).any(axis=1)
    kept = [path for path, is_known in zip(paths, known.tolist(), strict=True) if is_known]
    rows = probabilities if known.all() else probabilities[known]  # no copy of what may be gigabytes
    return PredictedImages(kept, np.asarray(labels, np.int64)[known], rows, tuple(class_names))
