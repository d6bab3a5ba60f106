"""The cache as a person reads it in a terminal 80 columns wide. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from autofit.cache.store import FOLDER_VARIABLE, LIMIT_VARIABLE, CacheList, EntrySummary
from autofit.config.byte_size import format_size
from autofit.printable import printable
from autofit.report.words import count_of

HEADER = ("what", "backbone", "size", "images", "bytes", "last used")
WIDTHS = (8, 20, 11, 11, 9, 10)
NUMBERS = {3, 4}


def cache_text(listing: CacheList) -> str:
    """What is kept, a line an entry, and beneath it how much that is."""
    where = f"Kept in {printable(listing.folder)}"
    limit = format_size(listing.limit_bytes)
    if not listing.entries:
        return f"The cache is empty: a training with a frozen backbone fills it, up to {limit}.\n{where}"
    taken = format_size(sum(entry.size_bytes for entry in listing.entries))
    total = f"{_entries(len(listing.entries))}, {taken} of the {limit} that the cache may take"
    return "\n".join([*map(_row, [HEADER, *map(_cells, listing.entries)]), "", total, where])


def cleared_words(count: int, size_bytes: int, stayed: Sequence[EntrySummary]) -> str:
    """What went, and what is still there."""
    went = f"{_entries(count)} removed, {format_size(size_bytes)}." if count else "Nothing was removed."
    if not stayed:
        return went
    verb, pronoun, are = ("stays", "it", "is") if len(stayed) == 1 else ("stay", "they", "are")
    size = format_size(sum(entry.size_bytes for entry in stayed))
    return f"{went}\n{_entries(len(stayed))} {verb}, {size}: {pronoun} {are} in use, or cannot be removed."


def otherwise_words(limit_bytes: int) -> str:
    """How another folder and another limit are set."""
    limit = format_size(limit_bytes)
    return f"{FOLDER_VARIABLE} names another folder, {LIMIT_VARIABLE} how much it may take ({limit} now)"


def _entries(count: int) -> str:
    return count_of(count, "entry", "entries")


def _cells(entry: EntrySummary) -> Sequence[str]:
    backbone, size = entry.about.get("backbone", ""), entry.about.get("image_size", "")
    return entry.kind, backbone, size, f"{entry.images:,}", format_size(entry.size_bytes), _day(entry.last_used)


def _day(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OSError, OverflowError, ValueError):  # a file can be dated to any year
        return "?"


def _row(cells: Sequence[str]) -> str:
    """The cells in their columns, numbers to the right; nothing in an entry can be wider or do anything."""
    placed = [
        f"{_cut(cell, width):{'>' if column in NUMBERS else '<'}{width}}"
        for column, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
    ]
    return "  ".join(placed).rstrip()


def _cut(text: str, width: int) -> str:
    shown = printable(text)
    return shown if len(shown) <= width else f"{shown[: width - 3]}..."
