"""Images that were in memory, as a table of their files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from autofit.dataset.array_kinds import is_array


class ImageTable:
    """Images and labels as a table with the interface of a DataFrame.

    Args:
        paths: the paths of the images.
        labels: one for each image; or rows of 0 and 1, whose columns become columns of the table, named by number.
        root: the folder to which the images' recorded names are relative: a run does not depend on where it is.
        names: the labels that columns of 0 and 1 stand for; empty if these have none.
        weights: how much each image counts; empty if all count alike.

    Attributes:
        weight_column: the name of the column of weights, which is none of the labels; None if there is none.
    """

    def __init__(
        self,
        paths: list[str],
        labels: list[Any],
        root: str = "",
        names: Sequence[str] = (),
        weights: Sequence[float] = (),
    ) -> None:
        self.root, self.names = root, tuple(names)
        self._values: dict[str, Any] = {"path": paths}
        self.weight_column = "weight" if weights else None
        if weights:
            self._values["weight"] = weights
        if are_rows(labels):
            self._values |= {str(number): [row[number] for row in labels] for number in range(len(labels[0]))}
        else:
            self._values["label"] = labels
        self.columns: Iterable[object] = tuple(self._values)

    def __iter__(self) -> Iterator[object]:
        return iter(self.columns)

    def __getitem__(self, column: str, /) -> Iterable[object]:
        values: Iterable[object] = self._values[column]
        return values


def are_rows(labels: Sequence[Any]) -> bool:
    """Whether the labels of each image are a row of 0 and 1."""
    return len(labels) > 0 and is_array(labels[0]) and labels[0].ndim == 1
