"""Columns of a table of which each stands for a label: they hold 0 and 1, or -1 and 1. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from autofit.dataset.label_sets import MARKS, NO_MARK, SIGNS, mark_of

LEAST_SIGNED: Final = 2
"""One column of -1 and 1 may be anything."""
_IS_NO_LABEL = re.compile(r"(unnamed:.*|is_train|(is_)?(valid|test|val))$", re.IGNORECASE)
"""Columns of 0 and 1 that are no labels: the index that pandas writes, and those of splits, as fastai's."""

Examples = Mapping[str, Sequence[object]]
"""The first values of each column."""


def marks_of(others: Sequence[str], examples: Examples, least: int) -> tuple[str, ...]:
    """The columns of which each stands for a class, by most of their values; none if they are under `least`.

    Those of -1 and 1 are such only where no column has marks of 0.
    """
    named = [name for name in others if name.strip() and not _IS_NO_LABEL.match(name)]
    marks = tuple(name for name in named if holds_marks(examples.get(name, ())))
    if are_signed(named, examples) and not any(mark_of(cell) is False for name in marks for cell in examples[name]):
        return tuple(name for name in named if _holds_mostly(SIGNS, examples.get(name, ())))
    return marks if len(marks) >= least else ()


def are_signed(columns: Sequence[str], examples: Examples) -> bool:
    """Whether two columns or more hold nothing but -1 and 1, where -1 stands for 0. With a gap, or a 0, it may not."""
    held = [{SIGNS.get(str(cell).strip()) for cell in examples.get(name, ())} for name in columns]
    signed = [signs for signs in held if signs and None not in signs]
    return len(signed) >= LEAST_SIGNED and any(False in signs for signs in signed)


def is_one_hot(marks: Sequence[str], examples: Examples) -> bool:
    """Whether each of the first rows has one mark that is 1."""
    rows = zip(*(examples[name] for name in marks), strict=False)
    return all(sum(mark_of(value) is True for value in row) == 1 for row in rows)


def holds_marks(values: Sequence[object]) -> bool:
    """Whether most values that are there are 0 or 1: an error among them is named when its row is read."""
    return _holds_mostly(MARKS, values)


def _holds_mostly(marks: Mapping[str, bool], values: Sequence[object]) -> bool:
    texts = [text for value in values if (text := str(value).strip().lower()) not in NO_MARK]
    return sum(text in marks for text in texts) > len(texts) / 2
