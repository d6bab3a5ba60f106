"""Names as a stranger gives them to files and classes, records that are full of them, and what they must not do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

SECOND_LINE = "INJECTED"

PARTS = {
    "clears the screen": "\x1b[2J\x1b[31m\x9b1m",
    "makes a link": "\x1b]8;;http://evil\x1b\\",
    "writes the clipboard": "\x1b]52;c;aGk=\x07",
    "is markup": "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;",
    "is markup of rich": "[bold red]x[/][link=http://evil]y[/link]",
    "ends the line": f"a\n{SECOND_LINE}\r{SECOND_LINE}\x0b\x0c\x85\u2028\u2029",
    "has tabs": "a\tb\x00\x08\x7f",
    "turns around": "\u202egnp.exe\u2066\u2069\u200f",
    "has no width": "a\u200b\u200d\u2060\ufeffb",
    "is a formula of Matplotlib": "$\\frac$",
    "is of no encoding": "\udcff\udc80",
}
NAME = "".join(PARTS.values())
"""All of it in one."""

FORMULAS = ("=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1+1", "\r=1+1", '=HYPERLINK("http://evil")')

M = TypeVar("M", bound=BaseModel)


def _texts(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(content, str):
        yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from _texts(value, (*path, key))


def poisoned(record: M, name: str = NAME) -> M:
    """The record with this name in place of every text that may be any."""
    content = record.model_dump(mode="python", by_alias=True)
    content = json.loads(json.dumps(content, default=str))
    for path in list(_texts(content)):
        parent = content
        for key in path[:-1]:
            parent = parent[key]
        before, parent[path[-1]] = parent[path[-1]], name
        try:
            type(record).model_validate(content)
        except ValidationError:
            parent[path[-1]] = before
    return type(record).model_validate(content)


def assert_harmless_lines(text: str) -> None:
    """Assert that a terminal shows this text and does nothing, and that no name has made a line of its own."""
    lines = text.split("\n")
    assert not [line for line in lines if not line.isprintable()]
    assert not [line for line in lines if line.startswith(SECOND_LINE)]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.found.append((tag, dict(attrs)))


def assert_harmless_page(page: str) -> None:
    """Assert that a page shows names as text: no element, attribute or control character of theirs."""
    tags = _Tags()
    tags.feed(page)
    assert not [tag for tag, _ in tags.found if tag in {"script", "iframe", "link", "a", "object", "form"}]
    for tag, attributes in tags.found:
        assert not [name for name in attributes if name.startswith("on")]
        assert tag != "img" or str(attributes.get("src")).startswith("data:")
    assert_harmless_lines(page)
