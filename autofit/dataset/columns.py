"""How a table of images is written: its encoding, its separator, and which of its columns are meant."""

# ruff: noqa: PTH100, PTH111, PTH112 - paths are str in this package

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from autofit.dataset.split_words import split_role
from autofit.errors import UserError
from autofit.printable import printable

PATH_NAMES = (
    *("path", "filepath", "imagepath", "imgpath", "filename", "file", "image", "img", "imagename", "imgname"),
    *("imagefile", "imageid", "imgid", "idcode", "id"),
)
LABEL_NAMES = (
    *("label", "labels", "class", "classname", "classlabel", "category", "categoryname", "target", "y", "species"),
    *("breed", "diagnosis", "labelname", "classid", "categoryid", "labelid"),
)
SPLIT_NAMES = ("split", "subset", "partition", "set", "datasplit", "usage", "phase")
"""The usual names of columns, without case, blanks and marks; of two that are there the first here is meant."""

SEPARATORS = (",", ";", "\t", "|")
SHOWN_HEADER_CHARACTERS = 80
MOST_LINE_CHARACTERS = 2**16


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user says of a table: its columns, and the folder of its relative paths. None: found out."""

    path_column: str | None = None
    label_column: str | None = None
    images_in: str | None = None


def asked_of(path_column: str | None, label_column: str | None, images_in: str | os.PathLike[str] | None) -> Asked:
    """What the user says of a table, checked.

    Raises:
        UserError: the folder of the images does not exist.
    """
    if images_in is None:
        return Asked(path_column, label_column)
    folder = os.path.abspath(os.path.expanduser(images_in))
    if not os.path.isdir(folder):
        raise UserError(f"images_in {printable(os.fspath(images_in))} is no folder (looked for {printable(folder)})")
    return Asked(path_column, label_column, folder)


class Columns(NamedTuple):
    """The columns that are meant, as the header writes them. `split` is None if there is none."""

    path: str
    label: str
    split: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are read, in this order."""
        return (self.path, self.label) if self.split is None else (self.path, self.label, self.split)

    @property
    def note(self) -> str | None:
        """What was understood, where it is not plain."""
        if self.names in {("path", "label"), ("path", "label", "split")}:
            return None
        splits = f", splits of {self.split!r}" if self.split else ""
        return f"paths are those of the column {self.path!r}, labels those of {self.label!r}{splits}"


class TableForm(NamedTuple):
    """How a CSV file is to be read."""

    encoding: str
    separator: str
    columns: Columns


def table_form(path: Path, asked: Asked) -> TableForm:
    """Find out how a CSV file is written from its first two lines.

    Raises:
        UserError: it cannot be read, or has no columns of paths and labels; the message shows the header.
    """
    try:
        encoding = _encoding(path)
        with path.open(encoding=encoding, errors="surrogateescape", newline="") as stream:
            lines = [stream.readline(MOST_LINE_CHARACTERS), stream.readline(MOST_LINE_CHARACTERS)]
    except OSError as error:
        raise UserError(f"{printable(str(path))} cannot be read: {error.strerror}") from None
    except UnicodeError as error:
        raise UserError(f"{printable(str(path))} is no text ({error}): save it as UTF-8") from None
    for separator in SEPARATORS:
        header, first = (_cells(line, separator) for line in lines)
        examples = dict(zip(header, first, strict=False))
        if len(header) > 1 and (columns := choose_columns(header, examples, asked, printable(str(path)))):
            return TableForm(encoding, separator, columns)
    shown = lines[0].strip("\r\n")[:SHOWN_HEADER_CHARACTERS]
    raise UserError(
        f"{printable(str(path))} is no CSV file with the columns path,label: its first line is {shown!r}; "
        "give an image folder, or name the columns with path_column= and label_column="
    )


def choose_columns(header: Sequence[str], examples: Mapping[str, object], asked: Asked, source: str) -> Columns | None:
    """The columns of paths, labels and splits; None if there are none.

    Args:
        header: the names of all columns.
        examples: the first value of each.
        asked: the user's own choice.
        source: names the table in messages.

    Raises:
        UserError: a column that was asked for is missing, two can be meant, or there is one column a class.
    """
    path = _column(header, asked.path_column, PATH_NAMES, source)
    label = _column(
        header if asked.label_column else [name for name in header if name != path],
        asked.label_column,
        LABEL_NAMES,
        source,
    )
    split = _column([name for name in header if name not in {path, label}], None, SPLIT_NAMES, source)
    if split and _bare(split) != "split" and split_role(str(examples.get(split, ""))) is None:
        split = None
    if path and not label:
        _refuse_one_hot([name for name in header if name not in {path, split}], examples, source)
    return Columns(path, label, split) if path and label else None


def _column(header: Sequence[str], asked: str | None, usual: Iterable[str], source: str) -> str | None:
    if asked is not None:
        if header.count(asked) == 1:
            return asked
        if asked in header or len(header) > 1:
            raise UserError(f"{source} has not one column {asked!r}: its columns are {_shown(header)}")
        return None
    for name in usual:
        meant = [column for column in header if _bare(column) == name]
        if len(meant) > 1 and meant.count(name) == 1:
            return name
        if len(meant) > 1:
            raise UserError(
                f"{source} has the columns {_shown(meant)}, either of which may be meant: "
                "name one with path_column= or label_column="
            )
        if meant:
            return meant[0]
    return None


def _refuse_one_hot(others: Sequence[str], examples: Mapping[str, object], source: str) -> None:
    """Refuse one column a class, each 0 or 1."""
    marks = [
        name for name in others if str(examples.get(name, "")).strip() in {"0", "1", "0.0", "1.0", "True", "False"}
    ]
    if len(marks) > 1:
        raise UserError(
            f"{source} has no column of labels, but one column a class ({_shown(marks)}): several labels for one image "
            "are not in this version; give one column with the class of each image, label_column="
        )


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
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


def _bare(name: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).casefold())


def _shown(names: Sequence[str]) -> str:
    text = ", ".join(map(repr, names))
    return text if len(text) <= SHOWN_HEADER_CHARACTERS else f"{text[:SHOWN_HEADER_CHARACTERS]}..."
