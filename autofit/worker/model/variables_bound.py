"""Bounds the memory of a saved network's variables while Keras builds it from its configuration.

A configuration of a few hundred bytes can describe a layer of a terabyte, which Keras makes before it reads any
weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

_BITS = re.compile(r"\d+$")
_MOST_BITS_OF_A_NAMELESS_TYPE = 8
"""The size of `bool`, whose name does not tell it."""


class TooManyVariablesError(ValueError):
    """The variables of a network would take more memory than the weights in its file."""


@contextmanager
def variables_within(most_bytes: int) -> Iterator[None]:
    """Limit the variables that are made in the block to `most_bytes` in total.

    Every variable of Keras passes through `keras.Variable.__init__`, on all backends and in every layer.

    Raises:
        TooManyVariablesError: they would take more; the variable that exceeds the limit is not made.
    """
    inherited, left_bytes = keras.Variable.__init__, most_bytes

    def counted(self: Any, initializer: Any, shape: Any = None, dtype: Any = None, *more: Any, **named: Any) -> None:
        nonlocal left_bytes
        left_bytes -= _bytes_of(shape, dtype)
        if left_bytes < 0:
            raise TooManyVariablesError(
                f"its configuration describes variables of more than {most_bytes:,} bytes, far more than the file holds"
            )
        inherited(self, initializer, shape, dtype, *more, **named)

    is_own = "__init__" in vars(keras.Variable)
    keras.Variable.__init__ = counted
    try:
        yield
    finally:
        if is_own:
            keras.Variable.__init__ = inherited
        else:
            del keras.Variable.__init__


def _bytes_of(shape: Any, dtype: Any) -> int:
    """The memory of a variable of this shape; 0 if no shape is given, since then its values exist already."""
    sides = [side for side in shape or () if isinstance(side, int) and side > 0]
    bits = _BITS.search(keras.backend.standardize_dtype(dtype))
    return math.prod(sides) * (int(bits[0]) if bits else _MOST_BITS_OF_A_NAMELESS_TYPE) // 8 if shape else 0
