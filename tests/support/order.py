"""The order in which tests begin, so that processes that test side by side seldom wait for each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pytest

MAKERS = {"made_once", "undisturbed_run"}
"""What a file imports whose fixtures are made by the first process that asks, while the others wait."""

FIRST, MIDDLE, LAST, FAST = range(4)


def in_order(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Begin with the slow tests: at the end all processes then have short ones left, and finish together.

    Of these, first the one of a file that makes what others of it read, and last those that read it.
    """
    seen: defaultdict[str, set[str]] = defaultdict(set)
    ranked = [(_rank(item, seen[item.path.as_posix()]), item) for item in items]
    return [item for _, item in sorted(ranked, key=lambda pair: pair[0])]


def _rank(item: pytest.Item, seen: set[str]) -> int:
    """When a test begins; `seen` are the fixtures of its file that a test before it uses, and gets those of this."""
    if item.get_closest_marker("slow") is None:
        return FAST
    fixtures = set(getattr(item, "fixturenames", ()))
    is_new = not fixtures <= seen
    seen |= fixtures
    if not MAKERS & vars(getattr(item, "module", object)).keys():
        return MIDDLE
    return FIRST if is_new else LAST
