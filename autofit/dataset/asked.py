"""What the user says of a table: its columns, and the folder of its relative paths."""

# ruff: noqa: PTH100, PTH111, PTH112 - paths are str in this package

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autofit.errors import UserError
from autofit.printable import printable


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user says of a table: its columns, and the folder of its relative paths. None: found out.

    With `multi_label` an image may have any number of labels, and `label_column` may name one column for each of them.
    `separator` is known to stand between them in a cell; empty: found out.
    """

    path_column: str | None = None
    label_column: str | Sequence[str] | None = None
    images_in: str | None = None
    multi_label: bool = False
    separator: str = ""


def asked_of(
    path_column: str | None,
    label_column: str | Sequence[str] | None,
    images_in: str | os.PathLike[str] | None,
    *,
    multi_label: bool = False,
) -> Asked:
    """What the user says of a table, checked.

    Raises:
        UserError: the folder of the images does not exist, a column's name is no text, or several columns of labels are
            named for one label.
    """
    _require_names("path_column", [] if path_column is None else [path_column])
    if label_column is not None and not isinstance(label_column, str):
        listed = list(label_column) if isinstance(label_column, Iterable) else [label_column]
        _require_names("label_column", listed)
        if len(listed) != 1 and not multi_label:
            raise UserError(f"label_column names {len(listed)} columns: name one, or give multi_label=True")
        label_column = listed if multi_label else listed[0]
    if images_in is None:
        return Asked(path_column, label_column, multi_label=multi_label)
    folder = os.path.abspath(os.path.expanduser(images_in))
    if not os.path.isdir(folder):
        raise UserError(f"images_in {printable(os.fspath(images_in))} is no folder (looked for {printable(folder)})")
    return Asked(path_column, label_column, folder, multi_label)


def _require_names(option: str, names: Iterable[object]) -> None:
    for name in names:
        if not isinstance(name, str):
            raise UserError(
                f"{option} has {printable(repr(name))[:80]}, which is no name: give text; "
                "df.columns = df.columns.astype(str) names columns that have numbers"
            )
