"""Lists without names of columns, as those of benchmarks are: the path of an image and its label in each line. Pure.

Nothing else is read so: a line with a third cell, a number before the path or a second image may mean anything. A name
without its suffix is a path where files show it (`named_list.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from autofit.dataset.folder import ends_as_image

BLANKS = " "
MARKS = (",", ";", "|", BLANKS)
"""What may stand between path and label: the same in all lines."""
CELLS = 2
SIDES_OF_BOX = 4
NO_NAMES = "the table has no names of columns: each line is a path and a label"


class BareLine(NamedTuple):
    """What a line says."""

    path: str
    label: str


class BareList(NamedTuple):
    """What stands between path and label in all lines of a list, and what the first lines say."""

    mark: str
    lines: list[BareLine]


def bare_line(line: str, mark: str, *, lacks_suffix: bool = False) -> BareLine | None:
    """The path and the label of a line with this mark between; None if it has not just these two.

    A path that `lacks_suffix` may be any word: whether it is one of an image is to be found out.
    """
    cells = [cell.strip() for cell in (line.split(None, 1) if mark == BLANKS else line.split(mark))]
    if len(cells) != CELLS or not (_is_image(cells[0]) or (lacks_suffix and cells[0])) or '"' in line:
        return None
    path, label = cells
    words = label.split()
    is_label = label and label[0] not in MARKS and not any(map(_is_image, words)) and not _has_columns(label, words)
    return BareLine(path, label) if is_label else None


def _has_columns(label: str, words: list[str]) -> bool:
    """Whether the rest of a line is more than a label: cells with tabs between, or a name and the sides of a box."""
    has_name = not _are_figures(words)
    return has_name and ("\t" in label or (len(words) > SIDES_OF_BOX and _are_figures(words[-SIDES_OF_BOX:])))


def mark_of_list(lines: Iterable[str], *, multi_label: bool) -> str | None:
    """What stands between path and label in these lines of a list; None if they are no such list."""
    return next((found.mark for found in bare_lists(lines, multi_label=multi_label)), None)


def bare_lists(lines: Iterable[str], *, multi_label: bool, lacks_suffix: bool = False) -> Iterator[BareList]:
    """Yield each list as which these lines can be read.

    Several figures behind a path may be of several columns; with `multi_label` they are labels, but for 0 and 1, which
    may say which of all labels an image has.
    """
    lines = [line for line in lines if line.strip()]
    for mark in MARKS:
        found = [read for line in lines if (read := bare_line(line, mark, lacks_suffix=lacks_suffix))]
        if not found or len(found) < len(lines):
            continue
        figures = [words for each in found if _are_figures(words := each.label.split()) and words[1:]]
        are_marks = {word for words in figures for word in words} <= {"-1", "0", "1"}
        if not figures or (multi_label and not are_marks):
            yield BareList(mark, found)


def _is_image(word: str) -> bool:
    return "." in word and ends_as_image(word)


def _are_figures(words: list[str]) -> bool:
    return all(re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?", word) for word in words)
