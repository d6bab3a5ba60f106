"""Finds out the encoding and the separator of a table of images."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from autofit.dataset.asked import Asked
from autofit.dataset.bare_list import CELLS, mark_of_list
from autofit.dataset.columns import SHOWN_HEADER_CHARACTERS, Columns, choose_columns, path_column
from autofit.dataset.folder import ends_as_image
from autofit.dataset.named_list import lacks_images, mark_of_named_list
from autofit.dataset.split_columns import LOOKED_AT_ROWS
from autofit.dataset.table import MOST_LINE_CHARACTERS, is_utf8, readable
from autofit.errors import UserError
from autofit.printable import printable
from autofit.storage.safe_files import open_plain
from autofit.storage.system_errors import explained

SEPARATORS = (",", ";", "\t", "|")
MOST_LOOKED_AT_CHARACTERS = 2**24
"""Of a table with long lines fewer rows decide how it is read."""

_PIXEL = re.compile(r"(pixel)?[0-9]+([x.][0-9]+)?")
"""The name of a column of pixel values, or a pixel value in a table without column names."""

LEAST_PIXELS = 64


class TableForm(NamedTuple):
    """How a CSV file is to be read.

    `is_utf8` is False where some of the first lines hold bytes that are none. `is_bare` is whether it has no names of
    columns, but a path and a label in each line (`bare_list.py`), with `separator` between, and `lacks_suffix` whether
    paths are names without their suffix (`named_list.py`).
    """

    encoding: str
    separator: str
    columns: Columns
    is_utf8: bool = True
    is_bare: bool = False
    lacks_suffix: bool = False


def table_form(path: Path, asked: Asked) -> TableForm:
    """Find out how a CSV file is written from its first lines.

    Raises:
        UserError: it cannot be read, or has no columns of paths and labels; the message shows the header.
    """
    try:
        encoding = encoding_of(path)
        with io.TextIOWrapper(open_plain(path), encoding=encoding, errors="surrogateescape", newline="") as stream:
            lines = list(_first_lines(stream))
    except OSError as error:
        raise UserError(explained(error, f"{printable(str(path))} cannot be read")) from None
    except UnicodeError as error:
        raise UserError(f"{printable(str(path))} is no text ({error}): save it as UTF-8") from None
    for separator in SEPARATORS:
        header, *rows = (_cells(line, separator) for line in lines)
        header = [readable(name) for name in header]
        whole = [row for row in rows if len(row) == len(header)]
        examples = {name: [row[place] for row in whole] for place, name in enumerate(header)}
        if len(header) > 1 and (columns := choose_columns(header, examples, asked, printable(str(path)))):
            return TableForm(encoding, separator, columns, all(map(is_utf8, lines)))
    if not asked.names_columns and (mark := mark_of_list(lines, multi_label=asked.multi_label)):
        return TableForm(encoding, mark, Columns("path", "label", None), all(map(is_utf8, lines)), is_bare=True)
    if not asked.names_columns and (mark := mark_of_named_list(path, lines, asked)):
        columns = Columns("path", "label", None)
        return TableForm(encoding, mark, columns, all(map(is_utf8, lines)), is_bare=True, lacks_suffix=True)
    first_line = readable(lines[0]).strip("\r\n")
    refusal = _refusal(printable(str(path)), first_line, asked)
    raise refusal or _unknown(path, first_line, lines, asked)


def _first_lines(stream: TextIO) -> Iterator[str]:
    """The lines that decide how a file is read: the first one, and what follows within bounds."""
    characters = 0
    for _ in range(LOOKED_AT_ROWS + 1):
        line = stream.readline(MOST_LINE_CHARACTERS)
        yield line
        characters += len(line)
        if not line or characters > MOST_LOOKED_AT_CHARACTERS:
            return


def _unknown(path: Path, first_line: str, lines: Sequence[str], asked: Asked) -> UserError:
    """The error about a file that looks like no table, or like a list of images by name which are not found."""
    source, shown = printable(str(path)), first_line[:SHOWN_HEADER_CHARACTERS]
    if _is_counted(lines):
        return UserError(
            f"{source} begins with the number of its lines, {shown}: give autofit.run(pandas.read_csv(FILE, sep=' ', "
            "skipinitialspace=True, skiprows=1).rename_axis('path').reset_index(), images_in=FOLDER, multi_label=True)"
        )
    if not asked.names_columns and lacks_images(path, lines, asked):
        place, which = (f"in {printable(asked.images_in)}", "another") if asked.images_in else ("beside it", "the")
        return UserError(
            f"{source} begins with {shown!r}: if this is the name of an image and its label, the image is not {place}, "
            f"nor in a folder there; give {which} folder of the images with images_in="
        )
    return UserError(
        f"{source} is no CSV file with the columns path,label: its first line is {shown!r}; "
        "give an image folder, or name the columns with path_column= and label_column="
    )


def _is_counted(lines: Sequence[str]) -> bool:
    """Whether a table has the number of its lines above the names of its columns, and none over its paths, as CelebA's.

    Its labels are columns, one for each.
    """
    first, names, row = ([*(line.split() for line in lines[:3]), [], [], []])[:3]
    is_number = len(first) == 1 and first[0].isdecimal()
    return is_number and len(row) > 1 and ends_as_image(row[0]) and len(row) == len(names) + 1


def _refusal(source: str, first_line: str, asked: Asked) -> UserError | None:
    """The error that says, by the first line of a file, why it is no table of paths and labels, and what to do."""
    shown = first_line[:SHOWN_HEADER_CHARACTERS]
    if "\0" in first_line:
        return UserError(f"{source} is no text: give an image folder, or a CSV file with the columns path,label")
    if first_line.strip('"').lower().startswith("sep=") or first_line.startswith("#"):
        return UserError(f"{source} begins with {shown!r} and not with the names of its columns: remove this line")
    header, separator = max(((_cells(first_line, each), each) for each in SEPARATORS), key=lambda found: len(found[0]))
    words = first_line.split() if len(header) == 1 else []  # with blanks between
    if problem := _lack_of_names(first_line, words, header, separator, asked):
        return UserError(f"{source} begins with {shown!r}{problem}")
    if sum(_PIXEL.fullmatch(name) is not None for name in header) >= LEAST_PIXELS or "pixels" in header:
        return UserError(
            f"{source} holds the pixels of images and not their paths: read it with pandas, and give "
            "autofit.run(images, labels) with an array of images (n, height, width)"
        )
    names = words or header
    if len(names) > 1 and (path := path_column(names, asked, source)):
        return UserError(
            f"{source} has blanks between its cells ({shown!r}): write commas between them"
            if words
            else f"{source} has paths in its column {path!r}, but none that is called as one of labels: name it with "
            f"label_column= (its first line is {shown!r})"
        )
    return None


def _lack_of_names(line: str, words: Sequence[str], header: Sequence[str], separator: str, asked: Asked) -> str | None:
    """What is wrong with a first line that has the content of columns, not their names; None if it has not."""
    if not header:  # broken quotation marks, or a cell that is too long
        return None
    if len(header) == 1 and len(words) <= 1 and (alone := _of_path_alone(line)):
        return f", a path without a label: {alone}"
    is_numbered = len(words) > 1 and any(word.isdecimal() for word in words[1:])
    if not is_numbered and not any(map(ends_as_image, re.split(r"[,;|\s]+", line))):
        return None
    return (
        " and not with the names of its columns: write them in a line above it, such as path,label, with commas "
        f"between{_instead(words or header, separator if header[1:] else ' ', asked)}"
    )


def _of_path_alone(line: str) -> str | None:
    """What to do about a list whose lines are a path and no label; None if the first is no path."""
    if "/" in line and "://" not in line:
        return (
            "if each image is in the folder of its class, give autofit.run(pandas.read_csv(FILE, names=['path'], "
            "dtype=str).assign(label=lambda table: table.path.str.split('/').str[-2]), images_in=FOLDER); else write a "
            "label behind each path"
        )
    return "write a label behind each path" if "." in line and ends_as_image(line) else None


def _instead(words: Sequence[str], separator: str, asked: Asked) -> str:
    """Further advice about a first line without names of columns, by its cells."""
    if any(map(ends_as_image, words[1:])):
        return ""
    if len(words) > CELLS:
        return (
            f", or give the two columns that are meant: autofit.run(pandas.read_csv(FILE, sep={separator!r}, "
            "names=['path', 'label'], usecols=[0, 1], dtype=str), images_in=FOLDER)"
        )
    return (
        "" if asked.images_in or ends_as_image(words[0]) else "; if it lists names of images, give images_in= as well"
    )


def encoding_of(path: Path) -> str:
    """The encoding of a text, by its first bytes.

    Raises:
        OSError: it cannot be read.
    """
    with open_plain(path) as file:
        start = file.read(4)
    if start[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return "utf-16"
    if start[1:2] == b"\0" and start[:1].isascii():
        return "utf-16-le"
    return "utf-8-sig"


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True, delimiter=separator), [])
    except csv.Error:
        return []
