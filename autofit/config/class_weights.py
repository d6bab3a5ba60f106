"""Weights of classes in the loss, given by the names or the numbers of the classes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from autofit.errors import UserError


def weights_by_class(given: Mapping[str, float], names: Sequence[str]) -> list[float]:
    """The weight of each class, in their order; 1 for a class that is not named, as in Keras.

    A key is the name of a class; if no class has that name, it is the number of a class in the order of the names.

    Raises:
        UserError: a key is neither, or two are of the same class.
    """
    weights: dict[int, float] = {}
    for written, weight in given.items():
        key = written if written in names else written.strip()  # a folder's name may begin with a blank
        number = names.index(key) if key in names else int(key) if re.fullmatch("[0-9]{1,9}", key) else len(names)
        if number >= len(names):
            few = ", ".join(map(repr, names[:5])) + (", …" if len(names) > 5 else "")  # noqa: PLR2004 - fit in a line
            raise UserError(f"class_weight names {key!r}, which is no class: give names ({few}) or numbers from 0")
        if number in weights:
            raise UserError(f"class_weight names the class {names[number]!r} twice, by its number and by its name")
        weights[number] = weight
    return [weights.get(number, 1.0) for number in range(len(names))]
