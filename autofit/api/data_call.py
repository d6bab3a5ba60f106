"""The arguments of a call of `run` about its data, in the form in which the run keeps them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from autofit.api.directories import absolute
from autofit.runs.run_record import DataCall


def data_call(
    data: Any,
    labels: Any,
    test: Any,
    *,
    path_column: str | None,
    label_column: str | Sequence[str] | None,
    images_in: str | os.PathLike[str] | None,
    group_column: str | None = None,
    weight_column: str | None = None,
) -> DataCall:
    """The arguments of `run` about its data: paths made absolute, and the names of those that are objects."""
    given = {"data": data, "labels": labels, "test": test}
    objects = [name for name, value in given.items() if value is not None and not _is_path(value)]
    return DataCall(
        data=str(absolute(data)) if _is_path(data) else "",
        test=str(absolute(test)) if _is_path(test) else None,
        path_column=path_column,
        label_column=label_column if label_column is None or isinstance(label_column, str) else list(label_column),
        images_in=None if images_in is None else str(absolute(os.fspath(images_in))),
        group_column=group_column,
        weight_column=weight_column,
        objects=objects,
    )


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)
