"""Images with any number of labels: what a cell of a table means, and the sets of labels that images have. Pure.

A set is stored as text, a JSON list of its names, so that it is a class of its own wherever images are sorted, split
and listed.
"""

from __future__ import annotations

import ast
import json
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from autofit.dataset.labels import (
    class_order,
    is_missing,
    is_text_of_names,
    label_of,
    labels_of_object,
    names_of_others,
    object_of,
)
from autofit.errors import UserError
from autofit.printable import first_of, printable

Cell = str | tuple[str, ...]
"""What a table says about an image: text that may list several labels, or the labels' names one by one."""

SEPARATORS = (";", "|", ",", "；", "，", "、")  # noqa: RUF001 - those of Chinese and Japanese
"""The separators in the order in which they are tried: a name may contain one that comes later."""
JOINING = frozenset({"&", "+", "/", "-"})
SHOWN_CLASSES = 5
MARKS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
NO_MARK = frozenset({"", "nan", "none", "<na>"})
SIGNS = {"-1": False, "1": True, "-1.0": False, "1.0": True}
"""Of columns that hold nothing else, as lists of attributes do."""


class SortedSets(NamedTuple):
    """Images with their sets of labels.

    Attributes:
        set_of: the set of each image, as text.
        names: the names of all labels, in order.
        notes: lines that say how the labels were understood.
        separator: the separator of labels in a cell; empty if none was found.
    """

    set_of: dict[str, str]
    names: tuple[str, ...]
    notes: tuple[str, ...]
    separator: str = ""


class KnownLabels(NamedTuple):
    """The names of the training's labels and their separator, for reading another table than the training's.

    If the separator is empty, one is looked for, but not within a known name.
    """

    names: Collection[str] = ()
    separator: str = ""


NONE_KNOWN = KnownLabels()


def cell_of(value: object) -> Cell:
    """The labels in a value of a table; no labels if it is empty or missing.

    Raises:
        ValueError: it is no label and no list of them.
    """
    if is_missing(value):
        return ()
    if isinstance(value, str):
        text = value.strip()
        if (held := object_of(text)) is None:
            return _of_text(text)
        value = held
    if isinstance(value, dict):
        value = labels_of_object(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple | set | frozenset):
        _refuse_marks(value)
        ordered = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return tuple(str(label_of(each)) for each in ordered)
    return (str(label_of(value)),)


def _refuse_marks(values: Collection[object]) -> None:
    """Refuse a list of several values that are all 0 or 1: it marks classes, but does not name them.

    Raises:
        ValueError: it is such a list.
    """
    if len(values) > 1 and all(isinstance(each, int | float) and each in {0, 1} for each in values):
        raise ValueError(
            f"the labels {list(values)!r:.60} are 0 and 1, not names: give an array (n, classes), or one column a label"
        )


def is_marked(value: object, *, signed: bool = False) -> bool:
    """Whether a value in the column of a class says that the image has this label.

    Raises:
        ValueError: it is neither 0 nor 1, or of `signed` columns neither -1 nor 1.
    """
    marked = SIGNS.get(str(value).strip()) if signed else mark_of(value)
    if marked is None and signed:
        raise ValueError(f"{str(value)[:40]!r} is neither -1 nor 1, as all values above it are")
    if marked is None and (is_missing(value) or str(value).strip().lower() in NO_MARK):
        raise ValueError("it is empty, neither 0 nor 1: where that means 0, pandas' fillna(0) writes it")
    if marked is None:
        is_minus_one = str(value).strip() in {"-1", "-1.0"}
        remedy = "write 0 for it" if is_minus_one else "name the columns of the labels with label_column="
        raise ValueError(f"{str(value)[:40]!r} is neither 0 nor 1: {remedy}")
    return marked


def mark_of(value: object) -> bool | None:
    """Whether a cell is 1 or 0, in the spellings of `MARKS`; None if it is neither."""
    return MARKS.get(str(value).strip().lower())


def marked_names(marks: Sequence[str], values: Sequence[object], *, signed: bool = False) -> tuple[str, ...]:
    """The names of the columns that are 1 in a row.

    Raises:
        ValueError: a value is neither 0 nor 1, or of `signed` columns neither -1 nor 1; the message names its column.
    """
    names = []
    for name, value in zip(marks, values, strict=True):
        try:
            if is_marked(value, signed=signed):
                names.append(name)
        except ValueError as error:
            raise ValueError(f"column {name!r}: {error}") from None
    return tuple(names)


def lacking_marks(marks: Sequence[str], names: Sequence[str]) -> str | None:
    """One line on labels of the training that have no column in another table of 0 and 1; None if all have one."""
    lacking = [repr(name) for name in names if name not in marks] if marks else []
    if not lacking:
        return None
    shown = first_of([printable(name) for name in lacking], SHOWN_CLASSES)
    return f"warning: there is no column of the labels {shown}: the images count as ones without these"


def find_separator(texts: Collection[str]) -> str | None:
    """The separator of labels in these texts; None if each text is one label.

    Blanks separate only if at least half of the texts of several words have a word that is a text by itself elsewhere,
    or if each word of these texts also occurs in another text, or if all words are whole numbers.
    """
    for separator in SEPARATORS:
        if any(separator in text for text in texts):
            return separator
    words = [text.split() for text in texts]
    alone = {each[0] for each in words if len(each) == 1}
    longer = [each for each in words if len(each) > 1]
    known = sum(not alone.isdisjoint(each) for each in longer)
    uses = Counter(word for each in longer for word in set(each))
    shared = sum(all(uses[word] > 1 or word in alone for word in each) for each in longer)
    if longer and all(word.isdecimal() for each in words for word in each):
        return " "
    return " " if longer and (2 * known >= len(longer) or (len(longer) > 1 and shared == len(longer))) else None


def set_text(names: Iterable[str]) -> str:
    """A set of labels as text; the same set is the same text."""
    return json.dumps(sorted(set(names)), ensure_ascii=False)


def names_of_set(text: str) -> list[str]:
    """The names in a set.

    Raises:
        ValueError: it is no such text.
    """
    try:
        names = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("it is no list of names")
    return names


def sort_into_sets(
    cells_of: Mapping[str, tuple[Cell, ...]], columns: Sequence[str] = (), known: KnownLabels = NONE_KNOWN
) -> SortedSets:
    """Find out how labels are separated, and which set each image has.

    Args:
        cells_of: the cells of each image, from one row or from several.
        columns: the names of all labels in their order, if each has its own column.
        known: the labels of the training, if these are other images.

    Raises:
        UserError: a part of a cell is no label.
    """
    distinct = set(cells_of.values())
    texts = {cell for cells in distinct for cell in cells if isinstance(cell, str)}.difference(known.names)
    separator = known.separator or find_separator(texts)
    text_of: dict[tuple[Cell, ...], str] = {}
    for path, cells in cells_of.items():
        if cells not in text_of:
            try:
                text_of[cells] = set_text(_names(cells, separator, known.names))
            except ValueError as error:
                raise UserError(f"the labels of {printable(path)}: {error}") from None
    names = tuple(columns) or tuple(class_order({name for text in text_of.values() for name in names_of_set(text)}))
    set_of = {path: text_of[cells] for path, cells in cells_of.items()}
    notes = [_separator_words(separator)] if separator else []
    if joined := () if columns else names_of_others(names):
        shown = first_of([repr(name) for name in joined], SHOWN_CLASSES)
        notes.append(f"warning: these labels are made of others: {shown}; write ; between the labels of an image")
    if merged := sum(len(cells) > 1 for cells in cells_of.values()):
        notes.append(f"{merged:,} images are listed in several rows: each has the labels of all of them")
    return SortedSets(set_of, names, tuple(notes), separator or "")


def numbers_of_sets(texts: Iterable[str], names: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """The sets as class numbers in ascending order, each set once, in order.

    Raises:
        KeyError: a name is none of `names`.
        ValueError: a text is no set.
    """
    number_of = {name: number for number, name in enumerate(names)}
    return tuple(sorted({tuple(sorted(number_of[name] for name in names_of_set(text))) for text in set(texts)}))


def require_learnable(counts: Sequence[int], images: int, names: Sequence[str]) -> None:
    """Check that there is something to learn.

    Args:
        counts: images with each label.
        images: all of them.
        names: of the labels.

    Raises:
        UserError: each label is on all images or on none.
    """
    if not any(0 < count < images for count in counts):
        shown = first_of(list(map(printable, names)), SHOWN_CLASSES) or "none"
        raise UserError(
            f"no label tells images apart (of {images} images to train on, each label is on all or on none: {shown}): "
            "give images with a label and images without it"
        )


def notes_on_sets(labels: Sequence[int], sets: Sequence[tuple[int, ...]], names: Sequence[str]) -> list[str]:
    """Lines about the training images' labels: how many images have none or several, and which labels are constant."""
    counts, images = label_counts(labels, sets, len(names)), len(labels)
    several = sum(len(sets[label]) > 1 for label in labels)
    bare = sum(not sets[label] for label in labels)
    notes = [f"multi-label: {several:,} of {images:,} images to train on have several labels, {bare:,} have none"]
    for words, constant in (
        ("no image to train on has the label", [name for name, n in zip(names, counts, strict=True) if n == 0]),
        ("all images to train on have the label", [name for name, n in zip(names, counts, strict=True) if n == images]),
    ):
        if constant:
            notes.append(f"{words} {first_of(list(map(printable, constant)), SHOWN_CLASSES)}: it cannot be learnt")
    return notes


def label_counts(labels: Iterable[int], sets: Sequence[tuple[int, ...]], classes: int) -> tuple[int, ...]:
    """How many images have each label.

    Args:
        labels: the number of each image's set.
        sets: the class numbers in each set.
        classes: how many there are.
    """
    counts = [0] * classes
    for label, images in Counter(labels).items():
        for number in sets[label]:
            counts[number] += images
    return tuple(counts)


def _names(cells: tuple[Cell, ...], separator: str | None, known: Collection[str]) -> list[str]:
    names: list[str] = []
    for cell in cells:
        if isinstance(cell, tuple):
            names += cell
        elif separator is None or cell in known:
            names.append(str(label_of(cell)))
        else:
            names += [str(label_of(part)) for part in _parts(cell, separator) if part.strip()]
    return names


def _parts(cell: str, separator: str) -> list[str]:
    """The labels in a text; with blanks between, a mark that stands alone is none, as in `cat & dog`."""
    return [part for part in cell.split() if part not in JOINING] if separator == " " else cell.split(separator)


def _of_text(text: str) -> Cell:
    if text.casefold() in {"", "nan"}:
        return ()
    if text.startswith("[") and text.endswith("]"):
        return _of_list_text(text)
    return _of_python_text(text) if is_text_of_names(text) else text


def _of_list_text(text: str) -> tuple[str, ...]:
    """The names in the text of a list, with or without quotation marks."""
    inner = text[1:-1]
    if "," not in inner and len(inner.split()) > 1:  # as NumPy writes an array
        parts = shlex.split(inner) if "'" in inner or '"' in inner else inner.split()
        return tuple(str(label_of(part)) for part in parts)
    try:
        values = ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        values = [part.strip().strip("'\"") for part in inner.split(",") if part.strip()]
    _refuse_marks(values)
    return tuple(str(label_of(value)) for value in values)


def _of_python_text(text: str) -> Cell:
    """The names in the text of a set or a tuple; the text itself if it only looks like one."""
    bare = text.removeprefix("frozenset(").removesuffix(")") if text.startswith("frozenset(") else text
    try:
        names = ast.literal_eval("()" if bare in {"set()", ""} else bare)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text
    return cell_of(names) if isinstance(names, tuple | set) else text


def _separator_words(separator: str) -> str:
    return f"labels are separated by {'blanks' if separator == ' ' else repr(separator)}"
