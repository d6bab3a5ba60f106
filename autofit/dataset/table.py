"""Reads and writes the rows of a CSV file; a row is read with its line number, so that a damaged one can be named.

Both work line by line: the text of a million lines is never in memory.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from autofit.errors import UserError
from autofit.printable import printable
from autofit.storage.safe_files import open_plain, whole_file
from autofit.storage.system_errors import said_of

SHOWN_HEADER_CHARACTERS = 80
MOST_LINE_CHARACTERS = 2**20
"""The most characters of a line; a column of 0 and 1 for each of several thousand labels takes far fewer."""


def read_rows(
    path: Path,
    columns: Sequence[str],
    *,
    encoding: str = "utf-8-sig",
    separator: str = ",",
    may_be_empty: Collection[str] = (),
) -> Iterator[tuple[int, list[str]]]:
    """Yield each row as the number of its first line and its cells under `columns`, in their order.

    By default the file is UTF-8, with or without a byte order mark, with commas. Bytes that are not UTF-8, which Linux
    allows in names, become surrogates in cells; in the header they are read as by `readable`. Other columns and blank
    lines are skipped. Cells may be empty in the columns `may_be_empty`.

    Raises:
        UserError: the file cannot be read or is not a CSV file with these columns, or a line is damaged: it has more
            or fewer cells than the header, an empty cell under `columns`, or a broken quotation.
    """
    with refusing_unreadable(path), text_of(path, encoding) as stream:
        yield from _rows_of(stream, path, columns, separator, may_be_empty)


def read_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield each line of a text that is not blank, with its number; bytes that are no text become surrogates.

    Raises:
        UserError: the file cannot be read, or a line is longer than any table's.
    """
    try:
        with refusing_unreadable(path), text_of(path, encoding) as stream:
            for number, line in enumerate(_bounded(stream), 1):
                if line.strip():
                    yield number, line
    except csv.Error as error:
        raise UserError(f"{printable(str(path))}: a line is too long ({error}): give a list of images") from None


def columns_of(path: Path) -> tuple[str, ...]:
    """The columns in the first line of a CSV file with commas; none if it cannot be read."""
    try:
        with text_of(path, "utf-8-sig") as stream:
            return tuple(next(csv.reader(_bounded(stream)), []))
    except (OSError, csv.Error):
        return ()


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str | float]]) -> None:
    """Write a file that `read_rows` reads, completely or not at all: UTF-8, surrogates as the bytes they represent.

    Raises:
        OSError: it cannot be written.
    """
    with whole_file(path) as file:
        stream = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")
        stream.write(",".join(columns) + "\n")
        # QUOTE_MINIMAL leaves a carriage return bare before Python 3.13, and a reader would end the line there
        csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerows(rows)
        stream.detach()


def csv_line(cells: Sequence[str]) -> str:
    """A line, without its line end, for a table that other programs read; only cells that need it are quoted."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\r\n").writerow(cells)  # before Python 3.13 only marks of the end are quoted
    return stream.getvalue().removesuffix("\r\n")


def readable(text: str) -> str:
    """A cell of a user's table; if it has bytes that are not UTF-8, read as Windows-1252, in which Excel saves CSV."""
    if text.isascii() or is_utf8(text):
        return text
    try:
        return text.encode(errors="surrogateescape").decode("cp1252", errors="surrogateescape")
    except UnicodeEncodeError:  # half a character of a table in UTF-16
        return text


def is_utf8(text: str) -> bool:
    """Whether no byte of a text that `read_rows` reads has become a surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def damaged(path: Path, line: int, problem: str) -> UserError:
    """The error that names a damaged line."""
    return UserError(f"{printable(str(path))}, line {line}: {problem}; correct this line")


@contextlib.contextmanager
def refusing_unreadable(path: Path) -> Iterator[None]:
    """Turn what comes of opening and reading a user's text into the error that names it.

    Raises:
        UserError: it cannot be read, or is no text of its encoding, as UTF-16 that was cut off.
    """
    try:
        yield
    except OSError as error:
        raise UserError(said_of(error, f"{printable(str(path))} cannot be read", "give a file that can")) from None
    except UnicodeError as error:
        raise UserError(f"{printable(str(path))} is no text ({error}): save it as UTF-8") from None


def text_of(path: Path, encoding: str) -> TextIO:
    """Open a regular file as text; a link is followed, since the user has named it."""
    return io.TextIOWrapper(open_plain(path), encoding=encoding, errors="surrogateescape", newline="")


def _bounded(stream: TextIO) -> Iterator[str]:
    """The lines of a file.

    Raises:
        csv.Error: a line is too long for a table.
    """
    while line := stream.readline(MOST_LINE_CHARACTERS + 1):
        if len(line) > MOST_LINE_CHARACTERS:
            raise csv.Error(f"it has more than {MOST_LINE_CHARACTERS:,} characters")
        yield line


def _rows_of(
    stream: TextIO, path: Path, columns: Sequence[str], separator: str, may_be_empty: Collection[str]
) -> Iterator[tuple[int, list[str]]]:
    # strict: else an open quotation mark would swallow the rest of the file
    reader = csv.reader(_bounded(stream), strict=True, delimiter=separator)
    header = _header(reader, path, columns)
    place_of = {column: place for place, column in enumerate(header)}
    positions = [place_of[column] for column in columns]
    required = [place_of[column] for column in columns if column not in may_be_empty]
    line = reader.line_num + 1
    try:
        for cells in reader:
            if cells:
                _require_whole(cells, header, required, path, line)
                yield line, [cells[position] for position in positions]
            line = reader.line_num + 1
    except csv.Error as error:
        raise damaged(path, line, str(error)) from None


def _header(reader: Iterator[list[str]], path: Path, columns: Sequence[str]) -> list[str]:
    try:
        header = [readable(name) for name in next(reader, [])]
    except csv.Error:
        header = []
    times = Counter(header)
    if any(times[column] != 1 for column in columns):
        first_line = ",".join(header)[:SHOWN_HEADER_CHARACTERS]
        raise UserError(
            f"{printable(str(path))} is no CSV file with the columns {','.join(columns)}: "
            f"its first line is {first_line!r}; give an image folder or a UTF-8 CSV file with that header"
        )
    return header


def _require_whole(cells: list[str], header: list[str], positions: list[int], path: Path, line: int) -> None:
    if len(cells) != len(header):
        raise damaged(path, line, f"{len(cells)} cells where the header has {len(header)}")
    for position in positions:
        if not cells[position]:
            raise damaged(path, line, f"the {header[position]} is empty")
