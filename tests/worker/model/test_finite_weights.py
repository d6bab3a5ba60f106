"""Weights that are no numbers are found; constants that are infinite by design are none of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autofit.worker.model.finite_weights import first_not_finite


class _Variable(SimpleNamespace):
    """A variable of Keras, as far as it is read."""

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        return np.array([1.0, self.value], np.float32)


@pytest.mark.parametrize(
    ("value", "trainable", "found"),
    [
        (np.nan, True, "block/kernel"),
        (np.nan, False, "block/kernel"),
        (np.inf, True, "block/kernel"),
        (-np.inf, False, ""),  # an attention mask
        (2.0, True, ""),
    ],
    ids=str,
)
def test_what_is_no_number_is_found(value: float, found: str, *, trainable: bool) -> None:
    """A sound network with a mask of -inf would be called damaged as soon as its training diverges."""
    sound = _Variable(path="stem/kernel", value=1.0, trainable=True)
    assert first_not_finite([sound, _Variable(path="block/kernel", value=value, trainable=trainable)]) == found
