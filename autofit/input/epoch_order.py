"""The order in which an epoch visits the training images: a function of seed and epoch alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of an epoch: a permutation of `range(count)`, int64 (count,), that depends on nothing else.

    It sorts the raw stream of a bit generator, which NumPy guarantees not to change; that of
    `Generator.permutation` may (NEP 19). `seed` and `epoch` are at least 0 and below 2**64.
    """
    generator = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64))
    return np.argsort(generator.random_raw(count), kind="stable").astype(np.int64, copy=False)
