"""The labels of images in memory: one for each, one-hot rows, or rows of 0 and 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from autofit.dataset.array_kinds import is_array, is_like_array
from autofit.errors import UserError
from autofit.printable import one_line, printable

if TYPE_CHECKING:
    import numpy as np

MOST_WHOLE = 2.0**53
"""Up to here each whole number is one of 64 bits; infinity is none."""


def class_numbers(labels: Any) -> list[Any]:
    """Labels as a plain list; one-hot rows become the number of their class.

    Raises:
        UserError: a row has no class or several, or the labels have more than two dimensions.
    """
    import numpy as np  # noqa: PLC0415 - loaded only where it is used

    try:
        rows = _rows(labels)
    except ValueError:  # lists of several lengths
        raise UserError(_SEVERAL) from None
    if rows.ndim == 2 and rows.shape[1] > 1:  # noqa: PLR2004 - rows and columns
        if not _are_one_hot(rows):
            raise UserError(_SEVERAL)
        return [int(number) for number in rows.argmax(axis=1)]
    if rows.ndim > 1 and rows.size != len(rows):
        raise UserError(f"labels have the shape {rows.shape}: give one label for each image")
    if rows.dtype.kind == "f" and (rows == rows.round()).all() and (abs(rows) < MOST_WHOLE).all():
        rows = rows.astype(np.int64)
    return list(map(_decoded, rows.reshape(-1).tolist()))


def _decoded(label: Any) -> Any:
    """A label or a list of labels, whose text in tensors of TensorFlow is bytes."""
    if isinstance(label, bytes):
        return label.decode(errors="backslashreplace")
    is_row = is_array(label) and getattr(label, "ndim", 0) == 1 and label.dtype.kind in "OS"
    return list(map(_decoded, label.tolist())) if is_row else label


def one_each(labels: Any) -> Any:
    """Labels of listed paths: rows become classes, by number or by the names of the columns of a DataFrame.

    Raises:
        UserError: a row has no class or several.
    """
    if getattr(labels, "ndim", 1) != 2:  # noqa: PLR2004 - rows and columns
        return labels
    numbers = class_numbers(labels)
    columns = list(getattr(labels, "columns", ()))
    return [str(columns[number]) for number in numbers] if len(columns) > 1 else numbers


_SEVERAL = (
    "labels have a row with several classes or none: one-hot rows have a single 1; give one each, or multi_label=True"
)


def _are_one_hot(rows: np.ndarray) -> bool:
    """Whether each row has a single 1 and otherwise zeros; False for rows of names."""
    is_number = rows.dtype.kind in "buif"
    return is_number and bool((((rows == 0) | (rows == 1)).all(axis=1) & (rows.sum(axis=1) == 1)).all())


def label_rows(labels: Any) -> list[Any]:
    """The labels of images that may have any number of them: rows of 0 and 1, uint8 `(classes,)`, or as they are.

    Raises:
        UserError: rows of numbers are not of 0 and 1.
    """
    import numpy as np  # noqa: PLC0415

    labels = _listed(labels)
    try:
        rows = _rows(labels)
    except ValueError:  # lists of names, of several lengths
        return list(map(_decoded, labels))
    if not rows.ndim:
        raise UserError(f"the labels are {printable(repr(labels)[:40])}: give a list with the labels of each image")
    if rows.ndim != 2 or rows.dtype.kind not in "buif":  # noqa: PLR2004 - rows and columns
        return list(map(_decoded, labels))
    if not ((rows == 0) | (rows == 1)).all():
        raise UserError("labels have rows of numbers other than 0 and 1: with multi_label give one column a class")
    return list(rows.astype(np.uint8))


def _rows(labels: Any) -> np.ndarray:
    """Labels as an array.

    Raises:
        UserError: they are tensors on a device, from which they have to be copied first.
        ValueError: they are lists of several lengths.
    """
    import numpy as np  # noqa: PLC0415

    try:
        return np.asarray(_listed(labels))
    except (TypeError, RuntimeError) as error:
        raise UserError(f"the labels cannot be made an array ({one_line(error)}): give NumPy's") from None


def _listed(labels: Any) -> Any:
    """Labels as a list, if they come from an iterator, such as a generator or the values of a dictionary."""
    has_places = hasattr(labels, "__getitem__") or is_like_array(labels)
    has_no_order = isinstance(labels, set | frozenset)
    return labels if has_places or has_no_order or not isinstance(labels, Iterable) else list(labels)
