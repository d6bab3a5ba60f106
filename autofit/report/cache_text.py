"""Cached features and pixels as text for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from autofit.cache.folder import FOLDER_VARIABLE
from autofit.cache.store import LIMIT_VARIABLE, CacheList, EntrySummary
from autofit.config.byte_size import format_size
from autofit.printable import printable
from autofit.report.tables import Layout, day
from autofit.report.width import wrapped
from autofit.report.words import count_of

HEADER = ("what", "backbone", "size", "images", "bytes", "last used")
ENTRIES = Layout((8, 20, 11, 11, 9, 10), numbers=(3, 4), flexible=1, spare=(5,))


def cache_text(listing: CacheList) -> str:
    """The cache entries, one line each, then their total size and the folder."""
    where = f"Folder: {printable(listing.folder)}"
    limit = format_size(listing.limit_bytes)
    if not listing.entries:
        empty = f"The cache is empty: a training with a frozen backbone fills it, up to {limit}."
        return f"{wrapped(empty)}\n{where}"
    taken = format_size(sum(entry.size_bytes for entry in listing.entries))
    total = f"{_entries(len(listing.entries))}, {taken} of the {limit} limit"
    rows = ENTRIES.lines([HEADER, *map(_cells, listing.entries)])
    return "\n".join([*rows, "", total, where])


def cleared_words(count: int, size_bytes: int, remaining: Sequence[EntrySummary]) -> str:
    """How many entries were removed, and how many could not be removed."""
    removed = f"{_entries(count)} removed, {format_size(size_bytes)}." if count else "Nothing was removed."
    if not remaining:
        return removed
    verb, pronoun, are = ("remains", "it", "is") if len(remaining) == 1 else ("remain", "they", "are")
    size = format_size(sum(entry.size_bytes for entry in remaining))
    rest = f"{_entries(len(remaining))} {verb}, {size}: {pronoun} {are} in use or cannot be removed."
    return f"{removed}\n{wrapped(rest)}"


def otherwise_words(limit_bytes: int) -> str:
    """The environment variables that set another folder and another limit."""
    limit = format_size(limit_bytes)
    return f"{FOLDER_VARIABLE} sets another folder, {LIMIT_VARIABLE} the size limit (now {limit})"


def _entries(count: int) -> str:
    return count_of(count, "entry", "entries")


def _cells(entry: EntrySummary) -> Sequence[str]:
    backbone, size = entry.about.get("backbone", ""), entry.about.get("image_size", "")
    return entry.kind, backbone, size, f"{entry.images:,}", format_size(entry.size_bytes), day(entry.last_used)
