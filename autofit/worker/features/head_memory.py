"""How much memory solving a head takes, and how much of it L-BFGS may use. Pure, and no SciPy."""

from __future__ import annotations

from autofit.worker.features.head_rows import BLOCK_VALUES

DOUBLE_BYTES, SINGLE_BYTES = 8, 4

HELD_BYTES = 2**30
"""Standardised rows up to this size stay in memory; larger ones are read again in each pass."""
DOUBLE_VALUES = 2**23
"""Rows with at most so many values are float64; larger ones are float32, whose products are twice as fast."""

CORRECTION_BYTES = 256 * 2**20
"""The memory for the corrections of L-BFGS. Up to 838,860 weights, as of 1,280 features and 650 classes, all fit."""
MOST_CORRECTIONS, LEAST_CORRECTIONS = 20, 5
"""How many corrections the search keeps. Fewer need more passes over the rows; SciPy's documentation of L-BFGS-B calls
3 to 20 usual."""
OTHER_ARRAYS = 8
"""How many arrays of a head's weights there are besides, in SciPy's own memory and in an evaluation. Measured: 8.8 with
1,500 rows of 1,280 features and 300 classes, with 20 corrections as with 5."""
BLOCK_ARRAYS = 2
"""How many arrays of a block's scores there are at least: they are computed in each thread."""

UNASKED_BYTES = 256 * 2**20
"""So much is taken without asking whether it is there. The pages of the mapped features that can be given back at any
time take as much, so that no more is known."""


def corrections(weights: int) -> int:
    """How many corrections L-BFGS keeps for so many weights; each takes two arrays of them in float64."""
    fitting = CORRECTION_BYTES // (2 * DOUBLE_BYTES * max(1, weights))
    return max(LEAST_CORRECTIONS, min(MOST_CORRECTIONS, fitting))


def least_solver_bytes(rows: int, width: int, classes: int, threads: int = 1) -> int:
    """The memory that solving a head takes at least.

    Args:
        rows: the number of rows.
        width: the number of features of a row.
        classes: the number of classes.
        threads: how many blocks of rows are computed in parallel.
    """
    values = rows * width
    rows_bytes = values * (DOUBLE_BYTES if values <= DOUBLE_VALUES else SINGLE_BYTES)
    weights = (min(rows, width) + 1) * classes  # with few rows, only the space that they span is searched
    arrays = 2 * corrections(weights) + OTHER_ARRAYS
    block_rows = max(1, BLOCK_VALUES // max(1, width))
    blocks = min(threads, -(-rows // block_rows))
    scores = blocks * BLOCK_ARRAYS * min(rows, block_rows) * classes
    return (rows_bytes if rows_bytes <= HELD_BYTES else 0) + DOUBLE_BYTES * (arrays * weights + scores)
