"""How wide the terminal is that text is written for, which a command says once, and text wrapped to that. Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.cells import cell_len

COLUMNS, LEAST_COLUMNS = 80, 60
"""Lines of text are no longer than the first where there is more room; nothing is laid out for less than the second."""
TABLE_EDGES = 2
"""Columns that the edges of a table take in a terminal."""

_BEFORE_A_UNIT, NO_BREAK = re.compile(r"(?<=\d) (?=(?:s|ms|min|h|[kMGT]B|GiB|images?)\b)"), "\x00"
"""A figure and its unit stay on one line; in text that is shown there is no such character."""
SECOND_CELL = "\x01"
"""After a letter that takes two columns, as Chinese ones do, while text is wrapped; nor is this shown."""

_columns: ContextVar[int] = ContextVar("columns", default=COLUMNS)


def columns() -> int:
    """How wide text may be: 80 columns, or what was said."""
    return _columns.get()


def table_columns() -> int:
    """How wide the rows of a table may be."""
    return columns() - TABLE_EDGES


@contextmanager
def in_columns(count: int) -> Iterator[None]:
    """Write text for a terminal of so many columns, within the limits above."""
    token = _columns.set(max(LEAST_COLUMNS, min(COLUMNS, count)))
    try:
        yield
    finally:
        _columns.reset(token)


def wrapped(line: str) -> str:
    """A sentence as wide as text is; a line about a file is not wrapped, so that its name can be copied."""
    if line.startswith(" "):
        return line
    return "\n".join(wrapped_lines(_BEFORE_A_UNIT.sub(NO_BREAK, line), columns(), indent="  "))


def wrapped_lines(text: str, width: int, indent: str = "", *, break_long_words: bool = False) -> list[str]:
    """Text as lines of at most so many columns of a terminal, all but the first indented; a long name may be longer.

    Args:
        text: to wrap; a `NO_BREAK` is shown as a blank.
        width: in columns.
        indent: before each line but the first.
        break_long_words: whether a long name is torn apart instead.
    """
    lines = textwrap.wrap(
        "".join(f"{letter}{SECOND_CELL}" if cell_len(letter) > 1 else letter for letter in text),
        width,
        subsequent_indent=indent,
        break_long_words=break_long_words,
        break_on_hyphens=False,
    )
    return [line.replace(SECOND_CELL, "").replace(NO_BREAK, " ") for line in lines]


def placed(text: str, width: int, *, right: bool = False) -> str:
    """Text at the left, or the right, of a field of so many columns of a terminal; longer text is left as it is."""
    blanks = " " * (width - cell_len(text))
    return f"{blanks}{text}" if right else f"{text}{blanks}"
