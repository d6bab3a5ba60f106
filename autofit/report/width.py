"""The width of the terminal for which text is written, which a command sets once, and wrapping to that width. Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.cells import cell_len

COLUMNS, LEAST_COLUMNS = 80, 60
"""The most columns that lines of text take, also in a wider terminal, and the least for which text is laid out."""
TABLE_EDGES = 2
"""Columns that the edges of a table take in a terminal."""

_BEFORE_A_UNIT, NO_BREAK = re.compile(r"(?<=\d) (?=(?:s|ms|min|h|[kMGT]B|GiB|images?)\b)"), "\x00"
"""Stands for the space between a number and its unit while text is wrapped, so that they stay on one line; it is never
shown."""
SECOND_CELL = "\x01"
"""Follows each letter of two columns, such as a Chinese one, while text is wrapped; it is never shown either."""

_columns: ContextVar[int] = ContextVar("columns", default=COLUMNS)


def columns() -> int:
    """How many columns text may take: 80, unless `in_columns` has set another number."""
    return _columns.get()


def table_columns() -> int:
    """How many columns the rows of a table may take."""
    return columns() - TABLE_EDGES


@contextmanager
def in_columns(count: int) -> Iterator[None]:
    """Within this context, write text for a terminal of `count` columns, within the limits above."""
    token = _columns.set(max(LEAST_COLUMNS, min(COLUMNS, count)))
    try:
        yield
    finally:
        _columns.reset(token)


def wrapped(line: str) -> str:
    """A sentence wrapped to the width of text; a line about a file is not wrapped, so that its name can be copied."""
    if line.startswith(" "):
        return line
    return "\n".join(wrapped_lines(_BEFORE_A_UNIT.sub(NO_BREAK, line), columns(), indent="  "))


def wrapped_lines(text: str, width: int, indent: str = "", *, break_long_words: bool = False) -> list[str]:
    """Text as lines of at most `width` columns, all but the first indented; only a longer name may exceed the width.

    Args:
        text: the text to wrap; a `NO_BREAK` is shown as a blank.
        width: in columns of a terminal.
        indent: put before each line but the first.
        break_long_words: whether a name that is longer than a line is broken.
    """
    lines = textwrap.wrap(
        "".join(f"{letter}{SECOND_CELL}" if cell_len(letter) > 1 else letter for letter in text),
        width,
        subsequent_indent=indent,
        break_long_words=break_long_words,
        break_on_hyphens=False,
    )
    return [line.replace(SECOND_CELL, "").replace(NO_BREAK, " ") for line in lines]


def padded_text(text: str, width: int, *, right: bool = False) -> str:
    """Text padded at the right, or the left, to `width` columns of a terminal; longer text stays as it is."""
    blanks = " " * (width - cell_len(text))
    return f"{blanks}{text}" if right else f"{text}{blanks}"
