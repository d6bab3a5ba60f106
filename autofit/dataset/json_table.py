"""Reads a table of images in JSON: lines with an object each, an array of objects, or an object from path to label.

One item is read at a time, and no item may be longer than a line of a CSV file: neither the file nor its values are
ever in memory as a whole.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from autofit.dataset.folder import ends_as_image
from autofit.dataset.table import MOST_LINE_CHARACTERS, damaged, refusing_unreadable, text_of
from autofit.dataset.table_form import encoding_of
from autofit.errors import UserError
from autofit.printable import printable

SUFFIXES: Final = frozenset({".json", ".jsonl", ".ndjson"})
PATH, LABEL = "path", "label"
"""The columns of an object from path to label."""

MAKE_TABLE: Final = (
    "make a table of the images and classes in it (of COCO, those in 'annotations') with pandas, and give the DataFrame"
)
LONGEST_WORD = len("-Infinity")
SHOWN_CHARACTERS = 40
_BLANKS: Final = re.compile(r"[ \t\r\n]*")

Row = dict[str, Any]


def is_json(path: Path) -> bool:
    """Whether a file is one of JSON, by its suffix."""
    return path.suffix.lower() in SUFFIXES


def read_objects(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield each object, with the number of the line in which it begins; bytes that are no text become surrogates.

    What an object says twice is refused. NaN, which some programs write for a missing value, is read as such.

    Raises:
        UserError: the file cannot be read, is no JSON, or has an item that is no object or is too long.
    """
    with refusing_unreadable(path), text_of(path, encoding_of(path)) as stream:
        yield from _rows_of(_Items(stream, path))


def _rows_of(items: _Items) -> Iterator[tuple[int, Row]]:
    if items.peek() == "[":
        for line in items.members("[", "]"):
            yield line, _object(items, line)
        items.require_end()
    elif (key := items.first_key()) is not None and "." in key and ends_as_image(key):
        for line in items.members("{", "}"):
            path = items.key(line)
            yield line, {PATH: path, LABEL: items.value()}
        items.require_end()
    else:
        while items.peek():
            line = items.line
            yield line, _object(items, line)
            if items.peek() == ",":
                items.refuse("a comma follows an object: leave it out, or put brackets, [ and ], around all objects")


def _object(items: _Items, line: int) -> Row:
    value = items.value()
    if not isinstance(value, dict):
        shown = str(value) if isinstance(value, str | int | float) else "an array" if value is not None else "null"
        items.refuse(f"{printable(shown[:SHOWN_CHARACTERS])} is no object with a path and a label", line)
    return value


class _Items:
    """The values of a JSON text one after another, of which no more than one and what is read ahead is in memory."""

    def __init__(self, stream: TextIO, path: Path) -> None:
        self.line = 1
        self._stream, self._path = stream, path
        self._text, self._at = "", 0
        self._is_whole = False  # the rest of the file is in `_text`

    def peek(self) -> str:
        """The next character that is no blank; empty at the end of the file."""
        while True:
            self._read_ahead()
            found = _BLANKS.match(self._text, self._at)
            assert found is not None  # noqa: S101 - no blank at all matches, too
            self._pass(found.end())
            if self._at < len(self._text) or self._is_whole:
                return self._text[self._at : self._at + 1]

    def take(self, mark: str) -> None:
        """Pass a mark.

        Raises:
            UserError: something else stands there.
        """
        if (found := self.peek()) != mark:
            self.refuse(f"{printable(found)!r} stands where {mark!r} is expected" if found else _ENDS)
        self._pass(self._at + 1)

    def members(self, opening: str, closing: str) -> Iterator[int]:
        """Yield the line of each member of an array or an object, which the caller then reads."""
        self.take(opening)
        if self.peek() == closing:
            self.take(closing)
            return
        while True:
            self.peek()
            yield self.line
            if self.peek() == closing:
                self.take(closing)
                return
            self.take(",")

    def key(self, line: int) -> str:
        """The key of a member, with the colon behind it."""
        key = self.value()
        if not isinstance(key, str):
            self.refuse("a key is no text", line)
        self.take(":")
        return key

    def value(self) -> Any:
        """The next value.

        Raises:
            UserError: there is none, or it is damaged or too long.
        """
        self._reach()
        try:
            value, end = _DECODER.raw_decode(self._text, self._at)
        except RecursionError:
            self.refuse("it is nested too deeply")
        except json.JSONDecodeError as error:
            self._refuse_part(error)
        except ValueError as error:
            self.refuse(str(error).partition("; use sys.")[0])  # of a number with thousands of digits
        self._pass(end)
        return value

    def first_key(self) -> str | None:
        """The first key of the object that begins here, which stays to be read; None if there is none."""
        self._reach()
        if self.peek() != "{":
            return None
        found = _BLANKS.match(self._text, self._at + 1)
        assert found is not None  # noqa: S101 - as in `peek`
        if not self._text.startswith('"', found.end()):
            return None
        try:
            return str(_DECODER.raw_decode(self._text, found.end())[0])
        except ValueError:
            return None

    def require_end(self) -> None:
        """Check that nothing follows."""
        if found := self.peek():
            self.refuse(f"{printable(found)!r} follows the end of the JSON")

    def refuse(self, problem: str, line: int | None = None) -> NoReturn:
        """Raise the error that names the line, by default that of the next character."""
        raise damaged(self._path, self.line if line is None else line, problem)

    def _refuse_part(self, error: json.JSONDecodeError) -> NoReturn:
        """Say what is wrong with a value: it is damaged, it is too long, or the file ends in it."""
        line = self.line + self._text.count("\n", self._at, error.pos)
        is_open = error.msg.startswith("Unterminated")
        if self._is_whole and (is_open or error.pos >= len(self._text.rstrip())):
            self.refuse(_ENDS, line)
        if not self._is_whole and (is_open or error.pos + LONGEST_WORD > len(self._text)):
            raise UserError(
                f"{printable(str(self._path))}, line {self.line}: what begins here has more than "
                f"{MOST_LINE_CHARACTERS:,} characters, and is no image with its label: {MAKE_TABLE}"
            )
        self.refuse(f"it is no JSON ({error.msg[0].lower()}{error.msg[1:]})", line)

    def _reach(self) -> None:
        """Pass blanks, and read the whole of what follows."""
        self.peek()
        self._read_ahead()

    def _pass(self, end: int) -> None:
        self.line += self._text.count("\n", self._at, end)
        self._at = end

    def _read_ahead(self) -> None:
        """Have as much text as an item may have, and the mark behind it; or all that is left."""
        if not self._is_whole and len(self._text) - self._at <= MOST_LINE_CHARACTERS:
            more = self._stream.read(2 * MOST_LINE_CHARACTERS)
            self._text, self._at = self._text[self._at :] + more, 0
            self._is_whole = len(more) < 2 * MOST_LINE_CHARACTERS


_ENDS: Final = "the file ends here, before its JSON is complete"


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"{twice[:SHOWN_CHARACTERS]!r} is there twice in one object")
    return row


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_without_repeats)
