"""Bounds on the size and the number of values of JSON from an untrusted source, checked before it is parsed.

A parser may take a hundred times the memory of the text, since it makes an object for each value and an error for each
unknown field. So the characters that begin a value are counted first. Those inside of strings are counted too, so the
counts are upper bounds.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

MAX_RECORD_BYTES = 64 * 2**20
"""The most bytes of a record. The longest records are those of runs with many epochs, for their history."""

MOST_DEPTH = 200
"""How deeply values may be nested, as in Pydantic's parser. Recursive functions reach a depth of 1,000."""


class JsonLimits(NamedTuple):
    """What JSON may have at most.

    The defaults suffice for what a user gives in one call, with 100,000 classes or fields. An unknown field takes
    0.8 kB of memory.

    Attributes:
        size_bytes: the size of the text.
        keys: the fields of all objects together, counted by their colons.
        values: the values, counted by commas and opening brackets.
    """

    size_bytes: int = MAX_RECORD_BYTES
    keys: int = 100_000
    values: int = 4_000_000


LONG_RECORD = JsonLimits(keys=400_000, values=8_000_000)
"""For a record that grows with the run: 200,000 epochs of ten figures, and 100,000 unreadable images with reasons."""

LINE = JsonLimits(2**20, 10_000, 300_000)
"""For one line of a worker's events or its heartbeat; lines of the audit log may be longer."""


def require_bounded(data: bytes, name: str, limits: JsonLimits) -> None:
    """Check that JSON is within its limits.

    Raises:
        ValueError: it is not; the message names the file.
    """
    _require(len(data), limits.size_bytes, "bytes", name)
    _require(data.count(b":"), limits.keys, "fields", name)
    _require(data.count(b",") + data.count(b"[") + data.count(b"{"), limits.values, "values", name)


def parsed(data: bytes, name: str, limits: JsonLimits | None = None) -> Any:
    """The parsed content of JSON within its limits, by default those of a record.

    Raises:
        ValueError: it exceeds them, is nested too deeply, or is no JSON; the message names the file.
    """
    require_bounded(data, name, limits or JsonLimits())
    try:
        content = json.loads(data)
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{name} is no JSON: {error}") from None
    _require_flat(content, name)
    return content


def _require_flat(content: Any, name: str) -> None:
    """Check the depth, level by level and not recursively: `json`, in C, parses more levels than Python can recurse."""
    level = [content]
    for _ in range(MOST_DEPTH):
        parts = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [value for part in parts for value in part]
        if not level:
            return
    raise ValueError(f"{name} is nested too deeply")


def _require(found: int, most: int, what: str, name: str) -> None:
    if found > most:
        raise ValueError(f"{name} has {found:,} {what}, more than the {most:,} it may have")
