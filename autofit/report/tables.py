"""Tables for a terminal or a log: an empty rich table with a title, and rows of cells with fixed widths. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.table import Table
from rich.text import Text

from autofit.printable import printable
from autofit.report.width import columns, padded_text

LEAST_FLEXIBLE = 10
"""The least width of the flexible column: a shorter name says little, so spare columns are left out first."""


def titled_table(title: str) -> Table:
    """An empty table, with a gap of two columns between cells, at least as wide as its title."""
    return Table(
        title=Text(title, style="bold not italic"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        min_width=cell_len(title),
    )


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a plain-text table, and how it is narrowed to the width of a terminal.

    Attributes:
        widths: the widths of the columns, where there is room.
        numbers: the indices of columns that are aligned to the right.
        flexible: the index of the column that may be shortened.
        spare: the indices of columns that are left out, in this order, if the flexible one would become too short.
    """

    widths: tuple[int, ...]
    numbers: Sequence[int] = ()
    flexible: int = 0
    spare: tuple[int, ...] = ()

    def lines(self, rows: Iterable[Sequence[str]]) -> list[str]:
        """Each row as a line within the width of text."""
        kept, widths, gap = self._fitted(columns())
        numbers = [place for place, column in enumerate(kept) if column in self.numbers]
        return [fixed_row([row[column] for column in kept], widths, numbers, gap) for row in rows]

    def kept(self, room: int) -> list[int]:
        """The indices of the columns for which there is room, with a gap of two characters between them."""
        return self._fitted(room, least_gap=2)[0]

    def _fitted(self, room: int, least_gap: int = 1) -> tuple[list[int], list[int], int]:
        """The columns that are shown, their widths and the gap between them."""
        kept, spare = [*range(len(self.widths))], [*self.spare]
        if sum(self.widths) + 2 * (len(kept) - 1) <= room:
            return kept, [*self.widths], 2

        def left() -> int:
            others: int = sum(self.widths[column] for column in kept if column != self.flexible)
            return room - others - least_gap * (len(kept) - 1)

        while spare and left() < min(LEAST_FLEXIBLE, self.widths[self.flexible]):
            kept.remove(spare.pop(0))
        name = max(min(left(), self.widths[self.flexible]), 4)
        return kept, [name if column == self.flexible else self.widths[column] for column in kept], least_gap


def natural_widths(rows: Sequence[Sequence[str]]) -> tuple[int, ...]:
    """The width of the longest cell of each column, for one row or more."""
    return tuple(max(map(cell_len, column)) for column in zip(*rows, strict=True))


def fixed_row(cells: Sequence[str], widths: Sequence[int], numbers: Sequence[int], gap: int = 2) -> str:
    """Cells of fixed widths as one line; those at the positions `numbers` are aligned to the right.

    A cell from an untrusted source can neither exceed its width nor control the terminal.
    """
    shown = [shortened_text(cell, width) for cell, width in zip(cells, widths, strict=True)]
    fields = [
        padded_text(cell, width, right=column in numbers)
        for column, (cell, width) in enumerate(zip(shown, widths, strict=True))
    ]
    return (" " * gap).join(fields).rstrip()


def shortened_text(text: str, width: int) -> str:
    """Text as printable characters, shortened with `...` to at most `width` columns of a terminal."""
    shown = printable(text)
    return shown if cell_len(shown) <= width else f"{set_cell_size(shown, width - 3)}..."


def shortened_names(names: Sequence[str], width: int) -> list[str]:
    """Names shortened as by `shortened_text`; those that would then look the same are shortened in the middle."""
    shown = [shortened_text(name, width) for name in names]
    uses = Counter(shown)
    return [
        text if uses[text] == 1 else _without_middle(printable(name), width)
        for name, text in zip(names, shown, strict=True)
    ]


def _without_middle(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    half = (width - 3) // 2
    return f"{set_cell_size(text, half)}...{set_cell_size(text[::-1], half)[::-1]}"


def day(seconds: float) -> str:
    """The UTC date of a Unix time, as `2026-11-28`; `?` if it is out of range (a file can be dated to any year)."""
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OSError, OverflowError, ValueError):
        return "?"
