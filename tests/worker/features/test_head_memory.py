"""The memory that solving a head takes. No TensorFlow."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy import optimize

from autofit.worker.features import head_solver
from autofit.worker.features.head_memory import CORRECTION_BYTES, HELD_BYTES, corrections, least_solver_bytes
from autofit.worker.features.head_rows import labelled_rows
from autofit.worker.features.head_solver import HeadProblem


@pytest.mark.parametrize(
    ("weights", "kept"),
    [(1, 20), (1281 * 102, 20), (2049 * 400, 20), (1281 * 1000, 13), (2049 * 1000, 8), (2049 * 5000, 5), (10**9, 5)],
)
def test_large_heads_keep_fewer_corrections(weights: int, kept: int) -> None:
    """A head of 5,000 classes would take 4 GB, or a usual one be another than before."""
    assert corrections(weights) == kept
    assert kept == 5 or 2 * 8 * kept * weights <= CORRECTION_BYTES


def test_the_search_is_told_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound would stand in a comment only."""
    asked: list[int] = []
    minimize: Any = optimize.minimize

    def noted(*args: Any, **more: Any) -> Any:
        asked.append(more["options"]["maxcor"])
        return minimize(*args, **more)

    monkeypatch.setattr(head_solver, "minimize", noted)
    monkeypatch.setattr(head_solver, "corrections", {4 * 3: 7}.__getitem__)
    random = np.random.default_rng(0)
    HeadProblem(labelled_rows(random.normal(size=(40, 3)), np.arange(40) % 3), 3).solve(1.0)
    assert asked == [7]


def test_what_it_takes_is_at_least_what_is_said() -> None:
    """A head that fits would be trained by epochs."""
    rows, width, classes = 200, 60, 400
    random = np.random.default_rng(0)
    problem = HeadProblem(labelled_rows(random.normal(size=(rows, width)), np.arange(rows) % classes), classes)
    present = rows  # no other class is learnt
    tracemalloc.start()
    try:
        problem.solve(1.0, goes_on=lambda: False, least_iterations=3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    said = least_solver_bytes(rows, width, present)
    assert 0.6 * peak < said < peak + 8 * rows * width


def test_rows_and_threads_count_too() -> None:
    """A worker with a small limit would begin to solve, and be stopped for its memory."""
    few = least_solver_bytes(1000, 1000, 10)
    assert least_solver_bytes(2000, 1000, 10) - few >= 8 * 1000 * 1000
    assert least_solver_bytes(10**6, 1000, 10) < HELD_BYTES  # are read again in each pass
    assert (
        least_solver_bytes(10**5, 1000, 1000, threads=4) > least_solver_bytes(10**5, 1000, 1000) + 3 * 8 * 4000 * 1000
    )
