"""Finds the columns of paths, labels and splits in a table of images."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from autofit.dataset.asked import Asked, holds_no_weights, holds_other, label_columns
from autofit.dataset.folder import ends_as_image
from autofit.dataset.groups import group_like
from autofit.dataset.label_sets import mark_of
from autofit.dataset.mark_columns import are_signed, holds_marks, is_one_hot, marks_of
from autofit.dataset.sample_weights import WEIGHT_NAMES
from autofit.dataset.split_columns import (
    flag_role,
    holds_mostly_splits,
    holds_nothing_but_splits,
    holds_splits,
    plain_flags,
    says_split,
)
from autofit.dataset.split_words import FLAGS, bare_name, split_role
from autofit.errors import UserError

PATH_NAMES = (
    *("path", "filepath", "imagepath", "imgpath", "filename", "fname", "file", "image", "img", "imagename", "imgname"),
    *("paths", "filepaths", "imagepaths", "filenames", "imagenames", "imagefile", "imageindex", "imageid", "imgid"),
    *("idcode", "id"),
)
LABEL_NAMES = (
    *("label", "labels", "class", "classname", "classlabel", "category", "categoryname", "target", "species"),
    *("breed", "diagnosis", "dx", "labelname", "classid", "categoryid", "labelid", "y"),
)
SPLIT_NAMES = ("split", "subset", "partition", "set", "datasplit", "usage", "phase", *FLAGS)
"""The usual names of columns, in lower case without blanks and punctuation; of two that a table has, the first here is
taken."""

UNFOLLOWED_NAMES = (*SPLIT_NAMES, "istrain", "istraining", "istrainingimage")
"""The names of columns that say which images are held out, though perhaps not for which split."""

SIDES_OF_BOX = 4
_BOX = re.compile(r"(bbox|box|roi)?([xy](min|max|1|2)|[xywh])")

SHOWN_HEADER_CHARACTERS = 80


class Columns(NamedTuple):
    """The columns to be read, as the header writes them. `split` is None if there is none.

    `marks` are columns that stand for one label each and hold 0 or 1, or -1 or 1 if they are `signed`; without them
    `label` holds the labels. `not_followed` says why a column with the name of a column of splits is not used as one.
    `has_boxes` is whether other columns hold the place of an object in the image. Images with the same value of `group`
    belong together; `keeps_groups` is whether the option asked for that column, which otherwise has just such a name.
    `other_paths` are further columns that hold names of images. `weight` says how much each image counts, if that was
    asked for; `unused_weights` is a column of such a name that was not.
    """

    path: str
    label: str
    split: str | None
    marks: tuple[str, ...] = ()
    not_followed: str | None = None
    has_boxes: bool = False
    group: str | None = None
    keeps_groups: bool = False
    signed: bool = False
    other_paths: tuple[str, ...] = ()
    weight: str | None = None
    unused_weights: str | None = None

    @property
    def mark_names(self) -> tuple[str, ...]:
        """The labels for which `marks` stand, without blanks around a name."""
        bare = tuple(name.strip() for name in self.marks)
        return bare if all(bare) and len(set(bare)) == len(bare) else self.marks

    @property
    def names(self) -> tuple[str, ...]:
        """Those of paths, labels and splits, in this order."""
        labels = self.marks or (self.label,)
        return (self.path, *labels) if self.split is None else (self.path, *labels, self.split)

    @property
    def read(self) -> tuple[str, ...]:
        """All that are read: those of groups and of weights come last."""
        return (*self.names, *(name for name in (self.group, self.weight) if name is not None))

    @property
    def note(self) -> str | None:
        """A line about how the columns were understood, unless that is obvious."""
        boxes = "the boxes in the table are not used: images are trained on whole" if self.has_boxes else None
        unused = self.unused_weights and (
            f"{self.unused_weights!r} is not used: weight_column={self.unused_weights!r} lets images count by it"
        )
        said = [note for note in (self._plain_note, self.not_followed, boxes, unused) if note]
        return "; ".join(said) or None

    @property
    def _plain_note(self) -> str | None:
        if self.names in {("path", "label"), ("path", "label", "split")}:
            return None
        splits = f", splits of {self.split!r}" if self.split else ""
        signs = ", in which -1 is no" if self.signed else ""
        labels = (
            f"the 1s of {len(self.marks)} columns, {_shown(self.mark_names)}{signs}"
            if self.marks
            else f"those of {self.label!r}"
        )
        return f"paths are those of the column {self.path!r}, labels {labels}{splits}"


def choose_columns(
    header: Sequence[str], examples: Mapping[str, Sequence[object]], asked: Asked, source: str
) -> Columns | None:
    """The columns of paths, labels and splits; None if there are none.

    Args:
        header: the names of all columns.
        examples: the first values of each.
        asked: the user's own choice.
        source: names the table in messages.

    Raises:
        UserError: a column that was asked for is missing, two columns may be meant, or each class has a column.
    """
    group, weight = (_other_column(name, header, asked, source) for name in (asked.group_column, asked.weight_column))
    header = [name for name in header if name not in {group, weight}]
    path = path_column(header, asked, source)
    marks = _marks_asked(header, asked, source)
    label = None if marks else _label_column(header, path, asked, source)
    named = {path, label, *marks}
    others = [name for name in header if name not in named]
    split = _split_column(others, examples, source)
    unfollowed = None if split else _unfollowed_column(others, examples, asked, source)
    if label:
        _refuse_denials(others, examples, source)
    if path and not label and not marks:
        least = 1 if asked.multi_label else 2
        marks = marks_of([name for name in others if name not in {split, unfollowed}], examples, least)
        if marks and not asked.multi_label:
            one = (
                "; pandas' idxmax(axis=1) makes it, as each row here has a single 1"
                if is_one_hot(marks, examples)
                else ""
            )
            raise UserError(
                f"{source} has no column of labels, but one column a class ({_shown(marks)}): give multi_label=True if "
                f"an image may have several; else one column with the class of each image, label_column={one}"
            )
    if not path or not (label or marks):
        taken = [name for name in (group, weight) if name]
        if taken and asked.is_held_out:
            plain = replace(asked, group_column=None, weight_column=None)
            return choose_columns([*header, *taken], examples, plain, source)
        for name in taken:
            if _column([name], None, (*PATH_NAMES, *LABEL_NAMES), source):
                raise UserError(holds_other(name) if name == group else holds_no_weights(name))
        return None
    said = _not_followed(unfollowed, examples) if unfollowed else None
    has_boxes = sum(map(_is_of_box, others)) >= SIDES_OF_BOX
    times, used = Counter(others), {split, *marks}
    free = [name for name in others if name not in used and times[name] == 1]
    alike, signed = group_like(free, examples), are_signed(marks, examples)
    others_like = tuple(
        name for name in free if bare_name(name) in PATH_NAMES and _holds_images(examples.get(name, ()))
    )
    groups, unused = (group or alike, group is not None), None
    if not asked.reads_weights:
        weight = None
    elif weight is None:
        unused = next((name for name in free if bare_name(name) in WEIGHT_NAMES), None)
    return Columns(path, label or "", split, marks, said, has_boxes, *groups, signed, others_like, weight, unused)


def path_column(header: Sequence[str], asked: Asked, source: str) -> str | None:
    """The column of paths; None if none has such a name.

    Raises:
        UserError: the one that was asked for is missing, or two can be meant.
    """
    return _column(header, asked.path_column, PATH_NAMES, source)


def _other_column(column: str | None, header: Sequence[str], asked: Asked, source: str) -> str | None:
    """The column of groups or weights that was asked for; None if none was, or a table that may lack it does."""
    if column is None or (asked.is_held_out and not _is_free(column, header, asked)):
        return None
    return _column(header, column, (), source)


def _is_free(column: str, header: Sequence[str], asked: Asked) -> bool:
    """Whether a table has a column that another table has, and not for its paths or labels."""
    taken = {asked.path_column, *label_columns(asked.label_column)}
    return _in_header(column, header) is not None and column not in taken


def _label_column(header: Sequence[str], path: str | None, asked: Asked, source: str) -> str | None:
    """The column of labels; None if none has such a name. A `y` beside an `x` is a place in the image, not a label.

    Nor is the `y]` of a name with a comma in it, such as `Spacing[x,y]`, which two columns have.
    """
    if isinstance(asked.label_column, str):
        return _column(header, asked.label_column, (), source)
    has_places = any(bare_name(name) == "x" for name in header)
    usual = [name for name in LABEL_NAMES if name != "y" or not has_places]
    others = [name for name in header if name != path and (bare_name(name) != "y" or name.strip().casefold() == "y")]
    return _column(others, None, usual, source)


def _column(header: Sequence[str], asked: str | None, usual: Iterable[str], source: str) -> str | None:
    if asked is not None:
        if (named := _in_header(asked, header)) is not None:
            return named
        if asked in header or len(header) > 1:
            raise UserError(_not_one(asked, header, source))
        return None
    forms = [(column, bare_name(column)) for column in header]
    for name in usual:
        meant = [column for column, form in forms if form == name]
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


def _not_one(asked: str, header: Sequence[str], source: str) -> str:
    """What is said of a column that is not there, or there twice: those with a name like it, and all."""
    bare = {bare_name(name): name for name in header if name != asked}
    near = [bare[name] for name in difflib.get_close_matches(bare_name(asked), bare, n=2)]
    hint = f"did you mean {' or '.join(map(repr, near))}? Its" if near else "its"
    return f"{source} has not one column {asked!r}: {hint} columns are {_shown(header)}"


def _split_column(others: Sequence[str], examples: Mapping[str, Sequence[object]], source: str) -> str | None:
    """The column with the split of each row: names of splits, or 0 and 1 for one of them."""
    found = _column(others, None, SPLIT_NAMES, source)
    if found is not None and bare_name(found) == "split":
        return found
    if found is not None and flag_role(found) is None and holds_splits(examples.get(found, ())):
        return found
    held = [name for name in others if flag_role(name) and holds_marks(examples.get(name, ()))]
    held = held or [name for name in others if holds_nothing_but_splits(examples.get(name, ()))]
    plain = [] if held else plain_flags(others, examples)
    held += plain if len(plain) > 1 and is_one_hot(plain, examples) else []
    if len(held) > 1:
        raise UserError(
            f"{source} has the columns {_shown(held)}: give one column split instead, of train, validation and test"
        )
    return held[0] if held else None


def _refuse_denials(others: Sequence[str], examples: Mapping[str, Sequence[object]], source: str) -> None:
    """Refuse a table in which some rows say that an image lacks a label, as those of Open Images do.

    Raises:
        UserError: it has a column of such a kind.
    """
    for name in others:
        cells = examples.get(name, ()) if bare_name(name) == "confidence" else ()
        if holds_marks(cells) and any(mark_of(cell) is False for cell in cells):
            raise UserError(
                f"{source} has 0 in its column {name!r}, in rows that say which label an image lacks: give the rows "
                f"with 1 alone, which pandas' query({f'{name} == 1'!r}) selects"
            )


def _unfollowed_column(
    others: Sequence[str], examples: Mapping[str, Sequence[object]], asked: Asked, source: str
) -> str | None:
    """The column that seems to say which images are held out, where it cannot be followed; None if there is none."""
    plain = plain_flags(others, examples)
    plain += [name for name in others if name not in plain and says_split(name, examples.get(name, ()))]
    if asked.multi_label:  # a train may be a label, as in Pascal VOC
        plain = [name for name in plain if split_role(name) != "train"]
    plain += [name for name in others if holds_mostly_splits(examples.get(name, ()))]
    return _column(others, None, UNFOLLOWED_NAMES, source) or next(iter(plain), None)


def _not_followed(column: str, examples: Mapping[str, Sequence[object]]) -> str | None:
    """The line about a column with the name of a column of splits whose values are no names of splits."""
    texts = [text for value in examples.get(column, ()) if (text := str(value).strip())]
    value = next((text for text in texts if split_role(text) is None), None)
    return value and f"{column!r} is not followed: {value[:20]!r} is no name of a split (train, validation, test)"


def _marks_asked(header: Sequence[str], asked: Asked, source: str) -> tuple[str, ...]:
    """The columns that `label_column` names, if it names several: a sequence, or names with commas between."""
    if asked.label_column is None or asked.label_column in header or not asked.multi_label:
        return ()
    given = asked.label_column
    names = tuple(name.strip() for name in given.split(",")) if isinstance(given, str) else tuple(given)
    if len(names) == 1 and isinstance(given, str):
        return ()
    if len(header) == 1:
        return ()
    times = Counter(header)
    columns = tuple(name if times[name] == 1 else _in_header(name, header) for name in names)
    if None in columns:
        raise UserError(_not_one(names[columns.index(None)], header, source))
    return tuple(name for name in columns if name is not None)


def _in_header(asked: str, header: Sequence[str]) -> str | None:
    """The column that is named, as the header writes it: blanks around it do not count; None if it is not one."""
    if asked in header:
        return asked if header.count(asked) == 1 else None
    meant = [name for name in header if name.strip() == asked.strip()]
    return meant[0] if len(meant) == 1 else None


def _is_of_box(column: str) -> bool:
    """Whether a column holds a side of a box in the image, such as `xmin` or `bbox_y2`."""
    return _BOX.fullmatch(bare_name(column)) is not None


def _holds_images(cells: Sequence[object]) -> bool:
    return bool(cells) and ends_as_image(str(cells[0]).strip())


def _shown(names: Sequence[str]) -> str:
    text = ", ".join(map(repr, names))
    return text if len(text) <= SHOWN_HEADER_CHARACTERS else f"{text[:SHOWN_HEADER_CHARACTERS]}..."
