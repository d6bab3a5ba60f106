"""The text of the cache, word for word."""

from __future__ import annotations

from typing import Any

from autofit.cache.store import CacheList, EntrySummary
from autofit.report.cache_text import cache_text, cleared_words, otherwise_words

USED_AT = 1_795_478_400.0  # 24 November 2026


def entry(**changes: Any) -> EntrySummary:
    facts: dict[str, Any] = {
        "name": "0123456789abcdef-18c0ffee00000000-0a1b2c3d",
        "kind": "features",
        "about": {"backbone": "MobileNetV2", "image_size": "160x192", "weights": "imagenet"},
        "images": 1200,
        "size_bytes": 6_178_000,
        "last_used": USED_AT,
    }
    return EntrySummary(**facts | changes)


def listing(*entries: EntrySummary) -> CacheList:
    return CacheList(folder="/home/ada/.cache/autofit", limit_bytes=20 * 10**9, entries=list(entries))


def test_the_list_in_full() -> None:
    """A user would not see which entries use the space, what they hold, or which is removed next."""
    pixels = entry(kind="pixels", about={}, images=5_613_000, size_bytes=6_123_456_789, last_used=USED_AT - 86400)
    assert (
        cache_text(listing(entry(), pixels))
        == """\
what      backbone              size              images      bytes  last used
features  MobileNetV2           160x192            1,200     6.2 MB  2026-11-24
pixels                                         5,613,000     6.1 GB  2026-11-23

2 entries, 6.1 GB of the 20 GB limit
Folder: /home/ada/.cache/autofit"""
    )


def test_an_empty_list_says_what_fills_it() -> None:
    """An empty answer would look like a defect."""
    assert (
        cache_text(listing())
        == """\
The cache is empty: a training with a frozen backbone fills it, up to 20 GB.
Folder: /home/ada/.cache/autofit"""
    )


def test_nothing_in_an_entry_is_wide_or_does_anything() -> None:
    """What lies in a shared cache could clear the screen, or push the figures out of sight."""
    evil = "\x1b[2J\u202e" + "x" * 190
    hostile = entry(
        about={"backbone": evil, "image_size": evil}, images=10**15, size_bytes=10**14, last_used=1e300, kind="pixels"
    )
    shown = cache_text(listing(entry(), hostile, entry(last_used=-1e15), entry(last_used=float("nan"))))
    assert all(line.isprintable() for line in shown.split("\n"))
    assert max(map(len, shown.split("\n"))) <= 80
    assert shown.count("?") == 3


def test_what_was_cleared_in_words() -> None:
    """One would not know whether anything happened, or why the disk is as full as before."""
    assert cleared_words(2, 12_300_000, []) == "2 entries removed, 12.3 MB."
    assert cleared_words(0, 0, []) == "Nothing was removed."
    assert cleared_words(1, 10, [entry()]) == (
        "1 entry removed, 10 B.\n1 entry remains, 6.2 MB: it is in use or cannot be removed."
    )
    assert cleared_words(0, 0, [entry(), entry()]) == (
        "Nothing was removed.\n2 entries remain, 12.4 MB: they are in use or cannot be removed."
    )


def test_how_it_is_set_otherwise_in_words() -> None:
    """One would not find out how to move the cache to a larger disk."""
    assert otherwise_words(3 * 10**9) == (
        "AUTOFIT_CACHE sets another folder, AUTOFIT_CACHE_LIMIT the size limit (now 3 GB)"
    )
