"""How a table looks in a terminal: one rule under its head, a title above it."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text


def titled_table(title: str) -> Table:
    """An empty table, two columns between its cells, wide enough for its title."""
    return Table(
        title=Text(title, style="bold not italic"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        min_width=len(title),
    )
