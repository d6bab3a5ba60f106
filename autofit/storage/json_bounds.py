"""The size and the number of values that JSON from an untrusted source may have, checked before it is parsed.

A parser takes some hundred times the memory of a short text: a value has an object, and an unknown field an error. So
the marks that begin a value are counted first; those inside of texts count as well, which only a bound can bear.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

MAX_RECORD_BYTES = 64 * 2**20
"""The size of a record; the longest are those of runs of many epochs, whose history has a number for each."""

MOST_DEPTH = 200
"""Of values in each other, as Pydantic's parser has it; functions that call themselves come through 1,000."""


class JsonLimits(NamedTuple):
    """What a text may have at most.

    The defaults are for what one call says: 100,000 classes, or that many fields. One unknown field takes 0.8 kB.

    Attributes:
        size_bytes: of the whole.
        keys: fields of all objects together, counted by their colons.
        values: counted by commas and opening brackets.
    """

    size_bytes: int = MAX_RECORD_BYTES
    keys: int = 100_000
    values: int = 4_000_000


LONG_RECORD = JsonLimits(keys=400_000, values=8_000_000)
"""Of a record that grows with the run: 200,000 epochs of ten figures, and 100,000 unreadable images with reasons."""

LINE = JsonLimits(2**20, 10_000, 300_000)
"""Of one line of a worker's events or its heartbeat; those of the audit log may be longer."""


def require_bounded(data: bytes, name: str, limits: JsonLimits) -> None:
    """Check that a text is within its limits.

    Raises:
        ValueError: it is not; the message names the file.
    """
    _require(len(data), limits.size_bytes, "bytes", name)
    _require(data.count(b":"), limits.keys, "fields", name)
    _require(data.count(b",") + data.count(b"[") + data.count(b"{"), limits.values, "values", name)


def parsed(data: bytes, name: str, limits: JsonLimits | None = None) -> Any:
    """The content of a text within its limits, by default those of a record.

    Raises:
        ValueError: it is beyond them, nested too deeply, or no JSON; the message names the file.
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
    """Check the depth level by level: the C code of `json` comes through more levels than Python's functions do."""
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
