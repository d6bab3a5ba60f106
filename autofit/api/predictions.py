"""`Predictions`: what a model predicts for some images: an array of probabilities that knows their names."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
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

SORTED_AT_ONCE = 2**20
"""So many probabilities are sorted at once: their order takes three times their memory."""


class _Details(NamedTuple):
    """The names of the rows and columns, and what else is known of them."""

    class_names: tuple[str, ...]
    paths: tuple[str, ...]
    unreadable: tuple[BadImage, ...]
    multi_label: bool


def joined(parts: Sequence[Predictions]) -> Predictions:
    """One prediction, of one or more parts."""
    if len(parts) == 1:
        return parts[0]
    known = [part._known for part in parts]  # noqa: SLF001 - this module's own
    return Predictions.of(
        np.concatenate([part.probabilities for part in parts]),
        known[0].class_names,
        [path for one in known for path in one.paths],
        [image for one in known for image in one.unreadable],
        multi_label=known[0].multi_label,
    )


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
        if self._known.multi_label:
            return [self._set_of(row) for row in self.probabilities]
        names = self._known.class_names
        best, missing = self.probabilities.argmax(axis=1), self._are_missing()
        return [None if is_missing else names[place] for place, is_missing in zip(best.tolist(), missing, strict=True)]

    def _are_missing(self) -> list[bool]:
        """Whether each image could not be read."""
        return list(np.asarray(np.isnan(self.probabilities).any(axis=1)).tolist())

    def _set_of(self, row: NDArray[np.float32]) -> tuple[str, ...] | None:
        if np.isnan(row).any():
            return None
        names = self._known.class_names
        return tuple(names[place] for place in np.flatnonzero(row >= THRESHOLD).tolist())

    @property
    def confidence(self) -> NDArray[np.float32]:
        """The probability of the most probable class, float32 (n,); NaN for an image that cannot be read."""
        return np.asarray(self.probabilities.max(axis=1))

    def top(self, k: int = 3) -> list[list[tuple[str, float]]]:
        """The k most probable classes of each image with their probabilities; an empty list for an unreadable image."""
        k = whole_number("k", k, 1)
        rows, names = self.probabilities, self._known.class_names
        step = max(1, SORTED_AT_ONCE // rows.shape[1])
        orders = (
            np.argsort(-rows[start : start + step], axis=1, kind="stable")[:, :k] for start in range(0, len(rows), step)
        )
        return [
            [] if np.isnan(row).any() else [(names[place], float(row[place])) for place in best]
            for row, best in zip(rows, itertools.chain.from_iterable(orders), strict=True)
        ]

    def told(self, k: int = 3) -> list[list[tuple[str, float]] | None]:
        """The classes to show for each image: its k most probable classes, or None if the image cannot be read.

        For a multi-label model they are all labels that it predicts, the most probable first.
        """
        if self._known.multi_label:
            rows = zip(self.probabilities, self._are_missing(), strict=True)
            return [None if is_missing else self._told_of(row) for row, is_missing in rows]
        return [best or None for best in self.top(k)]

    def _told_of(self, row: NDArray[np.float32]) -> list[tuple[str, float]]:
        """The labels that a row predicts, the most probable first."""
        names, places = self._known.class_names, np.flatnonzero(row >= THRESHOLD)
        ordered = places[np.argsort(-row[places], kind="stable")]
        return [(names[place], float(row[place])) for place in ordered]

    def _first(self) -> Predictions:
        """The first images, as many as are shown."""
        known, rows = self._known, self.probabilities[:MOST_IMAGES]
        return Predictions.of(rows, known.class_names, known.paths[:MOST_IMAGES], (), known.multi_label)

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
        return "\n".join(prediction_lines(self.paths, self._first().told(2))) if self._details else super().__repr__()

    def _repr_html_(self) -> str | None:
        if self._details is None:
            return None
        return prediction_table(self.paths, self._first().told(2), multi_label=self._details.multi_label)
