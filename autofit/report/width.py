"""How wide the terminal is that text is written for: a command says it once, and all lines and tables fit. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

COLUMNS, LEAST_COLUMNS = 80, 60
"""Lines of text are no longer than the first where there is more room; nothing is laid out for less than the second."""
TABLE_EDGES = 2
"""Columns that the edges of a table take in a terminal."""

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
