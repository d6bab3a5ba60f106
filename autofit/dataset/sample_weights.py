"""How much each image counts in the training loss, and the column of a table that says so. Pure."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from autofit.dataset.split import Classes
from autofit.errors import UserError
from autofit.printable import printable

WEIGHT_NAMES: Final = frozenset({"sampleweight", "sampleweights"})
"""Names, without case, blanks and marks, of columns that can mean nothing else. A `weight` may be in kilograms."""
SHOWN_CHARACTERS = 40


@dataclass(slots=True)
class Weighting:
    """The weights of images in the training loss.

    Attributes:
        column: the name of the table's column.
        weight_of: the weight of each path, 0 or more; an image of a table without the column is not there.
    """

    column: str
    weight_of: dict[str, float]

    def weights(self, paths: Sequence[str]) -> array[float]:
        """The weight of each image; 1 for one of a table without the column."""
        return array("d", (self.weight_of.get(path, 1.0) for path in paths))


def weight_of_cell(cell: object, column: str) -> float:
    """The weight that a cell holds.

    Raises:
        ValueError: it is no number of 0 or more.
    """
    try:
        weight = float(cell)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError):
        weight = math.nan
    if not 0 <= weight < math.inf:
        text = printable(repr(cell if not isinstance(cell, float) else float(cell)))[:SHOWN_CHARACTERS]
        raise ValueError(f"the {printable(column)} is {text}, and a weight is a number of 0 or more, such as 0.5")
    return weight


def weights_note(weighting: Weighting, training: Classes) -> str:
    """One line on the weights of the training images.

    Raises:
        UserError: all of them are 0, so that there is nothing to learn.
    """
    weights = weighting.weights(list(chain.from_iterable(training)))
    column = printable(repr(weighting.column))
    least, most = min(weights), max(weights)
    if not most:
        raise UserError(f"all training images have the weight 0 in {column}: give some of them more")
    if least == most:
        return f"warning: all training images have the same weight in {column}, which changes nothing"
    zeros = weights.count(0.0)
    of_zero = f"; {zeros:,} of weight 0 {'is' if zeros == 1 else 'are'} not learnt from" if zeros else ""
    return f"training images count by {column}, from {least:g} to {most:g}{of_zero}"
