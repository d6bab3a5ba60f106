"""What the cells of a column of splits say: names of splits, or 0 and 1 for one of them. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from autofit.dataset.label_sets import MARKS, NO_MARK, mark_of
from autofit.dataset.mark_columns import holds_marks
from autofit.dataset.split_words import FLAGS, Role, bare_name, is_bare_split, split_name, split_role
from autofit.errors import UserError

PLAIN_FLAGS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing", "holdout"})
"""Names of columns of 0 and 1 that may be splits: several of them are, one alone may be anything."""

_HELD_OUT = frozenset({"holdout", "heldout", "eval", "evaluation"})
"""Names of images held out that do not say for which split."""

_SMALL_WORDS = frozenset({"is", "in", "for"})
_YES_OR_NO = frozenset({*MARKS, "yes", "no", "y", "n"})

FIRST_CELLS = 10
LOOKED_AT_ROWS = 1000
"""The number of rows that decide which columns of 0 and 1 are labels; an error names a later row that contradicts."""


@cache
def flag_role(column: str) -> Role | None:
    """The split of the rows with 1 in a column of this name, such as `is_valid`; None for any other column."""
    return FLAGS.get(bare_name(column))


def split_word(column: str, cell: object) -> str:
    """The name of a row's split, as it stands there or as a flag means it.

    Raises:
        ValueError: a flag is neither 0 nor 1.
    """
    role = flag_role(column)
    if role is None:
        return str(cell)
    marked = mark_of(cell)
    if marked is None:
        raise ValueError(f"{column} is {str(cell)[:40]!r}, neither 0 nor 1")
    return role if marked else "train"


def split_words_of(cells: Iterable[object], column: str) -> list[str]:
    """The name of each row's split.

    Raises:
        UserError: a flag is neither 0 nor 1.
    """
    words = []
    for number, cell in enumerate(cells):
        try:
            words.append(split_word(column, cell))
        except ValueError as error:
            raise UserError(f"item {number}: {error}") from None
    return words


def holds_splits(values: Sequence[object]) -> bool:
    """Whether the first value is the name of a split, or most of those that are there: an empty first one is named."""
    texts = [text for value in values if (text := str(value).strip()).lower() not in NO_MARK]
    named = sum(split_role(text) is not None for text in texts)
    return named > len(texts) / 2 or (bool(values) and split_role(str(values[0])) is not None)


def holds_nothing_but_splits(values: Sequence[object]) -> bool:
    """Whether each value is the plain name of a split, whatever the column's name; all of one only in a long table.

    Long ones are mostly sorted by split, so that not all of them are among the first rows. A few cells may be empty.
    """
    roles = _plain_roles(values)
    least = 1 if len(values) >= LOOKED_AT_ROWS else 2
    return len(roles) >= least and None not in roles and roles.total() > len(values) / 2


def holds_mostly_splits(values: Sequence[object]) -> bool:
    """Whether most values are plain names of splits, or of images held out, of two or more, and not all say which."""
    if not any(split_role(str(value)) for value in values[:FIRST_CELLS]):  # of thousands of columns none has one
        return False
    roles = _plain_roles(values)
    held_out = sum(bare_name(value) in _HELD_OUT for value in values)
    named = len(roles) - (None in roles) + bool(held_out)
    return named > 1 and roles[None] > 0 and roles[None] - held_out < sum(roles.values()) / 2


def says_split(column: str, values: Sequence[object]) -> bool:
    """Whether a column asks for one split, such as `in_test_set`, and its values answer yes or no.

    `Dev` and `Test 1` do not ask: they may be labels.
    """
    said = split_name(column)
    if said is None or not _SMALL_WORDS.issuperset(said.others):
        return False
    if is_bare_split(column) or re.search("[0-9]", column):
        return False
    answers = {text for value in values if (text := str(value).strip().lower()) not in NO_MARK}
    return bool(answers) and answers <= _YES_OR_NO


def _plain_roles(values: Sequence[object]) -> Counter[Role | None]:
    """How many values are the plain name of each split, and of none."""
    texts = Counter(text for value in values if (text := str(value).strip()).lower() not in NO_MARK)
    roles = Counter[Role | None]()
    for text, count in texts.items():
        said = split_name(text)
        roles[said.role if said is not None and not said.others else None] += count
    return roles


def plain_flags(others: Sequence[str], examples: Mapping[str, Sequence[object]]) -> list[str]:
    """The columns of 0 and 1 with the plain name of a split."""
    return [name for name in others if bare_name(name) in PLAIN_FLAGS and holds_marks(examples.get(name, ()))]
