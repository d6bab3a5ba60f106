"""Images that belong together, as those of one patient do, and the column of a table that says so. Pure."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from autofit.dataset.labels import is_missing
from autofit.dataset.split import Classes

GROUP_NAMES: Final = (
    *("patient", "subject", "participant", "donor", "person", "individual", "animal", "specimen", "case", "study"),
    *("series", "lesion", "slide", "captureevent", "burst", "sequence", "seq", "session", "scene", "video", "clip"),
    *("groupid", "groupids"),
)
"""The usual names of such columns, without case, blanks, marks and `id`; those before others say more.

A `group` alone may be one of ages, or of treatments.
"""

_ENDING: Final = re.compile(r"(ids?|no|nr|num|number|name|code|uid|instanceuid)$")
_NO_VALUE: Final = frozenset({"", "nan", "na", "n/a", "#n/a", "<na>", "null", "none"})


class SharedGroups(NamedTuple):
    """How many values of a column are in the training and in another split, and how many images of that have them."""

    split: str
    column: str
    values: int
    images: int


@dataclass(slots=True)
class Grouping:
    """Which images belong together.

    Attributes:
        column: the name of the table's column.
        value_of: its value for each path; an image whose cell is empty is not there, and belongs to no other.
        is_asked: whether the user has named the column; else it is only looked at.
    """

    column: str
    value_of: dict[str, str]
    is_asked: bool

    def values(self, classes: Classes) -> set[str]:
        """The values of these images."""
        return {self.value_of[path] for paths in classes for path in paths if path in self.value_of}

    def numbers(self, *paths: Sequence[str]) -> Iterator[array[int]]:
        """The number of each image's group, from 0 in the order in which these are met."""
        number_of: dict[str, int] = {}
        met = 0
        for each in paths:
            numbers = array("i")
            for path in each:
                value = self.value_of.get(path)
                number = met if value is None else number_of.setdefault(value, met)
                met += number == met
                numbers.append(number)
            yield numbers


def numbers_of_values(values: Iterable[str]) -> list[int]:
    """The number of each image's group by its value; an empty one is a group of its own."""
    number_of: dict[str | int, int] = {}
    return [number_of.setdefault(value or place, place) for place, value in enumerate(values)]


def value_of_cell(cell: object) -> str:
    """What a cell says of an image's group; empty if it says nothing. 1.0 is 1, and blanks around it do not count."""
    if is_missing(cell):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    text = str(cell).strip()
    if text.casefold() in _NO_VALUE:
        return ""
    return text[:-2] if text.endswith(".0") and text[:-2].isdecimal() else text


def group_like(names: Iterable[str], examples: Mapping[str, Sequence[object]]) -> str | None:
    """The column whose name says that its images belong together, such as `Patient ID`; None if there is none.

    Of several, the first with a value that is there twice among the first ones, or the first.
    """
    words = {name: {_letters(name), _bare(name)} for name in names}
    found = [name for usual in GROUP_NAMES for name, forms in words.items() if usual in forms]
    return next((name for name in found if _repeats(examples.get(name, ()))), next(iter(found), None))


def _repeats(cells: Sequence[object]) -> bool:
    values = [value for cell in cells if (value := value_of_cell(cell))]
    return len(set(values)) < len(values)


def same_column(one: str, other: str) -> bool:
    """Whether two tables mean the same by these names of columns."""
    return _bare(one) == _bare(other)


def _bare(name: str) -> str:
    letters = _letters(name)
    return _ENDING.sub("", letters) or letters


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
