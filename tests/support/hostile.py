"""Files as a stranger would forge them, for Hypothesis: valid ones with a hostile value, torn ones, and noise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

_HERE = "\x01hostile\x01"

VALUES = (
    "NaN",
    "Infinity",
    "1e999",
    "-1e999",
    "9" * 5000,
    "9" * 4000,
    "-" + "9" * 400,
    "1e308",
    "5e-324",
    "-1",
    "0",
    "-0.0",
    "0.5",
    str(2**31),
    str(2**63),
    str(2**64),
    "true",
    "null",
    "[]",
    "{}",
    "[null]",
    '""',
    '"\\ud800"',
    '"\\u0000"',
    '"\\u001b]52;c;aGk=\\u0007"',
    '"\\u202egnp.exe\\r\\n<script>alert(1)</script>"',
    '"../../../../etc/passwd"',
    '"=HYPERLINK(1)"',
    '"' + "x" * 200_000 + '"',
    "[" * 150 + "]" * 150,
    "[" * 5000 + "]" * 5000,
    '{"a":' * 5000 + "1" + "}" * 5000,
    "[" + "1," * 20_000 + "1]",
    "{" + ",".join(f'"{number}":1' for number in range(3000)) + "}",
)
"""JSON texts: numbers, texts and depths that some reader somewhere believes."""

PIECES = (
    b"\x00",
    b"\xff\xfe",
    b"\n",
    b"\r",
    b'"',
    b",",
    b"\x89PNG\r\n",
    b"PK\x03\x04",
    b"[" * 5000,
    b"9" * 5000,
    b"," * 5000,
)

BOUNDED = settings(
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)
"""The same cases each time, nothing written beside the tests."""


def _places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value in a JSON value."""
    yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from _places(value, (*path, key))


def with_value(content: Any, path: tuple[Any, ...], text: str | None) -> bytes:
    """A JSON value as text, with this text in place of the value there; or without that, for None."""
    if not path:
        return (text or "").encode()
    copy = json.loads(json.dumps(content))
    parent = copy
    for key in path[:-1]:
        parent = parent[key]
    if text is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = _HERE
    return json.dumps(copy).replace(json.dumps(_HERE), text or "").encode()


def forged_json(valid: bytes) -> st.SearchStrategy[bytes]:
    """A JSON file with one value replaced, left out, or said twice."""
    content = json.loads(valid)
    places = st.sampled_from(list(_places(content)))
    twice = valid.rstrip()[:-1] + b"," + valid.lstrip()[1:] if content else valid
    unknown = valid.rstrip()[:-1] + b', "unknown": [1e999]}'
    return st.one_of(
        st.builds(lambda place, text: with_value(content, place, text), places, st.sampled_from(VALUES)),
        st.builds(lambda place: with_value(content, place, None), places),
        st.sampled_from([twice, unknown]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=10,
        ).map(lambda value: json.dumps(value).encode()),
    )


def torn(valid: bytes) -> st.SearchStrategy[bytes]:
    """Any file that is cut off, has bytes of another kind in it or some of its own twice, or is anything at all."""
    place = st.integers(0, len(valid))
    piece = st.one_of(st.sampled_from(PIECES), st.binary(max_size=20))
    return st.one_of(
        st.builds(lambda end: valid[:end], place),
        st.builds(lambda at, piece: valid[:at] + piece + valid[at:], place, piece),
        st.builds(lambda at, piece: valid[:at] + piece + valid[at + len(piece) :], place, piece),
        st.builds(lambda one, other: valid[:other] + valid[min(one, other) :], place, place),
        st.builds(lambda times: valid * times, st.integers(2, 30)),
        st.binary(max_size=200),
    )


def forged_lines(valid: bytes) -> st.SearchStrategy[bytes]:
    """A file of lines of JSON, of which the first has a hostile value."""
    first, _, rest = valid.partition(b"\n")
    return forged_json(first).map(lambda line: line.replace(b"\n", b" ") + b"\n" + rest)


def forged_table(valid: bytes) -> st.SearchStrategy[bytes]:
    """A table with a hostile cell."""
    cells = [
        "",
        '"',
        "-1",
        "9" * 5000,
        "1e999",
        "nan",
        "=1+1",
        "../../x",
        "/etc/passwd",
        "\x00",
        "a\nb",
        "\u202e",
        "x" * 2**18,
    ]
    lines = valid.split(b"\n")
    place = st.tuples(st.integers(0, max(0, len(lines) - 2)), st.integers(0, 9))

    def with_cell(place: tuple[int, int], cell: str) -> bytes:
        row, column = place
        parts = lines[row].split(b",")
        parts[column % len(parts)] = cell.encode()
        return b"\n".join([*lines[:row], b",".join(parts), *lines[row + 1 :]])

    return st.builds(with_cell, place, st.sampled_from(cells))
