"""Tables for a terminal or a log: an empty rich table with a title, and rows of cells with fixed widths. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich import box
from rich.table import Table
from rich.text import Text

from autofit.printable import printable


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


def fixed_row(cells: Sequence[str], widths: Sequence[int], numbers: Sequence[int]) -> str:
    """Cells of fixed widths as one line; those at the positions `numbers` are aligned to the right.

    A cell from an untrusted source can neither exceed its width nor control the terminal.
    """
    shown = [shortened_text(cell, width) for cell, width in zip(cells, widths, strict=True)]
    placed = [
        f"{cell:>{width}}" if column in numbers else f"{cell:<{width}}"
        for column, (cell, width) in enumerate(zip(shown, widths, strict=True))
    ]
    return "  ".join(placed).rstrip()


def shortened_text(text: str, width: int) -> str:
    """Text as printable characters, shortened with `...` to at most `width` of them."""
    shown = printable(text)
    return shown if len(shown) <= width else f"{shown[: width - 3]}..."


def day(seconds: float) -> str:
    """The UTC date of a Unix time, as `2026-11-28`; `?` if it is out of range (a file can be dated to any year)."""
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OSError, OverflowError, ValueError):
        return "?"
