"""How wide the terminal is that text is written for, which a command says once, and text wrapped to that. Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

COLUMNS, LEAST_COLUMNS = 80, 60
"""Lines of text are no longer than the first where there is more room; nothing is laid out for less than the second."""
TABLE_EDGES = 2
"""Columns that the edges of a table take in a terminal."""

_BEFORE_A_UNIT, NO_BREAK = re.compile(r"(?<=\d) (?=(?:s|ms|min|h|[kMGT]B|GiB|images?)\b)"), "\x00"
"""A figure and its unit stay on one line; in text that is shown there is no such character."""

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
    whole = _BEFORE_A_UNIT.sub(NO_BREAK, line)
    filled = textwrap.fill(whole, columns(), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return filled.replace(NO_BREAK, " ")
