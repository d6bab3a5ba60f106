"""Weights of classes in the loss, given by the names or the numbers of the classes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

from autofit.dataset.labels import label_of, other_notation
from autofit.errors import UserError


def weights_by_class(given: Mapping[str, float], names: Sequence[str]) -> list[float]:
    """The weight of each class, in their order; 1 for a class that is not named, as in Keras.

    A key is the name of a class; if no class has that name, it is the number of a class in the order of the names, or
    the name in another notation, as labels of a table may be: 1.0 for 1, and `True` for 1 where classes are 0 and 1.

    Raises:
        UserError: a key is neither, or two are of the same class.
    """
    weights: dict[int, float] = {}
    for written, weight in given.items():
        number = _number(written, names)
        if number is None:
            few = ", ".join(map(repr, names[:5])) + (", …" if len(names) > 5 else "")  # noqa: PLR2004 - fit in a line
            raise UserError(
                f"class_weight names {written.strip()!r}, which is no class: give names ({few}) or numbers from 0"
            )
        if number in weights:
            raise UserError(f"class_weight names the class {names[number]!r} twice, by its number or in two notations")
        weights[number] = weight
    return [weights.get(number, 1.0) for number in range(len(names))]


def _number(written: str, names: Sequence[str]) -> int | None:
    """The number of the class that a key means; None if there is none."""
    texts = [written, written.strip()]  # a folder's name may begin with a blank
    with suppress(ValueError):
        texts.append(str(label_of(written)))
    for text in texts:
        if text in names:
            return names.index(text)
    if re.fullmatch("[0-9]{1,9}", texts[-1]):
        return int(texts[-1]) if int(texts[-1]) < len(names) else None
    other = other_notation(texts[-1], names)
    return None if other is None else names.index(other)
