"""Which objects are arrays, or can be made one; TensorFlow and PyTorch are never imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autofit.errors import UserError
from autofit.printable import one_line


def is_array(data: object) -> bool:
    """Whether the data are a NumPy array, or an object with its interface."""
    return hasattr(data, "__array_interface__")


def is_like_array(data: object) -> bool:
    """Whether the data are a NumPy array, or can be made one, as tensors of TensorFlow, PyTorch and JAX can."""
    return is_array(data) or hasattr(data, "__array__")


def as_array(data: Any, name: str) -> Any:
    """A tensor as a NumPy array; anything else as it is.

    Args:
        data: an array, a tensor or something else.
        name: of the data, for messages.

    Raises:
        UserError: the tensor is on a device, from which it has to be copied first.
    """
    import numpy as np  # noqa: PLC0415

    if is_array(data) or not is_like_array(data):
        return data
    try:
        return np.asarray(data)
    except (TypeError, RuntimeError) as error:
        raise UserError(f"{name} cannot be made an array ({one_line(error)}): give NumPy's") from None


def first_of(data: object) -> Any:
    """The first item of a list, of another sequence or of a column of a table; None of anything else, or of none."""
    is_sequence = isinstance(data, Sequence) and not isinstance(data, str | bytes | bytearray | memoryview | range)
    is_column = is_like_array(data) and getattr(data, "ndim", 1) == 1 and hasattr(data, "__iter__")
    return next(iter(data), None) if is_sequence or is_column else None  # type: ignore[call-overload]
