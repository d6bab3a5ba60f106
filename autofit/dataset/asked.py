"""The options about a table: its columns, and the folder of its relative paths."""

# ruff: noqa: PTH100, PTH112 - paths are str in this package

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autofit.errors import UserError
from autofit.printable import printable
from autofit.storage.user_path import user_path


@dataclass(frozen=True, slots=True)
class Asked:
    """The user's options about a table: its columns, and the folder of its relative paths; None is found out.

    With `multi_label` an image may have any number of labels, and `label_column` may name one column for each of them.
    `separator` stands between the labels in a cell; if it is empty, it is found out.
    Images with the same value in `group_column` belong together, and count in the loss by `weight_column`; a table of
    images that are held out (`is_held_out`) may lack both. Where images are only judged, weights are not read
    (`reads_weights`), as all count alike: their column is still none of labels or splits.
    """

    path_column: str | None = None
    label_column: str | Sequence[str] | None = None
    images_in: str | None = None
    multi_label: bool = False
    separator: str = ""
    group_column: str | None = None
    weight_column: str | None = None
    is_held_out: bool = False
    reads_weights: bool = True

    @property
    def names_columns(self) -> bool:
        """Whether the user has named a column."""
        others = () if self.is_held_out else (self.group_column, self.weight_column)
        return any(name is not None for name in (self.path_column, self.label_column, *others))


def asked_of(
    path_column: str | None,
    label_column: str | Sequence[str] | None,
    images_in: str | os.PathLike[str] | None,
    *,
    multi_label: bool = False,
    group_column: str | None = None,
    weight_column: str | None = None,
) -> Asked:
    """The user's options about a table, checked.

    Raises:
        UserError: the folder of the images does not exist, a column's name is no text, several columns of labels are
            named for one label, or one column for two things.
    """
    single = {"path_column": path_column, "group_column": group_column, "weight_column": weight_column}
    for option, name in single.items():
        _require_names(option, [] if name is None else [name])
    if label_column is not None and not isinstance(label_column, str):
        listed = list(label_column) if isinstance(label_column, Iterable) else [label_column]
        _require_names("label_column", listed)
        if len(listed) != 1 and not multi_label:
            raise UserError(f"label_column names {len(listed)} columns: name one, or give multi_label=True")
        label_column = listed if multi_label else listed[0]
    _require_other(group_column, path_column, label_column)
    if weight_column is not None and weight_column in {path_column, *label_columns(label_column), group_column}:
        raise UserError(holds_no_weights(weight_column))
    if images_in is None:
        return Asked(path_column, label_column, None, multi_label, "", group_column, weight_column)
    folder = os.path.abspath(user_path(images_in, "images_in"))
    if not os.path.isdir(folder):
        raise UserError(f"images_in {printable(os.fspath(images_in))} is no folder (looked for {printable(folder)})")
    return Asked(path_column, label_column, folder, multi_label, "", group_column, weight_column)


def refuse_groups_and_weights(asked: Asked, data: str) -> None:
    """Refuse a column of groups or weights beside data that have no columns, such as `a folder`.

    Raises:
        UserError: one was asked for.
    """
    for option, name in {"group_column": asked.group_column, "weight_column": asked.weight_column}.items():
        if name is not None:
            raise UserError(
                f"{option} is a column of a table, and the data is {data}: give a CSV file or a DataFrame with the "
                f"columns path, label and {printable(name)}"
            )


def refuse_columns(asked: Asked, folder: str) -> None:
    """Refuse options about a table beside a folder and no table: its classes are those of its subfolders.

    Args:
        asked: the options.
        folder: as it is named.

    Raises:
        UserError: there are such options.
    """
    given = {"path_column": asked.path_column, "label_column": asked.label_column, "images_in": asked.images_in}
    if named := [name for name, value in given.items() if value is not None]:
        verb = "says" if len(named) == 1 else "say"
        raise UserError(
            f"{' and '.join(named)} {verb} what is in a table, and the data is the folder {folder}: give the table as "
            "the data, or leave them out where the classes are its subfolders"
        )


def _require_other(group_column: str | None, path_column: str | None, label_column: str | Sequence[str] | None) -> None:
    if group_column is not None and group_column in {path_column, *label_columns(label_column)}:
        raise UserError(holds_other(group_column))


def label_columns(label_column: str | Sequence[str] | None) -> Sequence[str]:
    """The columns that `label_column` names: none, one or several."""
    return [label_column] if isinstance(label_column, str) else [*(label_column or ())]


def holds_other(group_column: str) -> str:
    """What is said of a column of groups that is one of paths or labels."""
    return (
        f"{printable(repr(group_column))} cannot be group_column, as it holds the paths or labels: name the column of "
        "what several images have in common, such as the patient"
    )


def holds_no_weights(weight_column: str) -> str:
    """What is said of a column of weights that is one of paths, labels or groups."""
    return (
        f"{printable(repr(weight_column))} cannot be weight_column, as it holds the paths, labels or groups: name the "
        "column of numbers that says how much each image counts"
    )


def _require_names(option: str, names: Iterable[object]) -> None:
    for name in names:
        if not isinstance(name, str):
            raise UserError(
                f"{option} has {printable(repr(name))[:80]}, which is no name: give text; "
                "df.columns = df.columns.astype(str) names columns that have numbers"
            )
