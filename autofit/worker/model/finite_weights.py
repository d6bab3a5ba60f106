"""Finds weights that are no numbers, as a damaged file gives them. Without TensorFlow.

Infinity counts in weights that train only: others may be constants, such as the -inf of an attention mask.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from autofit.printable import printable


def first_not_finite(variables: Iterable[Any]) -> str:
    """The path of the first variable that has a value which is no number; empty if none has."""
    return next((printable(str(one.path)) for one in variables if not _is_sound(one)), "")


def of_weights(weight: str, follows: str) -> str:
    """The message about a network with a weight that was no number before any training, and what follows from that."""
    return (
        f"the network has weights that are no numbers, such as {weight}, and {follows}: the file or model that they "
        "come from is damaged, give another one"
    )


def _is_sound(variable: Any) -> bool:
    values = np.asarray(variable)
    if values.dtype.kind not in "fc":
        return True
    return bool(np.isfinite(values).all() if getattr(variable, "trainable", True) else not np.isnan(values).any())
