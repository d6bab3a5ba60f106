"""`Predictions`: what a model predicts for some images: an array of probabilities that knows their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autofit.config.multi_label_figures import THRESHOLD
from autofit.config.validators import whole_number
from autofit.protocol.messages import BadImage
from autofit.report.prediction_text import (
    COLUMNS_BEFORE,
    MOST_IMAGES,
    class_columns,
    prediction_lines,
    prediction_table,
)

ROWS_AT_ONCE = 4096
"""So many rows are sorted at a time."""

FEW = 8
"""So many of a row's largest values are looked for one after another; for more of them the row is sorted."""


class _Details(NamedTuple):
    """The names of the rows and columns, and what else is known of them."""

    class_names: tuple[str, ...]
    paths: tuple[str, ...]
    unreadable: tuple[BadImage, ...]
    multi_label: bool


def best_columns(rows: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The places of the k largest values of each row, the largest first, and of equal ones the first; (n, k or fewer).

    A few of a thousand columns are found many times faster than all are sorted.
    """
    if k > FEW:
        return np.argsort(-rows, axis=1, kind="stable")[:, :k]
    left, each = rows.copy(), np.arange(len(rows))
    best = np.empty((len(rows), min(k, rows.shape[1])), np.int64)
    for place in range(best.shape[1]):
        best[:, place] = left.argmax(axis=1)
        left[each, best[:, place]] = -np.inf
    return best


def _with_nan(rows: NDArray[np.float32]) -> list[bool]:
    """Whether a row has NaN, by row."""
    bad: NDArray[np.bool_] = np.logical_or.reduce(np.isnan(rows), axis=1)
    return list(map(bool, bad))


class Predictions(np.ndarray):
    """Probabilities, float32 `(n, classes)`, in the order of the images; a row of NaN for one that cannot be read.

    It is a NumPy array. A copy keeps the names; slices, and arrays that are computed from it, do not.
    """

    _details: _Details | None = None

    @classmethod
    def of(
        cls,
        rows: NDArray[np.float32],
        class_names: Sequence[str],
        paths: Sequence[str],
        unreadable: Sequence[BadImage],
        multi_label: bool = False,  # noqa: FBT001, FBT002 - by name, but for pickle
    ) -> Predictions:
        """Give probabilities their names.

        Args:
            rows: float32 (n, classes).
            class_names: one for each column.
            paths: one for each row; in memory, an image is called `image 0`.
            unreadable: the images that could not be read, and why.
            multi_label: whether an image may have any number of classes.
        """
        found = np.asarray(rows).view(cls)
        found._details = _Details(tuple(class_names), tuple(paths), tuple(unreadable), multi_label)  # noqa: SLF001 - its own
        return found

    @property
    def class_names(self) -> list[str]:
        """The class of each column."""
        return list(self._known.class_names)

    @property
    def paths(self) -> list[str]:
        """The image of each row: its path, or a name such as `image 0` for an image in memory."""
        return list(self._known.paths)

    @property
    def unreadable(self) -> list[BadImage]:
        """The images that could not be read, or got no finite probabilities, and why."""
        return list(self._known.unreadable)

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """The probabilities as a plain NumPy array."""
        return np.asarray(self)

    @property
    def labels(self) -> list[Any]:
        """The most probable class of each image; None for an image that cannot be read.

        For a multi-label model it is the tuple of the classes with a probability of at least 0.5.
        """
        names = self._known.class_names
        if self._known.multi_label:
            return [None if told is None else tuple(names[place] for place in told) for told in self._predicted()]
        best = self.probabilities.argmax(axis=1).tolist()
        return [None if bad else names[place] for place, bad in zip(best, _with_nan(self.probabilities), strict=True)]

    def _predicted(self) -> Iterator[list[int] | None]:
        """The columns of a multi-label model whose probability is at least 0.5, by image; None if it has no answer."""
        for row, bad in zip(self.probabilities, _with_nan(self.probabilities), strict=True):
            yield None if bad else np.flatnonzero(row >= THRESHOLD).tolist()

    @property
    def confidence(self) -> NDArray[np.float32]:
        """The probability of the most probable class, float32 (n,); NaN for an image that cannot be read."""
        return np.asarray(self.probabilities.max(axis=1))

    def top(self, k: int = 3) -> list[list[tuple[str, float]]]:
        """The k most probable classes of each image with their probabilities; an empty list for an unreadable image."""
        k = whole_number("k", k, 1)
        rows, names = self.probabilities, self._known.class_names
        found: list[list[tuple[str, float]]] = []
        for start in range(0, len(rows), ROWS_AT_ONCE):
            block = rows[start : start + ROWS_AT_ONCE]
            ordered = zip(best_columns(block, k), _with_nan(block), block, strict=True)
            found += [[] if bad else [(names[one], float(row[one])) for one in best] for best, bad, row in ordered]
        return found

    def told(self, k: int = 3) -> list[list[tuple[str, float]] | None]:
        """The classes to show for each image: its k most probable classes, or None if the image cannot be read.

        For a multi-label model they are all labels that it predicts, the most probable first.
        """
        names = self._known.class_names
        if not self._known.multi_label:
            return [best or None for best in self.top(k)]
        return [
            None if told is None else [(names[one], float(row[one])) for one in sorted(told, key=lambda one: -row[one])]
            for told, row in zip(self._predicted(), self.probabilities, strict=True)
        ]

    def to_dataframe(self) -> Any:
        """A pandas DataFrame with a row for each image: `path`, `label`, `confidence`, and a column for each class.

        Raises:
            ImportError: pandas is not installed.
        """
        import pandas as pd  # noqa: PLC0415 - only if it is asked for

        named = pd.DataFrame(dict(zip(COLUMNS_BEFORE, (self.paths, self.labels, self.confidence), strict=True)))
        return pd.concat([named, pd.DataFrame(self.probabilities, columns=class_columns(self.class_names))], axis=1)

    @property
    def _known(self) -> _Details:
        if self._details is None:
            raise AttributeError("this array was computed from predictions: their names are with the predictions")
        return self._details

    def __getitem__(self, key: Any) -> Any:
        return self.probabilities[key]

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:  # noqa: FBT001, FBT002 - as NumPy calls it
        del context
        return array[()] if return_scalar else np.asarray(array)

    def copy(self, order: Any = "C") -> Any:
        """A copy that keeps the names."""
        rows = self.probabilities.copy(order)
        return Predictions.of(rows, *self._details) if self._details else rows

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any, /) -> Any:
        del memo
        return self.copy()

    def __reduce__(self) -> Any:
        return (Predictions.of, (self.probabilities, *self._known)) if self._details else super().__reduce__()

    def __repr__(self) -> str:
        return "\n".join(prediction_lines(self.paths, self._first_told())) if self._details else super().__repr__()

    def _repr_html_(self) -> str | None:
        if self._details is None:
            return None
        return prediction_table(self.paths, self._first_told(), multi_label=self._details.multi_label)

    def _first_told(self) -> list[list[tuple[str, float]] | None]:
        """What is shown of the first images: to sort the classes of a hundred thousand takes many seconds."""
        known = self._known._replace(paths=self._known.paths[:MOST_IMAGES])
        return Predictions.of(self.probabilities[:MOST_IMAGES], *known).told(2)
