"""Bounds what the variables of a saved network take while Keras builds it from its configuration.

A configuration of a few hundred bytes can ask for a layer of a terabyte, which Keras makes before it looks at any
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
"""Of `bool`, whose name says no size."""


class TooManyVariablesError(ValueError):
    """The variables of a network would take more than its file can have weights for."""


@contextmanager
def variables_within(most_bytes: int) -> Iterator[None]:
    """Let the variables that are made meanwhile take at most so many bytes, all together.

    Every variable of Keras passes through `keras.Variable.__init__`, on all backends and in every layer.

    Raises:
        TooManyVariablesError: they would take more; the one that is too much is not made.
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
    """What a variable of this shape takes; 0 where the shape is not given, and follows from values that are there."""
    sides = [side for side in shape or () if isinstance(side, int) and side > 0]
    bits = _BITS.search(keras.backend.standardize_dtype(dtype))
    return math.prod(sides) * (int(bits[0]) if bits else _MOST_BITS_OF_A_NAMELESS_TYPE) // 8 if shape else 0
