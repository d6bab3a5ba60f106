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

    def weights(self, training: Sequence[str], validation: Sequence[str]) -> array[float]:
        """The weight of each image of both; a validation image of a table without the column has the training's mean.

        With a fixed number, such as 1, its share of the whole would depend on the scale of the others.
        """
        known = array("d", (self.weight_of[path] for path in training))
        mean = _mean(known)
        return known + array("d", (self.weight_of.get(path, mean) for path in validation))


def _mean(weights: Sequence[float]) -> float:
    """Without the sum, which may be too large for a number."""
    return math.fsum(weight / len(weights) for weight in weights)


def weight_of_cell(cell: object, column: str) -> float:
    """The weight that a cell holds.

    Raises:
        ValueError: it is no number of 0 or more.
    """
    try:
        weight = float(cell)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if not 0 <= weight < math.inf:
        shown = repr(cell if not isinstance(cell, float) else float(cell))
        text = printable(shown)[:SHOWN_CHARACTERS] if cell is not None and cell != "" else "empty"
        raise ValueError(f"the {printable(column)} is {text}, and a weight is a number of 0 or more, such as 0.5")
    return weight


def weights_note(weighting: Weighting, training: Classes, validation: Classes) -> str:
    """One line on the weights of the training images.

    Raises:
        UserError: all of them are 0, so that there is nothing to learn.
    """
    count = sum(map(len, training))
    known = weighting.weights(*(list(chain.from_iterable(split)) for split in (training, validation)))
    weights, others = known[:count], known[count:]
    column = printable(repr(weighting.column))
    least, most = min(weights), max(weights)
    if not most:
        raise UserError(f"all training images have the weight 0 in {column}: give some of them more")
    if others and not max(others):
        return (
            f"warning: all validation images have the weight 0 in {column}: they do not choose the head's penalty, and "
            "fine-tuning compares its epochs as if they counted alike"
        )
    if least == most and any(weight != most for weight in others):
        return f"validation images count by {column}, from {min(others):g} to {max(others):g}; training images alike"
    if least == most:
        return f"warning: all training images have the same weight in {column}, which changes nothing"
    zeros = weights.count(0.0)
    of_zero = f"; {zeros:,} of weight 0 {'is' if zeros == 1 else 'are'} not learnt from" if zeros else ""
    return f"training images count by {column}, from {least:g} to {most:g}{of_zero}"
